"""When the runner begins anew, and what one attempt tells the next."""

import json

import pytest

from holdfast.runner import restart
from holdfast.runner.exits import CommandEnd
from holdfast.runner.restart import RestartPolicy


@pytest.mark.parametrize(
    ("text", "policy"),
    [("no", None), ("on-failure", RestartPolicy(None)), ("on-failure:3", RestartPolicy(3))],
)
def test_a_policy_is_read(text: str, policy: RestartPolicy | None) -> None:
    assert restart.parse(text) == policy


@pytest.mark.parametrize(
    "text", ["", "always", "no:", "on-failure:", "on-failure:0", "on-failure:-1", "on-failure:1001", "on-failure:²"]
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        restart.parse(text)


@pytest.mark.parametrize(
    ("end", "is_failure"),
    [
        (CommandEnd(0, None), False),
        (CommandEnd(1, None), True),
        (CommandEnd(130, None), False),
        (CommandEnd(143, None), False),
        (CommandEnd(137, None), True),
        (CommandEnd(None, 2), False),
        (CommandEnd(None, 15), False),
        (CommandEnd(None, 9), True),
        (CommandEnd(None, 11), True),
    ],
)
def test_what_somebody_ended_is_no_failure(end: CommandEnd, is_failure: bool) -> None:
    assert restart.is_failure(end) == is_failure


def test_restarts_are_bounded_by_what_was_asked_for() -> None:
    assert [restart.may_restart(RestartPolicy(2), restarts=count) for count in range(4)] == [True, True, False, False]
    assert restart.may_restart(RestartPolicy(None), restarts=1_000)
    assert not restart.may_restart(None, restarts=0)


def test_pauses_grow_to_a_minute_and_never_are_the_same_for_all() -> None:
    assert [restart.delay_seconds(count, draw=1.0) for count in (0, 1, 2, 5, 6, 10_000)] == [1, 2, 4, 32, 60, 60]
    assert restart.delay_seconds(0, draw=0.0) == 0.5


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"session_id": "s", "restarts": null}'])
def test_what_no_attempt_left_is_nothing(text: str) -> None:
    assert restart.inherited({restart.VARIABLE: text}) is None


def test_an_attempt_tells_the_next_how_it_ended() -> None:
    told = {"session_id": "sess_1", "restarts": 2, "exit_code": None, "signal": 9}
    found = restart.inherited({restart.VARIABLE: json.dumps(told)})
    assert found == restart.Restart("sess_1", 2, CommandEnd(None, 9))
