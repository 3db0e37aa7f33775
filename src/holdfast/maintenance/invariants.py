"""What must hold of the rows of any database, whatever was done to it, as statements that find what breaks it.

These repeat no rule: the domain keeps them, command by command. They find what a bug, a broken disk or a hand in the
tables left behind.
"""

from typing import NamedTuple

from holdfast.maintenance.tables import Tables

EXAMPLES_MAX = 5


class Invariant(NamedTuple):
    """claim: what holds. broken: a statement that finds the ids of what breaks it, each with its account."""

    name: str
    claim: str
    broken: str


class Broken(NamedTuple):
    """An invariant that does not hold, how often, and some of what breaks it."""

    invariant: Invariant
    times: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        more = ", …" if self.times > len(self.examples) else ""
        return f"{self.invariant.claim} That does not hold for {', '.join(self.examples)}{more} ({self.times} in all)."


def _lacking(table: str, other: str, on: str, *, shown: str = "{table}.id") -> str:
    """Rows of a table for which another has none."""
    return f"""
        select {shown.format(table=table)}, {table}.account_id
        from {table}
        where not exists (select 1 from {other} where {on})
        """


def _apart(one: str, other: str, on: str, *, shown: str = "{table}.id") -> str:
    """Rows of either of two tables for which the other has none."""
    return _lacking(one, other, on, shown=shown) + "union all" + _lacking(other, one, on, shown=shown)


_SAME_DOCUMENT = " and ".join(
    f"document.{column} = document_content.{column}" for column in ("account_id", "project_id", "venture", "name")
)

INVARIANTS = (
    Invariant(
        "one_service_state",
        "There is one row about the service itself.",
        "select 'service_state', null from (select count(*) as found from service_state) as counted where found <> 1",
    ),
    Invariant(
        "tokens_within_counter",
        "No session has a token above its scope's counter.",
        """
        select session.id, session.account_id
        from session
        left join scope on scope.account_id = session.account_id and scope.scope = session.scope
        where session.fencing_token is not null
          and (scope.scope is null or session.fencing_token > scope.last_token)
        """,
    ),
    Invariant(
        "exclusive_tokens_within_counter",
        "No scope has issued an exclusive token above its counter.",
        "select account_id || ' ' || scope, account_id from scope where last_exclusive_token > last_token",
    ),
    Invariant(
        "exclusive_scope_held_once",
        "A scope that is held exclusively has one holder.",
        """
        select account_id || ' ' || held_scope, account_id
        from session
        where held_scope is not null
        group by account_id, held_scope
        having count(*) > 1 and sum(case when exclusive then 1 else 0 end) > 0
        """,
    ),
    Invariant(
        "held_scope_is_own_scope",
        "A session holds no scope but its own.",
        "select id, account_id from session where held_scope <> scope",
    ),
    Invariant(
        "workspace_session_on_its_scope",
        "The session of a workspace is on the workspace's scope.",
        """
        select workspace.scope, workspace.account_id
        from workspace
        join session on session.id = workspace.session_id
        where session.account_id <> workspace.account_id or session.scope <> workspace.scope
        """,
    ),
    Invariant(
        "checkpoints_without_gaps",
        "The checkpoints of a session are numbered without gaps, up to as many as it has.",
        """
        select session.id, session.account_id
        from session
        left join checkpoint on checkpoint.session_id = session.id
        group by session.id, session.account_id, session.checkpoint_count
        having coalesce(max(checkpoint.number), 0) <> session.checkpoint_count
          or coalesce(max(checkpoint.number) - min(checkpoint.number) + 1, 0) <> count(checkpoint.number)
        """,
    ),
    Invariant(
        "events_without_gaps",
        "The events of an account are numbered without gaps, up to its counter.",
        """
        select event.account_id, event.account_id
        from event
        left join event_counter on event_counter.account_id = event.account_id
        group by event.account_id, event_counter.last_number
        having max(event.number) - min(event.number) + 1 <> count(*)
          or event_counter.last_number is null
          or max(event.number) <> event_counter.last_number
        """,
    ),
    Invariant(
        "sessions_have_profiles",
        "A session and its profile are there together.",
        _apart("session", "session_profile", "session.id = session_profile.id"),
    ),
    Invariant(
        "checkpoints_have_sessions",
        "A checkpoint belongs to a session.",
        _lacking("checkpoint", "session", "session.id = checkpoint.session_id"),
    ),
    Invariant(
        "handoffs_have_bodies",
        "A handoff and what is long in it are there together.",
        _apart("handoff", "handoff_body", "handoff.id = handoff_body.id"),
    ),
    Invariant(
        "handoffs_are_open_or_not",
        "A handoff is known as open as long as its status says so, and as closed from its last one on.",
        """
        select id, account_id
        from handoff
        where (open_at_ms is not null) <> (status = 'open')
          or (closed_at_ms is null) <> (status in ('open', 'acknowledged'))
          or (open_topic is not null and status <> 'open')
        """,
    ),
    Invariant(
        "documents_have_contents",
        "A document has a text, and a text a document.",
        _apart("document", "document_content", _SAME_DOCUMENT, shown="{table}.venture || '/' || {table}.name"),
    ),
    Invariant(
        "tasks_counted_by_their_sessions",
        "A session has as many unfinished tasks as it counts, and none once it has lapsed or is over.",
        """
        select session.id, session.account_id
        from session
        left join task on task.held_by = session.id
        where session.task_count <> 0 or task.id is not null
        group by session.id, session.account_id, session.task_count, session.status
        having count(task.id) <> session.task_count
          or (count(task.id) > 0 and session.status not in ('active', 'paused', 'parked'))
        """,
    ),
    Invariant(
        "tasks_held_by_sessions",
        "A task that is held is held by a session, and is pending or in progress.",
        """
        select task.id, task.account_id
        from task
        left join session on session.id = task.held_by
        where task.held_by is not null and (session.id is null or task.status not in ('pending', 'in_progress'))
        """,
    ),
    Invariant(
        "tasks_wait_for_what_is_told",
        "A task waits for as many tasks as it counts.",
        """
        select task.id, task.account_id
        from task
        left join task_dependency on task_dependency.task_id = task.id
        group by task.id, task.account_id, task.waiting_count
        having count(task_dependency.task_id) <> task.waiting_count
        """,
    ),
    Invariant(
        "tasks_queued_where_ready",
        "A task is in a queue exactly while it can be claimed.",
        """
        select id, account_id
        from task
        where coalesce(ready_in, '') <> case
          when status <> 'pending' or waiting_count > 0 then ''
          when held_by is null then 'project=' || project_id
          else 'session=' || held_by
        end
        """,
    ),
    Invariant(
        "tasks_have_projects",
        "A task belongs to a project, and waits only for tasks of it that are there and not completed.",
        """
        select task.id, task.account_id
        from task
        left join project on project.account_id = task.account_id and project.id = task.project_id
        where project.id is null
        union all
        select task_dependency.task_id, task_dependency.account_id
        from task_dependency
        left join task on task.id = task_dependency.depends_on_id
        where task.id is null or task.status = 'completed' or task.project_id <> task_dependency.project_id
        """,
    ),
    Invariant(
        "client_ids_name_sessions",
        "A client's own id names a session that is there.",
        _lacking(
            "client_session",
            "session",
            "session.id = client_session.session_id",
            shown="{table}.account_id || ' ' || {table}.client_session_id",
        ),
    ),
    Invariant(
        "slots_hold_live_sessions",
        "Whoever is in a slot is a live session that says so.",
        """
        select slot.machine_id || ' ' || slot.number, slot.account_id
        from slot
        left join session on session.id = slot.session_id
        left join session_profile on session_profile.id = slot.session_id
        where slot.session_id is not null
          and (session.id is null or session.status not in ('active', 'paused', 'parked')
            or session_profile.machine_id is null or session_profile.machine_id <> slot.machine_id
            or session_profile.slot is null or session_profile.slot <> slot.number)
        """,
    ),
    Invariant(
        "sessions_have_one_slot",
        "No session is in two slots.",
        """
        select session_id, account_id
        from slot
        where session_id is not null
        group by account_id, session_id
        having count(*) > 1
        """,
    ),
    Invariant(
        "slots_have_machines",
        "A slot belongs to a machine.",
        _lacking(
            "slot",
            "machine",
            "machine.account_id = slot.account_id and machine.id = slot.machine_id",
            shown="{table}.machine_id || ' ' || {table}.number",
        ),
    ),
    Invariant(
        "recoveries_are_linked",
        "A session that was recovered and the one that goes on with its work name each other.",
        """
        select session.id, session.account_id
        from session
        join session_profile on session_profile.id = session.taken_over_by
        where session.end_reason = 'recovered'
          and (session_profile.recovered_from is null or session_profile.recovered_from <> session.id)
        union all
        select session_profile.id, session_profile.account_id
        from session_profile
        join session on session.id = session_profile.recovered_from
        where session.taken_over_by is null
          or session.taken_over_by <> session_profile.id
          or session.end_reason <> 'recovered'
        """,
    ),
    Invariant(
        "webhooks_have_readers",
        "Where there is a webhook, something reads its account's events.",
        _lacking(
            "webhook",
            "event_reader",
            "event_reader.account_id = webhook.account_id and event_reader.name = 'webhooks'",
        ),
    ),
    Invariant(
        "accounts_exist",
        "Sessions and keys belong to an account that is there.",
        _lacking("session", "account", "account.id = session.account_id")
        + "union all"
        + _lacking("api_key", "account", "account.id = api_key.account_id"),
    ),
)


def broken_invariants(tables: Tables) -> list[Broken]:
    """Which of them do not hold. An account that is being erased loses its rows bit by bit, and is passed over."""
    erased = {account_id for (account_id,) in tables.query("select id from account where status like 'eras%'")}
    found = []
    for invariant in INVARIANTS:
        ids = [str(name) for name, account_id in tables.query(invariant.broken) if account_id not in erased]
        if ids:
            found.append(Broken(invariant, len(ids), tuple(ids[:EXAMPLES_MAX])))
    return found
