"""What passes between the server and its writer arrives as it was, however the bytes are cut up."""

import pickle
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from holdfast.commands.command import Envelope, Render
from holdfast.commands.heartbeats import Heartbeat
from holdfast.commands.view import Reply
from holdfast.domain.actor import Actor, KeyScope
from holdfast.domain.errors import Action, Code, FieldError, Refusal, WayOut
from holdfast.domain.ids import AccountId, KeyId, SessionId
from holdfast.engine.batch import Outcome
from holdfast.engine.meters import BatchFigures
from holdfast.engine.process import Frames, frame, packed, packed_answer, unpacked, unpacked_answer

CONTENTS = st.lists(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=8), max_size=6)


@given(contents=CONTENTS, cuts=st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=8))
def test_frames_arrive_whole_and_in_order(contents: Sequence[object], cuts: Sequence[int]) -> None:
    stream = b"".join(frame(content) for content in contents)
    frames, position, turn = Frames(), 0, 0
    arrived: list[object] = []
    while position < len(stream):
        end = position + cuts[turn % len(cuts)]
        arrived += frames.feed(stream[position:end])
        position, turn = end, turn + 1
    assert arrived == list(contents)


def test_a_refusal_is_the_same_on_the_other_side() -> None:
    refusal = Refusal(
        Code.VALIDATION_FAILED,
        ways_out=(WayOut(Action.READ, "sess_1"),),
        errors=(FieldError("scope", "is required"),),
        retry_after_ms=5,
        session_id="sess_1",
    )
    arrived = pickle.loads(pickle.dumps(refusal))
    assert type(arrived) is Refusal
    assert vars(arrived) == vars(refusal)


ACTOR = Actor(AccountId("default"), KeyId("key_1"), KeyScope.AGENT)
FIGURES = BatchFigures(1, 0.5, (0.25,), {"session.reactivated": 1}, (0.1,), {})
BODY = {"status": "active", "last_heartbeat_at_ms": 5}


def written(body: dict[str, object]) -> bytes | None:
    return str(body["status"]).encode()


def left_as_it_is(_: dict[str, object]) -> bytes | None:
    return None


def broken(_: dict[str, object]) -> bytes | None:
    raise ValueError("this body cannot be written out")


def sent(render: Render | None) -> Envelope:
    command = Heartbeat(SessionId("sess_1"), 3, "reading", 7, None)
    return Envelope(command, ACTOR, b"0123456789abcdef", "corr", None, True, 1, 34, render)


def answered(batch: Sequence[Envelope], outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """Outcomes as they come out at the other side."""
    (content,) = Frames().feed(packed_answer(batch, outcomes, FIGURES))
    arrived, figures = unpacked_answer(content)
    assert (figures, type(figures)) == (FIGURES, BatchFigures)
    return arrived


def test_commands_arrive_as_they_were() -> None:
    batch = [sent(None), sent(written)]
    (content,) = Frames().feed(packed(batch))
    arrived = unpacked(content)
    assert arrived == batch
    assert [(type(each), type(each.command), type(each.actor)) for each in arrived] == [
        (Envelope, Heartbeat, Actor)
    ] * 2


def test_a_body_is_written_out_where_that_is_wanted_and_comes_whole_where_it_is_not() -> None:
    reply = Reply(BODY, created=True, is_replay=True)
    batch = [sent(None), sent(written), sent(left_as_it_is)]
    arrived = answered(batch, [reply] * 3)
    assert arrived == [reply, Reply({}, created=True, is_replay=True, rendered=b"active"), reply]
    assert {type(each) for each in arrived} == {Reply}


def test_a_body_that_cannot_be_written_out_comes_whole_and_keeps_no_answer_from_others() -> None:
    refusal = Refusal(Code.NOT_FOUND, what="session")
    first, second, third = answered([sent(broken), sent(written), sent(written)], [Reply(BODY), Reply(BODY), refusal])
    assert (first, second) == (Reply(BODY), Reply({}, rendered=b"active"))
    assert isinstance(third, Refusal)
    assert third.code == Code.NOT_FOUND
