"""How a batch is carried out: a command that goes far to find all it needs is carried out all the same."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from holdfast.commands.rows import Need, session_key
from holdfast.commands.view import Reply, View
from holdfast.domain.actor import Actor
from holdfast.domain.ids import SessionId
from holdfast.testing.factories import start
from tests.support.stores import World

ROUNDS: Final = 30
"""More than any command takes, each with a row that only the last one named."""


class Wander(NamedTuple):
    """Look at one session after another."""

    def needs(self, actor: Actor) -> Iterable[Need]:
        """Nothing yet."""
        return ()

    def decide(self, view: View) -> Reply:
        """How far it came."""
        for number in range(ROUNDS):
            view.require(session_key(SessionId(f"sess_{number}")))
        return Reply({"rounds": ROUNDS})


def test_a_command_that_finds_what_it_needs_row_by_row_is_carried_out(database: World) -> None:
    assert database.caller.accepted(Wander()).body == {"rounds": ROUNDS}


def test_a_command_that_goes_far_does_not_keep_its_neighbours_from_being_carried_out(database: World) -> None:
    outcomes = database.caller.do_all(Wander(), start(scope="wandering"), Wander())
    assert [type(each) for each in outcomes] == [Reply] * 3
