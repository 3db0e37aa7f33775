"""A session in a person's words."""

from datetime import UTC, datetime
from typing import Any

import pytest

from holdfast.domain.scope import in_words
from holdfast.doors.cli.layout import Span
from holdfast.doors.cli.table import Selection, footer, table
from holdfast.doors.cli.watch import Seen, screen
from holdfast.doors.cli.words import age, ago, duration, note_words, place_words, short_ids, status_words
from tests.cli.test_text import lines_of

NOW = datetime(2026, 1, 17, 10, 0, 0, tzinfo=UTC).timestamp()


def time_of(seconds_ago: float) -> str:
    """The time so long before NOW, as the server writes it."""
    return datetime.fromtimestamp(NOW - seconds_ago, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def session(**fields: Any) -> dict[str, Any]:
    """A session as the server answers it: active, its last beat 3 s ago, its lease 15 s."""
    return {
        "id": "sess_01KABCDEFGHJKMNPQRSTVWXYZ0",
        "agent": "claude",
        "scope": "repo=github.com%2Facme%2Fapi;track=2",
        "status": "active",
        "liveness": "live",
        "started_at": time_of(720),
        "last_heartbeat_at": time_of(3),
        "lease_expires_at": time_of(-12),
        "status_changed_at": time_of(720),
        "policy": {"lease_seconds": 15, "heartbeat_interval_seconds": 5},
        "stop_requested": False,
        **fields,
    }


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "active, beat 3 s ago"),
        ({"last_heartbeat_at": time_of(-1)}, "active, beat just now"),
        ({"stop_requested": True}, "active, beat 3 s ago, asked to stop"),
        ({"status": "paused"}, "paused, beat 3 s ago"),
        (
            {"liveness": "late", "last_heartbeat_at": time_of(12), "lease_expires_at": time_of(-3)},
            "late by 7 s, lapses in 3 s",
        ),
        ({"liveness": "lapsed", "last_heartbeat_at": time_of(20)}, "lapsed: silent for 20 s, lease 15 s"),
        ({"status": "parked"}, "parked"),
        (
            {"status": "parked", "wake_at": time_of(-7200), "status_reason": "waits for review"},
            "parked, wakes in 2 h: waits for review",
        ),
        ({"status": "parked", "wake_at": time_of(1)}, "parked, to be woken"),
        (
            {"status": "stalled", "liveness": "lapsed", "last_heartbeat_at": time_of(20)},
            "stalled: silent for 20 s, lease 15 s",
        ),
        ({"status": "stalled", "liveness": "lapsed", "status_reason": "it loops"}, "stalled: it loops"),
        (
            {"status": "failed", "failed_by": "silence", "last_heartbeat_at": time_of(960)},
            "failed: silent for 16 min",
        ),
        (
            {"status": "failed", "failed_by": "report", "status_reason": "exit code 1", "exit_code": 1},
            "failed: exit code 1, 12 min ago",
        ),
        (
            {"status": "failed", "failed_by": "report", "status_reason": "tests", "exit_code": 2},
            "failed: tests, exit code 2, 12 min ago",
        ),
        (
            {
                "status": "failed",
                "failed_by": "report",
                "status_reason": "x",
                "taken_over_by": "sess_01KXXXXXXXXABCDEF",
            },
            "failed: x, taken over by ABCDEF, 12 min ago",
        ),
        ({"status": "ended", "end_reason": "completed", "ended_at": time_of(60)}, "ended: completed, 1 min ago"),
        (
            {"status": "ended", "end_reason": "taken_over", "taken_over_by": "sess_01KXXXXXXXXABCDEF"},
            "ended: taken over by ABCDEF, 12 min ago",
        ),
        (
            {"status": "ended", "end_reason": "crashed", "reported_late": True},
            "ended: crashed (reported later), 12 min ago",
        ),
        ({"status": "something new", "status_changed_at": None}, "something new"),
    ],
)
def test_the_status_says_whether_a_session_is_alive_and_why(fields: dict[str, Any], words: str) -> None:
    assert status_words(session(**fields), now=NOW).text == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (3_600, "1 h"),
        (7_500, "2 h 5 min"),
        (36_060, "10 h"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
        (864_000, "10 d"),
    ],
)
def test_a_length_of_time_has_its_one_or_two_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_an_age_has_one_unit_and_a_missing_time_no_words() -> None:
    assert (age(7_500), ago(NOW - 7_500, now=NOW), ago(None, now=NOW)) == ("2 h", "2 h 5 min ago", "")


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("repo=github.com%2Facme%2Fapi", "acme/api"),
        ("repo=git.example.com%3A8443%2Facme%2Fapi", "git.example.com:8443/acme/api"),
        ("venture=vc;repo=github.com%2Facme%2Fapi;track=2", "acme/api, venture vc, track 2"),
        ("project_id=shop", "project shop"),
        ("workspace=mach_0123%3A%2Fhome%2Fanna%2Fwork", "/home/anna/work"),
        ("workspace=C%3A%5Cwork", "C:\\work"),
        ("session=sess_01KABC", ""),
        ("backups", "backups"),
        ("color=red;repo=x", "color=red;repo=x"),
    ],
)
def test_a_scope_is_decoded_and_what_goes_without_saying_left_out(scope: str, words: str) -> None:
    assert in_words(scope) == words


def test_a_short_id_is_the_shortest_end_that_no_other_has() -> None:
    ids = ["sess_01AAAAAAAA123456", "sess_01AAAAAAAB123456", "sess_01BBBBBBBB654321"]
    assert short_ids(ids[::2]) == {ids[0]: "123456", ids[2]: "654321"}
    assert short_ids(ids) == {ids[0]: "A123456", ids[1]: "B123456", ids[2]: "B654321"}
    assert short_ids([]) == {}


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"meta": {"hostname": "laptop", "pid": 4211}, "machine_id": "mach_1"}, "laptop:4211"),
        ({"meta": {"hostname": "laptop"}, "slot": 2}, "laptop slot 2"),
        ({"machine_id": "mach_0123456789abcdef0123456789abcdef"}, "mach_…abcdef"),
        ({"holder_id": "key_01KABCDEFGHJKMNPQRSTVWXYZ0"}, "key_…VWXYZ0"),
        ({"holder_id": "anna@laptop"}, "anna@laptop"),
    ],
)
def test_a_place_is_the_host_else_the_machine_else_the_holder(fields: dict[str, Any], where: str) -> None:
    assert place_words(session(**fields)) == where


def test_what_it_does_is_what_it_says_else_the_command_that_it_runs() -> None:
    meta = {"command": ["claude", "-p", "fix it"]}
    assert note_words(session(meta=meta)) == "claude -p fix it"
    assert note_words(session(meta=meta, activity="testing", status_note="37 of 120")) == "testing: 37 of 120"


SESSIONS = [
    session(id="sess_01KAAAAAAAAAAAAAAAAA000001", activity="testing", meta={"hostname": "laptop", "pid": 42}),
    session(
        id="sess_01KAAAAAAAAAAAAAAAAA000002",
        agent="nightly-backup",
        scope="backups",
        status="stalled",
        liveness="lapsed",
        last_heartbeat_at=time_of(20),
    ),
    session(id="sess_01KAAAAAAAAAAAAAAAAA000003", status="ended", liveness=None, end_reason="completed"),
]


@pytest.mark.parametrize("width", [72, 80, 140])
def test_a_table_fits_its_terminal(width: int) -> None:
    assert all(len(line) <= width for line in lines_of(table(SESSIONS, now=NOW, width=width)))


def test_a_table_on_140_columns_says_all() -> None:
    assert [line.rstrip() for line in lines_of(table(SESSIONS, now=NOW, width=140))] == [
        "ID      AGENT           SCOPE              STATUS                                AGE     WHERE      DOING",
        "000001  claude          acme/api, track 2  active, beat 3 s ago                  12 min  laptop:42  testing",
        "000002  nightly-backup  backups            stalled: silent for 20 s, lease 15 s  12 min",
        "000003  claude          acme/api, track 2  ended: completed, 12 min ago          12 min",
    ]


def test_the_footer_counts_and_says_what_to_type_about_the_lapsed() -> None:
    assert lines_of(footer(SESSIONS, items_max=None)) == [
        "3 sessions: 1 active, 1 stalled, 1 ended.",
        "See why:        holdfast explain 000002",
        'Go on with it:  holdfast takeover 000002 --reason "…"',
    ]
    assert lines_of(footer(SESSIONS[:1], items_max=1)) == ["1 session: 1 active. There may be more: --limit N."]


SELECTION = Selection(statuses=(), is_all=False, filters={}, scope="", items_max=None)


def screen_of(seen: Seen, *, steady_now: float, height: int = 24) -> list[str]:
    """The lines of a screen of 80 columns."""
    lines = screen(seen, url="http://x", selection=SELECTION, width=80, height=height, steady_now=steady_now)
    return [line.rstrip() for line in lines_of(lines)]


def test_a_watch_lets_ages_grow_between_two_looks() -> None:
    seen = Seen(SESSIONS, NOW, seen_at=100.0)
    assert "active, beat 3 s ago" in screen_of(seen, steady_now=100.0)[3]
    assert "active, beat 4 s ago" in screen_of(seen, steady_now=101.0)[3]


def test_a_watch_says_that_the_server_is_away_and_shows_what_it_said_last() -> None:
    seen = Seen(SESSIONS, NOW, seen_at=100.0, away="Connection refused")
    lines = screen_of(seen, steady_now=112.0)
    assert lines[1] == "The server has not answered for 12 s (Connection refused); still asking. What i…"
    assert "active, beat 3 s ago" in lines[4]
    assert screen_of(Seen(away="Connection refused"), steady_now=1.0)[1:] == [
        "The server does not answer yet (Connection refused); still asking."
    ]


def test_a_watch_fits_its_screen_and_says_how_much_does_not() -> None:
    seen = Seen(SESSIONS * 10, NOW, seen_at=100.0)
    lines = screen_of(seen, steady_now=100.0, height=12)
    assert len(lines) <= 12
    assert "and 24 more" in lines


def test_everything_in_a_status_keeps_its_style_apart_from_its_text() -> None:
    assert status_words(session(agent="\x1b"), now=NOW) == Span("active, beat 3 s ago", "green")
