"""Sessions in every state that the contract names, brought there over HTTP; and every verb, as a request."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from holdfast.domain.limits import DAY_MS, MINUTE_MS
from tests.api.driver import Account, Json, Request

LEASE_MS: Final = MINUTE_MS
FAIL_AFTER_MS: Final = 5 * MINUTE_MS
ABANDON_AFTER_MS: Final = DAY_MS

REVIVABLE: Final = {"lease_seconds": 60, "fail_after_seconds": 300, "on_lapse": "revivable"}
STRICT: Final = REVIVABLE | {"on_lapse": "strict"}

FIRST_FAILURE: Final = "the build broke"
TAKING_OVER: Final = {"holder_id": "somebody-else", "reason": "it is silent"}
RECOVERING: Final = {"holder_id": "somebody-else"}
FORCING: Final = {"force": True, "reason": "it has to be"}


class Subject(NamedTuple):
    """A session in some state. token: the one that its start was answered with."""

    account: Account
    id: str
    token: int
    scope: str

    @property
    def path(self) -> str:
        """Where the session is found."""
        return f"/v1/sessions/{self.id}"


class Silence(NamedTuple):
    """Nobody says anything for so long."""

    for_ms: int


Step = Silence | Callable[[Subject], Request]


class State(NamedTuple):
    """How a session comes into a state: by its policy, and by steps."""

    policy: Json
    steps: tuple[Step, ...] = ()


def _verb(name: str, **fields: Any) -> Callable[[Subject], Request]:
    """A holder's verb, with its token."""

    def say(subject: Subject) -> Request:
        return subject.account.request("POST", f"{subject.path}/{name}", {"fencing_token": subject.token} | fields)

    return say


def _plain(name: str, body: Json, *, by: str = "agent") -> Callable[[Subject], Request]:
    """A verb that takes no token."""
    return lambda subject: subject.account.request("POST", f"{subject.path}/{name}", body, by=by)


def _patch(subject: Subject) -> Request:
    return subject.account.request("PATCH", subject.path, {"fencing_token": subject.token, "branch": "main"})


def _delete(subject: Subject) -> Request:
    return subject.account.request("DELETE", f"{subject.path}?confirm=true&fencing_token={subject.token}")


def _start_by_another(subject: Subject) -> Request:
    is_exclusive = bool(subject.account.session(subject.id)["exclusive"])
    body = {"agent": "codex", "holder_id": "successor", "scope": subject.scope, "exclusive": is_exclusive}
    return subject.account.request("POST", "/v1/sessions", body)


VERBS: Final[dict[str, Callable[[Subject], Request]]] = {
    "beat": _verb("heartbeat"),
    "checkpoint": _verb("checkpoint", summary="half of it is done"),
    "patch": _patch,
    "pause": _verb("pause"),
    "resume": _verb("resume"),
    "park": _verb("park", reason="until tomorrow"),
    "end": _verb("end", end_reason="manual"),
    "end as before": _verb("end", end_reason="completed"),
    "fail": _verb("fail", reason="the disk is full"),
    "fail as before": _verb("fail", reason=FIRST_FAILURE),
    "stall": _verb("stall", reason="it hangs"),
    "stop": _plain("stop", {"reason": "it costs too much"}),
    "take over": _plain("takeover", TAKING_OVER),
    "take over by force": _plain("takeover", TAKING_OVER | {"force": True}, by="operator"),
    "take over by force, with an agent's key": _plain("takeover", TAKING_OVER | {"force": True}),
    "recover": _plain("recover", RECOVERING),
    "recover by force": _plain("recover", RECOVERING | FORCING, by="operator"),
    "recover by force, with an agent's key": _plain("recover", RECOVERING | FORCING),
    "archive": _verb("archive"),
    "delete": _delete,
}

HOLDERS_VERBS: Final = (
    "beat", "checkpoint", "patch", "pause", "resume", "park", "end", "end as before", "fail", "fail as before", "stall",
)  # fmt: skip
"""Verbs that are a write of the holder's, and so need its token where the session is exclusive."""

_TO_FAILED: Final = Silence(FAIL_AFTER_MS)
_TO_ABANDONED: Final = Silence(FAIL_AFTER_MS + ABANDON_AFTER_MS)
_TO_TAKEN_OVER: Final = VERBS["take over"]
_TO_RECOVERED: Final = _plain("recover", {"holder_id": "yet-another"})

STATES: Final[dict[str, State]] = {
    "active": State(REVIVABLE),
    "paused": State(REVIVABLE, (VERBS["pause"],)),
    "parked": State(REVIVABLE, (VERBS["park"],)),
    "stalled": State(REVIVABLE, (Silence(LEASE_MS),)),
    "stalled, strict": State(STRICT, (Silence(LEASE_MS),)),
    "failed by silence": State(REVIVABLE, (_TO_FAILED,)),
    "failed by silence, strict": State(STRICT, (_TO_FAILED,)),
    "failed by report": State(REVIVABLE, (VERBS["fail as before"],)),
    "failed by report, replaced": State(REVIVABLE, (VERBS["fail as before"], _start_by_another)),
    "abandoned": State(REVIVABLE, (_TO_ABANDONED,)),
    "abandoned, replaced": State(REVIVABLE, (_TO_ABANDONED, _start_by_another)),
    "ended": State(REVIVABLE, (VERBS["end as before"],)),
    "ended, replaced": State(REVIVABLE, (VERBS["end as before"], _start_by_another)),
    "stalled, taken over": State(REVIVABLE, (Silence(LEASE_MS), _TO_TAKEN_OVER)),
    "failed by silence, taken over": State(REVIVABLE, (_TO_FAILED, _TO_TAKEN_OVER)),
    "failed by report, taken over": State(REVIVABLE, (VERBS["fail as before"], _TO_TAKEN_OVER)),
    "abandoned, taken over": State(REVIVABLE, (_TO_ABANDONED, _TO_TAKEN_OVER)),
    "stalled, recovered": State(REVIVABLE, (Silence(LEASE_MS), _TO_RECOVERED)),
    "failed by report, recovered": State(REVIVABLE, (VERBS["fail as before"], _TO_RECOVERED)),
    "abandoned, recovered": State(REVIVABLE, (_TO_ABANDONED, _TO_RECOVERED)),
}
"""Every state of the contract's table, the ways into it told apart where they lead on to different ones."""


def reach(account: Account, state: str, *, times: int, is_exclusive: bool) -> list[Subject]:
    """So many sessions in one state, each on a scope of its own."""
    policy, steps = STATES[state]
    taken = sum(1 for _ in account.each("/v1/sessions"))
    bodies = [
        {
            "agent": "claude",
            "holder_id": "holder-1",
            "scope": f"{state} {taken + number}",
            "policy": policy,
            "exclusive": is_exclusive,
        }
        for number in range(times)
    ]
    started = _accepted(account, [account.request("POST", "/v1/sessions", body) for body in bodies])
    subjects = [Subject(account, each["id"], each["fencing_token"], each["scope"]) for each in started]
    for step in steps:
        if isinstance(step, Silence):
            account.server.serve(step.for_ms)
        else:
            _accepted(account, [step(subject) for subject in subjects])
    return subjects


def _accepted(account: Account, requests: Sequence[Request]) -> list[Json]:
    responses = account.server.ask_all(requests)
    assert all(response.status in (200, 201) for response in responses), responses
    return [response.json for response in responses]
