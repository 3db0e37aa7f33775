"""What passes between the server and its writer arrives as it was, however the bytes are cut up."""

import pickle
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.errors import Action, Code, FieldError, Refusal, WayOut
from holdfast.engine.process import Frames, frame

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
