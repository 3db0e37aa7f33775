"""How far the readers of events are that must not miss one: the event table is their outbox."""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.commands.rows import Key, Need
from holdfast.commands.view import Reply, View
from holdfast.domain.actor import Actor
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.events import Event, EventReader, advanced


class AdvanceReader(NamedTuple):
    """A reader has done what follows from all events up to a number. The first time makes the reader.

    Said again, or by a slower worker, it changes nothing.
    """

    name: str
    number: int

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The reader's row, and the event that it is behind now."""
        return Key(EventReader, (actor.account_id, self.name)), Key(Event, (actor.account_id, self.number))

    def decide(self, view: View) -> Reply:
        """Where the reader stands. Raises: not_found for an event that was never there, or is no longer kept."""
        account_id = view.actor.account_id
        if view.get(Event, account_id, self.number) is None:
            raise Refusal(Code.NOT_FOUND, what="event", ways_out=(WayOut(Action.REPEAT_FROM_START),))
        before = view.get(EventReader, account_id, self.name)
        reader = before or EventReader(account_id, self.name, 0, view.now.wall_ms)
        reader = advanced(reader, number=self.number, now_ms=view.now.wall_ms)
        if reader != before:
            view.put(reader)
        return Reply({"name": reader.name, "number": reader.last_number})
