"""What every command is, and what a door wraps it in."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from holdfast.commands.rows import Need
from holdfast.commands.view import Idempotency, Reply, View
from holdfast.domain.actor import Actor


class Command(Protocol):
    """A change that somebody wants: a named tuple, whose fields are what it is sent with to the writer's process."""

    def __iter__(self) -> Iterator[Any]:
        """Its fields."""
        ...

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The rows and sets that deciding takes, as far as the command itself tells.

        They are loaded, and locked, for the whole batch at once. What turns out later to be needed as well is asked of
        the view, which costs another round.
        """
        ...

    def decide(self, view: View) -> Reply:
        """Carry the command out on the view, or raise a Refusal and leave nothing."""
        ...


Render = Callable[[dict[str, Any]], bytes | None]
"""How a door writes a body out; None: this one is to be left as it is. A function of a module: it travels by name."""


class Envelope(NamedTuple):
    """A command on its way to the engine.

    entropy: 16 random bytes, from which the command's ids and jitter derive.
    is_beat: it keeps a session alive, and has a reserved share of the queue.
    weight: how many single commands it counts for. size_bytes: about how much memory it holds while it waits.
    render: makes the answer's bytes of the reply's body, beside the writer rather than on the event loop, where the
    engine has a process for it. For requests of which there are many.
    """

    command: Command
    actor: Actor
    entropy: bytes
    correlation_id: str
    idempotency: Idempotency | None = None
    is_beat: bool = False
    weight: int = 1
    size_bytes: int = 0
    render: Render | None = None
