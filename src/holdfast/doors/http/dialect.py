"""How a family of paths is spoken to: which header has the key, how strict JSON is, and what a refusal looks like.

Every path belongs to one dialect. What is carried out, and why it may be refused, is the same in all of them.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.commands.bodies import Body
from holdfast.domain.errors import FieldError

if TYPE_CHECKING:
    import msgspec

    from holdfast.engine.core import Core

Faults = Callable[[Any, "Core"], list[FieldError]]
"""What is wrong with a decoded body that its record cannot tell; it wins over what the record says of a field."""


class Dialect(NamedTuple):
    """What differs between families of paths.

    key_header: besides `Authorization`, in lower case; key_words: the same for people.
    is_lenient: a body is JSON whatever it is called, and what no query of a route knows is passed over.
    idempotency_key: what an Idempotency-Key must match; idempotency_words: the same for people. key_field: a field of
    the body that stands for the header.
    replay_headers: what tells that an answer was given before.
    keep_ms: for how long an answer is given again.
    told: from a code to what it is called here and the status, where that differs.
    shown: a problem document as it is sent; None: as it is. problem: the shape of that, None for the native one.
    """

    key_header: bytes
    key_words: str
    is_lenient: bool
    idempotency_key: re.Pattern[bytes]
    idempotency_words: str
    key_field: str | None
    replay_headers: tuple[tuple[bytes, bytes], ...]
    keep_ms: Callable[["Core"], int | None]
    told: Mapping[str, tuple[int, str]] = {}
    shown: Callable[[Body, str], Body] | None = None
    problem: "type[msgspec.Struct] | None" = None

    def told_here(self, problem: Body, correlation_id: str) -> tuple[Body, Body]:
        """A problem with the status that it has in this dialect, and as it is sent."""
        if self.shown is None:
            return problem, problem
        native_code = problem["code"]
        status, code = self.told.get(native_code, (problem["status"], native_code))
        problem = {**problem, "status": status}
        return problem, self.shown({**problem, "code": code, "native_code": native_code}, correlation_id)

    @property
    def problem_type(self) -> str:
        """The media type of a refusal."""
        return "application/problem+json" if self.shown is None else "application/json"


NATIVE = Dialect(
    key_header=b"x-api-key",
    key_words="X-API-Key",
    is_lenient=False,
    idempotency_key=re.compile(rb"[A-Za-z0-9._:-]{8,255}"),
    idempotency_words="must be 8–255 of A–Z a–z 0–9 . _ : -",
    key_field=None,
    replay_headers=((b"idempotency-replayed", b"true"),),
    keep_ms=lambda core: core.idempotency_keep_ms,
)
