"""How a route is described to others: its name, the shapes of its answers, its refusals, and an example."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from holdfast.commands.bodies import Body


class Text(NamedTuple):
    """An answer that is no JSON of ours: its media type, and what is in it."""

    media_type: str
    about: str


class Nothing(NamedTuple):
    """An answer without a body, and what it means."""

    about: str


class Described(NamedTuple):
    """A route as others read of it.

    name: what a generated client calls it. answers: a shape by the status under which it is answered.
    refuses: what this route alone is refused for; what every one may be refused for is not repeated.
    """

    name: str
    answers: Mapping[int, type[msgspec.Struct] | Text | Nothing]
    refuses: tuple[str, ...] = ()
    example: Body | None = None
