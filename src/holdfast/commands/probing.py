"""Proof that the store takes writes: the smallest one there is."""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.commands.rows import Key, Need
from holdfast.commands.view import Reply, View
from holdfast.domain.actor import Actor
from holdfast.domain.service_time import ServiceState, tick


class ProbeWrite(NamedTuple):
    """Tick the store's clock, ahead of time if need be."""

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The one row that the store has about itself."""
        return (Key(ServiceState, (1,)),)

    def decide(self, view: View) -> Reply:
        """Nothing but that it was written."""
        view.put(tick(view.service, now_at_ms=view.now.wall_ms))
        return Reply({})
