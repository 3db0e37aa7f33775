"""What the runner decides without touching anything: scopes, schedules, progress, exits, redaction, words."""

import pytest

from holdfast.client.api import ApiRefusal, Json
from holdfast.runner.exits import CommandEnd, end_of, reason_of, shell_code
from holdfast.runner.keeper import ProcessKey, descendants, parse_stat, search_path
from holdfast.runner.messages import printable
from holdfast.runner.predecessor import describe, left_behind
from holdfast.runner.progress import NO_PROGRESS, advance
from holdfast.runner.redaction import ARGUMENT_CHARS_MAX, ARGUMENTS_MAX, redact_arguments, redact_text
from holdfast.runner.run import command_environ
from holdfast.runner.schedule import (
    LapseTimes,
    Pace,
    attempt_at,
    beat_delay,
    lapse_times,
    pace_of,
    request_seconds,
    retry_delay,
)
from holdfast.runner.scopes import repository_of, workspace_of
from holdfast.runner.session import (
    Session,
    Stopped,
    Verdict,
    end_call,
    end_of_run,
    requested_stop,
    verdict,
    whole,
)

PACE = Pace(interval_seconds=5.0, lease_seconds=15.0)


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        ("https://github.com/owner/name.git", "github.com/owner/name"),
        ("https://user:token@github.com/owner/name", "github.com/owner/name"),
        ("https://ghp_secret@GitHub.com/Owner/Name.git/", "github.com/Owner/Name"),
        ("http://host:80/a/b.git", "host/a/b"),
        ("http://host:8080/a/b.git", "host:8080/a/b"),
        ("https://host:443/a", "host/a"),
        ("git@github.com:owner/name.git", "github.com/owner/name"),
        ("host.example:srv/git/x.git", "host.example/srv/git/x"),
        ("me@host:/srv/git/x.git", "host/srv/git/x"),
        ("ssh://git@github.com/owner/name.git", "github.com/owner/name"),
        ("ssh://git@host:22/a.git", "host/a"),
        ("ssh://git@host:2222/a.git", "host:2222/a"),
        ("git://host/a.git", "host/a"),
        ("ssh://git@[2001:db8::1]:2222/a", "[2001:db8::1]:2222/a"),
        ("git@[2001:db8::1]:a.git", "[2001:db8::1]/a"),
        ("  https://host/a\n", "host/a"),
        ("/srv/git/x.git", None),
        ("../other", None),
        ("file:///srv/git/x.git", None),
        ("C:\\git\\x", None),
        ("c:/git/x", None),
        ("https://host/", None),
        ("https:///a", None),
        ("https://host:99999/a", None),
        ("ext::sh -c whatever", None),
        ("https://host/a\x1b[31m", None),
        ("", None),
    ],
)
def test_a_repository_is_named_by_its_origin(url: str, repository: str | None) -> None:
    assert repository_of(url) == repository


def test_a_very_long_path_is_named_by_its_hash() -> None:
    assert workspace_of("mach_1", "/a") == "mach_1:/a"
    long = workspace_of("mach_1", "/" + "ü" * 300)
    assert long.startswith("mach_1:sha256-")
    assert long != workspace_of("mach_1", "/" + "ü" * 301)


@pytest.mark.parametrize(
    ("interval", "lease", "pace"),
    [(None, None, Pace(5, 15)), (2, None, Pace(2, 6)), (None, 30, Pace(10, 30)), (1, 1.5, Pace(1, 1.5))],
)
def test_half_a_pace_makes_a_whole_one(interval: float | None, lease: float | None, pace: Pace) -> None:
    assert pace_of(interval_seconds=interval, lease_seconds=lease) == pace


def test_a_lease_that_no_beat_can_keep_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than"):
        pace_of(interval_seconds=5, lease_seconds=5)


@pytest.mark.parametrize(
    ("last", "following", "delay"),
    [
        ("2026-01-17T10:00:00.000Z", "2026-01-17T10:00:05.400Z", 5.4),
        ("2026-01-17T10:00:00.000Z", "2026-01-17T10:00:04.600Z", 4.6),
        ("2026-01-17T10:00:00.000Z", "2026-01-17T11:00:00.000Z", 7.5),
        ("2026-01-17T10:00:00.000Z", "2026-01-17T09:00:00.000Z", 0.5),
        ("2026-01-17T10:00:00.000Z", None, 5.0),
        (None, "2026-01-17T10:00:05.000Z", 5.0),
        ("2026-01-17T10:00:00.000Z", "tomorrow", 5.0),
        ("2026-01-17T10:00:00", "2026-01-17T10:00:05.000Z", 5.0),
    ],
)
def test_the_server_draws_the_next_beat_within_reason(last: Json, following: Json, delay: float) -> None:
    reply: dict[str, Json] = {"last_heartbeat_at": last, "next_heartbeat_at": following}
    assert beat_delay(reply, PACE) == pytest.approx(delay)


def test_retries_back_off_up_to_the_interval() -> None:
    delays = [retry_delay(failures, PACE, draw=1.0, asked_seconds=None) for failures in range(1, 8)]
    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert retry_delay(3, PACE, draw=0.0, asked_seconds=None) == 0.5
    assert retry_delay(10**6, PACE, draw=1.0, asked_seconds=None) == 5.0
    assert retry_delay(1, PACE, draw=1.0, asked_seconds=3.0) == 3.0
    assert retry_delay(1, PACE, draw=1.0, asked_seconds=600.0) == 5.0


@pytest.mark.parametrize(
    ("now", "lease_ends_at", "at"),
    [(100.0, None, 105.0), (100.0, 120.0, 105.0), (100.0, 106.0, 104.0), (100.0, 102.0, 105.0), (100.0, 90.0, 105.0)],
)
def test_there_is_one_more_attempt_before_the_lease_ends(now: float, lease_ends_at: float | None, at: float) -> None:
    assert attempt_at(now, 5.0, lease_ends_at=lease_ends_at, request_seconds=2.0) == at


def test_a_strict_lease_is_counted_from_before_the_request_and_leaves_time_to_end() -> None:
    assert lapse_times(100.0, PACE, stop_grace_seconds=10.0) == LapseTimes(term_at=112.0, kill_at=115.0)
    assert lapse_times(100.0, PACE, stop_grace_seconds=1.0) == LapseTimes(term_at=114.0, kill_at=115.0)


def test_several_requests_fit_into_a_lease() -> None:
    assert [request_seconds(Pace(lease / 3, lease)) for lease in (1, 15, 3_600)] == [0.5, 3.75, 10.0]


def key(pid: int) -> ProcessKey:
    return ProcessKey(pid, 0.0)


def test_progress_never_goes_down_and_remembers_the_dead() -> None:
    first = advance(NO_PROGRESS, {key(1): 10, key(2): 5})
    second = advance(first, {key(1): 12})
    third = advance(second, {key(1): 11, key(3): 1})
    reused = advance(third, {ProcessKey(1, 9.0): 0})
    assert [progress.total for progress in (first, second, third, reused)] == [15, 17, 18, 18]
    assert advance(third, {}).total == 18


@pytest.mark.parametrize(
    ("status", "end", "code", "reason"),
    [
        (0, CommandEnd(0, None), 0, "exit code 0"),
        (3 << 8, CommandEnd(3, None), 3, "exit code 3"),
        (11, CommandEnd(None, 11), 139, "signal SIGSEGV"),
        (11 | 0x80, CommandEnd(None, 11), 139, "signal SIGSEGV"),
        (40, CommandEnd(None, 40), 168, "signal 40"),
    ],
)
def test_a_wait_status_is_an_exit_code_or_a_signal(status: int, end: CommandEnd, code: int, reason: str) -> None:
    assert (end_of(status), shell_code(end), reason_of(end)) == (end, code, reason)


def refusal(status: int, code: str) -> ApiRefusal:
    return ApiRefusal(status, code, "", {})


@pytest.mark.parametrize(
    ("status", "code", "meaning"),
    [
        (409, "fencing_token_stale", Verdict.LOST),
        (409, "session_taken_over", Verdict.LOST),
        (409, "session_ended", Verdict.LOST),
        (409, "session_failed", Verdict.LOST),
        (409, "session_abandoned", Verdict.LOST),
        (409, "lease_held", Verdict.LOST),
        (409, "lease_expired", Verdict.LOST),
        (409, "scope_lapsed", Verdict.WARN),
        (500, "session_ended", Verdict.AWAY),
        (401, "unauthenticated", Verdict.WARN),
        (403, "forbidden", Verdict.WARN),
        (404, "not_found", Verdict.WARN),
        (422, "validation_failed", Verdict.WARN),
        (429, "rate_limited", Verdict.AWAY),
        (507, "storage_full", Verdict.AWAY),
    ],
)
def test_a_refusal_stops_warns_or_waits(status: int, code: str, meaning: Verdict) -> None:
    assert verdict(refusal(status, code)) is meaning


def test_an_exclusive_session_that_the_server_does_not_know_is_lost() -> None:
    assert verdict(refusal(404, "not_found"), is_exclusive=True) is Verdict.LOST
    assert verdict(refusal(403, "forbidden"), is_exclusive=True) is Verdict.WARN


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ({}, None),
        ({"stop_requested": False}, None),
        ({"stop_requested": None}, None),
        ({"stop_requested": True}, "no reason given"),
        ({"stop_requested": True, "stop_reason": "deploy"}, "deploy"),
        ({"stop_requested": "deploy"}, "deploy"),
        ({"stop_requested": {"reason": "deploy", "at": "…"}}, "deploy"),
    ],
)
def test_a_request_to_stop_is_understood_in_every_shape(reply: dict[str, Json], reason: str | None) -> None:
    assert requested_stop(reply) == reason


def test_how_a_session_ends_follows_from_how_its_command_ended() -> None:
    session = Session("s", 7, {})
    ended = [
        end_call(session, CommandEnd(0, None), None),
        end_call(session, CommandEnd(2, None), None),
        end_call(session, CommandEnd(0, None), Stopped.REQUESTED),
        end_call(session, CommandEnd(None, 15), Stopped.LAPSED),
    ]
    assert [(call.path, call.body) for call in ended] == [
        ("/v1/sessions/s/end", {"end_reason": "completed", "fencing_token": 7}),
        ("/v1/sessions/s/fail", {"reason": "exit code 2", "error_details": {"exit_code": 2}, "fencing_token": 7}),
        ("/v1/sessions/s/end", {"end_reason": "killed", "fencing_token": 7}),
        (
            "/v1/sessions/s/fail",
            {
                "reason": "stopped: its lease could have lapsed",
                "error_details": {"exit_code": 143, "signal": "SIGTERM"},
                "fencing_token": 7,
            },
        ),
    ]
    unknown = end_of_run(None, CommandEnd(None, 9), None, ended_at_seconds=1.5)
    assert (unknown.ended_at, unknown.end_reason, unknown.exit_code, unknown.call) == (
        "1970-01-01T00:00:01.500Z",
        "crashed",
        137,
        None,
    )


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["claude", "-p", "fix it"], ["claude", "-p", "fix it"]),
        (["x", "--token", "abc", "next"], ["x", "--token", "[redacted]", "next"]),
        (["x", "--api-key", "--token", "v"], ["x", "--api-key", "[redacted]", "v"]),
        (["x", "--password=abc def"], ["x", "--password=[redacted]"]),
        (["x", "--key", "k", "-key", "k"], ["x", "--key", "[redacted]", "-key", "[redacted]"]),
        (["A_TOKEN=abc", "AWS_SECRET_ACCESS_KEY=x"], ["A_TOKEN=[redacted]", "AWS_SECRET_ACCESS_KEY=[redacted]"]),
        (["x", "--keyboard", "us", "--tokenize", "a"], ["x", "--keyboard", "us", "--tokenize", "a"]),
        (["curl", "-H", "Authorization: Bearer abcdefghijkl"], ["curl", "-H", "Authorization: Bearer [redacted]"]),
        (["git", "clone", "https://me:pw@host/x"], ["git", "clone", "https://[redacted]@host/x"]),
        (["x", "a\udcffb"], ["x", "a?b"]),
    ],
)
def test_a_command_line_is_shown_without_its_secrets(arguments: list[str], shown: list[str]) -> None:
    assert redact_arguments(arguments) == shown


@pytest.mark.parametrize(
    "token",
    [
        "sk-ant-api03-abcdefgh",
        "sk-proj-abcdefgh12345",
        "ghp_" + "a" * 36,
        "github_pat_" + "a" * 30,
        "glpat-" + "a" * 20,
        "xoxb-123456789-abc",
        "AKIA" + "A" * 16,
        "AIza" + "a" * 35,
        "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
        "npm_" + "a" * 36,
        "hf_" + "a" * 30,
        "sk_live_" + "a" * 20,
    ],
)
def test_known_tokens_are_found_inside_a_text(token: str) -> None:
    assert redact_text(f"use '{token}' now") == "use '[redacted]' now"


def test_a_command_line_is_bounded() -> None:
    shown = redact_arguments(["x" * 10_000] * 1_000)
    assert len(shown) == ARGUMENTS_MAX + 1
    assert {len(argument) for argument in shown} == {ARGUMENT_CHARS_MAX, 1}


def test_nothing_from_elsewhere_steers_the_terminal() -> None:
    assert printable("a\x1b[2Jb\r\nc\u202ed\x9be\u200bf") == "a [2Jb c d e f"
    assert printable("x" * 50, chars_max=10) == "x" * 9 + "…"


def test_descendants_are_found_through_every_generation_parents_first() -> None:
    processes = {2: (1, 0.0), 3: (2, 0.0), 4: (3, 0.0), 5: (1, 0.0), 9: (8, 0.0), 8: (9, 0.0), 1: (1, 0.0)}
    assert [found.pid for found in descendants(1, processes)] == [2, 5, 3, 4]


def test_a_process_name_with_brackets_and_spaces_is_read() -> None:
    line = "42 (a) b) (c) S 7 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 1"
    assert parse_stat(line) == ("S", 7, 98765.0)


def test_a_command_is_looked_for_as_a_shell_does() -> None:
    assert search_path("a/b", "/x:/y") == ["a/b"]
    assert search_path("a", "/x::/y") == ["/x/a", "./a", "/y/a"]


def test_an_outer_session_is_not_handed_down() -> None:
    outer = {"A": "1", "HOLDFAST_SESSION_ID": "o", "HOLDFAST_FENCING_TOKEN": "1", "HOLDFAST_LAST_CHECKPOINT": "/f"}
    assert command_environ(outer, url="u", begun=None, checkpoint=None) == {"A": "1", "HOLDFAST_URL": "u"}


def test_what_was_left_is_described_in_few_lines() -> None:
    assert left_behind({"id": "s", "last_checkpoint": None, "last_handoff": None}) is None
    reply: dict[str, Json] = {
        "took_over_from": "old",
        "last_checkpoint": {"summary": "half", "next_actions": ["a", "b", "c", "d", "e", "f", "g"]},
        "last_handoff": {"summary": "take it"},
    }
    left = left_behind(reply)
    assert left is not None
    assert describe(left, outcome="taken_over") == [
        "took over from old",
        "its last checkpoint: half",
        *[f"next: {name}" for name in "abcde"],
        "next: 2 more",
        "its handoff: take it",
    ]


def test_what_a_scope_has_is_not_said_to_be_of_one_session() -> None:
    """Its last checkpoint and its last handoff may come from two, and neither from the last session there."""
    reply: dict[str, Json] = {
        "last_checkpoint": {"session_id": "first", "summary": "half"},
        "last_handoff": {"session_id": "second", "summary": "take it"},
    }
    left = left_behind(reply)
    assert left is not None
    assert describe(left, outcome="created") == [
        "the last checkpoint here, from first: half",
        "the last handoff here, from second: take it",
    ]


def test_a_drafted_handoff_speaks_for_itself() -> None:
    draft: dict[str, Json] = {"auto": True, "summary": "claude left no handoff: its session failed."}
    left = left_behind({"recovered_from": "old", "last_checkpoint": None, "last_handoff": draft})
    assert left is not None
    assert describe(left, outcome="recovered") == ["goes on with old", "claude left no handoff: its session failed."]


def test_whole_seconds_are_integers() -> None:
    assert [repr(whole(seconds)) for seconds in (5.0, 0.5)] == ["5", "0.5"]
