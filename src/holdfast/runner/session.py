"""The session of one run: what is asked of the server, and what its answers mean for the command."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

from holdfast.client.api import Answer, Api, ApiRefusal, Json, Unavailable, Unreachable
from holdfast.client.spool import Call, End, timestamp
from holdfast.domain.limits import NAME_CHARS_MAX
from holdfast.runner.exits import CommandEnd, reason_of, shell_code
from holdfast.runner.redaction import redact_arguments
from holdfast.runner.schedule import Pace
from holdfast.runner.scopes import placed

PROGRESS_MAX = 2**53 - 1
"""The largest integer that every JSON reader keeps exact."""


class Verdict(StrEnum):
    """What a refusal means for a command that runs."""

    LOST = "lost"
    """Somebody else may write now: the command has to stop."""
    WARN = "warn"
    """The session is not recorded as it should be; the command may go on."""
    AWAY = "away"
    """The server cannot answer now; ask again."""


LEASE_EXPIRED = "lease_expired"
"""A strict session fell silent and is nobody else's yet: how its command ended is still accepted."""

LOST_CODES = frozenset(
    {
        "fencing_token_stale",
        "session_taken_over",
        "session_recovered",
        "session_ended",
        "session_failed",
        "session_abandoned",
        LEASE_EXPIRED,
        "lease_held",
    }
)
_AWAY_STATUSES = frozenset({408, 425, 429})


class Stopped(StrEnum):
    """Why the runner stopped its command."""

    SESSION_LOST = "session_lost"
    REQUESTED = "requested"
    LAPSED = "lapsed"


@dataclass(frozen=True)
class Session:
    """A session that the server has acknowledged. reply: everything that it said at the start."""

    id: str
    fencing_token: int
    reply: Mapping[str, Json]

    @property
    def is_exclusive(self) -> bool:
        """Whether nobody else may work on the scope meanwhile."""
        return self.reply.get("exclusive") is True


@dataclass(frozen=True)
class StartRequest:
    """One start, the same at every attempt, so that the server makes one session of them.

    report: what is told instead if no attempt is ever answered. path: where the start is asked for.
    """

    client_session_id: str
    idempotency_key: str
    body: dict[str, Json]
    report: dict[str, Json]
    path: str = "/v1/sessions"


@dataclass(frozen=True)
class Recovery:
    """The wish to go on with a session that broke off, rather than to start another. agent: None: the old one's."""

    session_id: str
    agent: str | None = None
    reason: str | None = None
    is_forced: bool = False


def new_idempotency_key() -> str:
    """A key for one request and its repetitions."""
    return f"run-{secrets.token_hex(16)}"


def start_request(
    *,
    scope: Json,
    project_id: str | None,
    agent: str,
    machine_id: str | None,
    slot: int | None,
    pace: Pace,
    is_strict: bool,
    is_exclusive: bool,
    take_over_reason: str | None,
    recovery: Recovery | None,
    checkout: dict[str, Json],
    meta: dict[str, Json],
    started_at_seconds: float,
) -> StartRequest:
    """A start under a new holder, so that two runs in one directory are two sessions.

    project_id: to which the work belongs; None: to none.
    checkout: its branch and commit, where it has them.
    recovery: the session to go on with; its scope, and whether it held that alone, are kept then.
    """
    client_session_id = f"run-{secrets.token_hex(16)}"
    started_at = timestamp(started_at_seconds)
    common: dict[str, Json] = {
        "client_session_id": client_session_id,
        **placed(scope, project_id=project_id),
        "agent": agent,
        "holder_id": f"run-{secrets.token_hex(12)}",
        **checkout,
        "meta": meta,
    }
    if machine_id is not None:
        common["machine_id"] = machine_id
    if slot is not None:
        common["slot"] = slot
    policy: dict[str, Json] = {
        "lease_seconds": whole(pace.lease_seconds),
        "heartbeat_interval_seconds": whole(pace.interval_seconds),
        "on_lapse": "strict" if is_strict else "revivable",
    }
    report = {**common, "started_at": started_at}
    if recovery is not None:
        kept = ("holder_id", "machine_id", "slot", "branch", "commit_sha", "meta")
        body = {name: common[name] for name in kept if name in common} | {"policy": policy}
        if recovery.agent is not None:
            body["agent"] = recovery.agent
        if recovery.reason is not None:
            body |= {"reason": recovery.reason, "force": recovery.is_forced}
        path = f"/v1/sessions/{quote(recovery.session_id, safe='')}/recover"
        return StartRequest(client_session_id, new_idempotency_key(), body, report, path)
    body = {**common, "policy": policy, "exclusive": is_exclusive}
    if take_over_reason is not None:
        body["take_over"] = {"reason": take_over_reason}
    return StartRequest(client_session_id, new_idempotency_key(), body, report)


def meta_of(command: Sequence[str], *, directory: str, hostname: str, pid: int) -> dict[str, Json]:
    """What others may know about the run; the command without what looks like a secret."""
    arguments: list[Json] = list(redact_arguments(command))
    return {"command": arguments, "cwd": directory[:2_000], "hostname": hostname[:NAME_CHARS_MAX], "pid": pid}


def whole(seconds: float) -> int | float:
    """Seconds as an integer where they are one."""
    return int(seconds) if seconds == int(seconds) else seconds


def start(api: Api, request: StartRequest, *, timeout_seconds: float) -> tuple[Session, bool]:
    """Start the session; the session, and whether this answer repeats that of an earlier attempt.

    Raises: Unreachable, also for a refusal that only asks to come back later; ApiRefusal.
    """
    try:
        answer = api.request(
            "POST",
            request.path,
            body=request.body,
            idempotency_key=request.idempotency_key,
            timeout_seconds=timeout_seconds,
        )
    except ApiRefusal as refusal:
        if verdict(refusal) is Verdict.AWAY:
            seconds = refusal.retry_after_seconds
            raise Unavailable(api.url, refusal.detail, retry_after_seconds=seconds) from refusal
        raise
    reply = _object(api, answer)
    session_id, token = reply.get("id"), reply.get("fencing_token")
    if not isinstance(session_id, str) or not isinstance(token, int):
        raise Unreachable(api.url, "its answer is not a session")
    return Session(session_id, token, reply), answer.headers.get("idempotency-replayed", "").lower() == "true"


def beat(api: Api, session: Session, *, progress: int) -> dict[str, Json]:
    """Renew the lease; the server's reply.

    Without an idempotency key: a beat said twice is a beat, and the server would keep a record of each.
    Raises: Unreachable, ApiRefusal.
    """
    answer = api.request(
        "POST",
        f"/v1/sessions/{session.id}/heartbeat",
        body={"fencing_token": session.fencing_token, "progress": min(progress, PROGRESS_MAX)},
    )
    return _object(api, answer)


def verdict(refusal: ApiRefusal, *, is_exclusive: bool = False) -> Verdict:
    """What a refused beat, or a refused start after the command began to run, means for the command.

    is_exclusive: of a session that was begun. One that the server does not know, since an older backup was restored,
    keeps nobody else off its scope.
    """
    if refusal.status == 409 and refusal.code in LOST_CODES:
        return Verdict.LOST
    if is_exclusive and refusal.code == "not_found":
        return Verdict.LOST
    if refusal.status >= 500 or refusal.status in _AWAY_STATUSES:
        return Verdict.AWAY
    return Verdict.WARN


def requested_stop(reply: Mapping[str, Json]) -> str | None:
    """Why the holder is asked to stop; None: it is not."""
    asked = reply.get("stop_requested")
    if not asked:
        return None
    if isinstance(asked, str):
        return asked
    reason = asked.get("reason") if isinstance(asked, dict) else reply.get("stop_reason")
    return str(reason) if reason else "no reason given"


def end_call(session: Session, end: CommandEnd, stopped: Stopped | None) -> Call:
    """The request that tells the server how the command ended."""
    path = f"/v1/sessions/{session.id}"
    token: dict[str, Json] = {"fencing_token": session.fencing_token}
    if stopped is Stopped.REQUESTED:
        return Call(f"{path}/end", {"end_reason": "killed", **token})
    if end.exit_code == 0 and stopped is None:
        return Call(f"{path}/end", {"end_reason": "completed", **token})
    reason = reason_of(end) if stopped is None else "stopped: its lease could have lapsed"
    details: dict[str, Json] = {"exit_code": shell_code(end)}
    if end.signal_number is not None:
        details["signal"] = reason_of(end).removeprefix("signal ")
    return Call(f"{path}/fail", {"reason": reason, "error_details": details, **token})


def end_of_run(session: Session | None, end: CommandEnd, stopped: Stopped | None, *, ended_at_seconds: float) -> End:
    """What is kept until the server has accepted it."""
    has_completed = end.exit_code == 0 and stopped is None
    reason = "completed" if has_completed else "crashed" if stopped is None else "killed"
    call = None if session is None else end_call(session, end, stopped)
    return End(timestamp(ended_at_seconds), reason, shell_code(end), call)


def _object(api: Api, answer: Answer) -> dict[str, Json]:
    if not isinstance(answer.body, dict):
        raise Unreachable(api.url, "its answer is not one of Holdfast")
    return answer.body
