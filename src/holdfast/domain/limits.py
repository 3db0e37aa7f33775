"""Every bound on what a caller may send or hold, with its unit and its reason.

Bounds of the wire (headers, bodies, connections) live beside the HTTP door; bounds of the engine beside the engine.
"""

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

INTEGER_MAX = 2**53 - 1
"""The largest integer that every JSON reader keeps exact."""

ID_CHARS_MAX = 128
"""Ids that callers choose (holder, machine, group …): long enough for a UUID with a prefix, short enough to index."""

SCOPE_BYTES_MAX = 1_000
"""A scope's canonical string: a URL and a path fit; an index entry stays under a B-tree page's limit."""

NAME_CHARS_MAX = 128
"""Names and labels that a table shows: agent, venture, repo, branch."""

TITLE_CHARS_MAX = 256
"""Names of tasks and projects, and what they are called elsewhere: the longest title of a GitHub issue."""

NOTE_CHARS_MAX = 2_000
"""A reason, a status note, an activity: a paragraph for a person, rewritten with every beat."""

SUMMARY_CHARS_MAX = 5_000
"""A checkpoint's summary."""

LIST_ITEMS_MAX = 200
"""Entries in one of a checkpoint's lists."""

STATE_BYTES_MAX = 256 * 1024
"""A checkpoint's free JSON, as UTF-8."""

HANDOFF_PAYLOAD_BYTES_MAX = 800 * 1024
"""A handoff's payload, in canonical form. Source: seed 000."""

HANDOFF_SCHEMA_BYTES_MAX = 256 * 1024
"""A schema of payloads, in canonical form: compiling one takes time with its length."""

LABEL_CHARS_MAX = 64
"""A handoff's status label: a word or two."""

META_BYTES_MAX = 64 * 1024
"""A session's free JSON, as UTF-8; read with every list, so smaller than a checkpoint's."""

LEASE_MS_MIN = 1 * SECOND_MS
LEASE_MS_MAX = 30 * DAY_MS
"""A lease outside these bounds is a mistake: below, the network decides who is dead; above, nobody notices."""

ABANDON_AFTER_MS = 24 * HOUR_MS
"""How long a session stays stalled (where its policy never fails it) or failed before it is given up."""

RECOVERY_ATTEMPTS_MAX = 3
"""Recoveries along one chain of sessions, unless it is set: work that breaks off once more does not do so by chance."""

SCOPE_SESSIONS_MAX = 256
"""Sessions of one scope that an exclusive start looks through; past that it is refused rather than decided in part."""

SLOTS_MAX = 512
"""Slots of one machine: all of them are looked through by every start on it."""

SLOT_NUMBER_MAX = 65_535

HEARTBEAT_BATCH_MAX = 1_000
"""Sessions in one batched heartbeat: one request's worth of work on the writer, about 20 ms."""

LIST_LIMIT_DEFAULT = 50
LIST_LIMIT_MAX = 200

LIVENESS_SCAN_ROWS_MAX = 1_000
"""Rows that a list filtered by liveness examines for one page; such a page may be short."""

BEAT_SPACING_MS = 1 * SECOND_MS
"""Beats closer together than this (or a third of the interval, if smaller) are answered and not written."""

TASK_PRIORITY_MAX = 1_000_000
"""Priorities lie this far to either side of 0; their digits have a fixed width in a task's rank."""

TASKS_NOTED_MAX = 50
"""Tasks that are named of those that a session let go of: more than an agent that goes on wants to read."""

TASKS_HELD_MAX = 2_048
"""Unfinished tasks of one session: all of them are queued again in the transaction in which it lapses, which takes the
writer some 100 ms."""

TASK_DEPENDENCIES_MAX = 100
"""Tasks that one task may depend on."""

TASK_DEPENDENTS_MAX = 100
"""Tasks that may wait for one task: all of them are looked at in the transaction in which it is completed."""

PROJECT_WAITS_MAX = 5_000
"""Waits between tasks of one project that are looked through for a cycle: some 15 ms of the writer."""

TASK_DESCRIPTION_CHARS_MAX = 10_000
"""What there is to do: a prompt of a few pages."""
