"""The View: what a command sees of the store, and where it leaves its changes.

One View serves one transaction. It holds every row that the batch named, and gathers changes; those of a command that
is refused are dropped as a whole, those of one that succeeds are seen by the commands after it.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from holdfast.commands.rows import Count, Key, Members, Need, Row, SetSpec, Value, key_of
from holdfast.domain.actor import Actor
from holdfast.domain.events import Happening
from holdfast.domain.ids import Mint
from holdfast.domain.service_time import Moment, ServiceState

_ABSENT = object()

_MASK_64 = 2**64 - 1
_GOLDEN_64 = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio: its multiples spread evenly, so one random number gives many far apart."""

R = TypeVar("R", bound=tuple[Any, ...])


class Idempotency(NamedTuple):
    """By what a repeated request is recognised: see `IdempotencyRecord`.

    keep_ms: for how long the first answer is given again; None: for ever.
    """

    id: str
    request_sha256: str
    keep_ms: int | None


class Reply(NamedTuple):
    """A command was carried out.

    body: the answer in the core's words. Names tell a door how to render them: `…_at_ms` is a time, `…_json` is free
    JSON as text, `…_ms` is a length of time.
    created: something new exists because of it. is_secret: the body holds a secret that is never stored.
    is_replay: the answer to an earlier request with the same idempotency key.
    rendered: the body as its envelope's `render` wrote it out, where that was done; the body itself is empty then.
    """

    body: dict[str, Any]
    created: bool = False
    is_secret: bool = False
    is_replay: bool = False
    rendered: bytes | None = None


class Emitted(NamedTuple):
    """A happening with everything an event needs but its number."""

    id: str
    session_id: str
    account_id: str
    project_id: str | None
    actor: str
    correlation_id: str
    happening: Happening


class Purge(NamedTuple):
    """Delete all rows of a type that belong to a parent row which the same command deletes."""

    row_type: type[Row]
    column: str
    value: str


class Changes(NamedTuple):
    """Everything that a batch leaves to be written.

    updates: pairs of the row as loaded and as it is to be.
    """

    inserts: list[Row]
    updates: list[tuple[Row, Row]]
    deletes: list[Key]
    purges: list[Purge]
    emitted: list[Emitted]

    def __bool__(self) -> bool:
        return any(self)


class Unloaded(Exception):
    """A command needs rows that were not loaded; the batch begins again with them."""

    def __init__(self, needs: list[Need]) -> None:
        super().__init__()
        self.needs = needs


class View:
    """The rows that a batch named, and the changes it makes to them."""

    def __init__(self, mint: Mint) -> None:
        self._mint = mint
        self._rows: dict[Key, Row | None] = {}
        self._loaded: dict[Key, Row | None] = {}
        self._members: dict[Members, list[Key]] = {}
        self._counts: dict[Count, int] = {}
        self._specs: dict[type[Row], list[SetSpec]] = {}
        # Rows that commands left, by the sets that they belonged to then. Where there are many, going through all of
        # them for each set would take time with their square.
        self._left: dict[Members, dict[Key, None]] = {}
        self._load: Callable[[Iterable[Need], View], None] | None = None
        self._pending: dict[Key, Row | None] = {}
        self._pending_emitted: list[Emitted] = []
        self._pending_purges: list[Purge] = []
        self._emitted: list[Emitted] = []
        self._purges: list[Purge] = []
        self.now = Moment(0, 0)
        self.service: ServiceState
        self.actor: Actor
        self.correlation_id = ""
        self._random = 0
        self._jitters = 0

    # Loading: done by the engine, before anything is decided.

    def add_row(self, key: Key, row: Row | None) -> None:
        """Take in a row that the store has, or the fact that it has none."""
        self._rows[key] = row

    def add_members(self, members: Members, rows: Iterable[Row]) -> None:
        """Take in what a set's lookup found."""
        keys = []
        for row in rows:
            key = key_of(row)
            self._rows.setdefault(key, row)
            keys.append(key)
        self._members[members] = keys
        specs = self._specs.setdefault(members.spec.row_type, [])
        if members.spec not in specs:
            specs.append(members.spec)
            # The store does not have what earlier commands of the batch left, so nor has its answer.
            for key in (*self._loaded, *self._pending):
                if key.row_type is members.spec.row_type:
                    self._join(key, self._now(key), members.spec)

    def add_count(self, count: Count, number: int) -> None:
        """Take in how many rows the store has of what is counted."""
        self._counts[count] = number

    def load_later_with(self, load: Callable[[Iterable[Need], "View"], None]) -> None:
        """Let rows that nobody named be loaded when they are asked for."""
        self._load = load

    def set_service(self, state: ServiceState, *, after: ServiceState) -> None:
        """Leave the store's clock to be written, ticked."""
        key = key_of(state)
        self._loaded[key] = state
        self._rows[key] = after

    # Deciding: done by commands.

    def begin(self, *, actor: Actor, correlation_id: str, entropy: bytes) -> None:
        """Get ready for one command: who asks, and the randomness it brought along."""
        self.actor = actor
        self.correlation_id = correlation_id
        self._random = int.from_bytes(entropy, "big")
        self._jitters = 0

    def require(self, *needs: Need) -> None:
        """Make sure that these rows and sets are at hand. Raises: Unloaded, which the engine answers."""
        missing = [need for need in needs if not self.holds(need)]
        if missing:
            if self._load is None:
                raise Unloaded(missing)
            self._load(missing, self)

    def holds(self, need: Need) -> bool:
        """Whether a row, a set or a count is at hand."""
        return need in self._rows or need in self._members or need in self._counts

    def get(self, row_type: type[R], *values: Value) -> R | None:
        """A row as it is now, or None if there is none."""
        # A plain tuple finds what a key does. Making and hashing one costs as much as all the rest of this.
        key: Any = (row_type, values)
        row: Any = self._pending.get(key, _ABSENT) if self._pending else _ABSENT
        if row is _ABSENT:
            row = self._rows.get(key, _ABSENT)
        if row is _ABSENT:
            self.require(Key(row_type, values))
            row = self._rows[key]
        return row  # type: ignore[no-any-return]

    def members(self, members: Members) -> list[Any]:
        """The rows of a set as they are now, newest first."""
        self.require(members)
        keys = dict.fromkeys(self._members[members]) | self._left.get(members, {})
        found = [row for row in map(self._now, keys) if row is not None and _belongs(row, members)]
        found.sort(key=attrgetter(members.spec.order), reverse=True)
        return list(islice(found, members.spec.limit))

    def first(self, members: Members) -> tuple[Any, bool]:
        """The newest row of a set as it is now, or None; and whether that is certain.

        It is not where the store may have more members than were loaded, and none of those that were is left.
        """
        self.require(members)
        keys, spec = self._members[members], members.spec
        left = map(self._now, self._left.get(members, ()))
        found = [row for row in left if row is not None and _belongs(row, members)]
        # What was not changed since is in the store's order: its first one stands for the rest, which a batch of
        # commands that each take the next one would go through again and again.
        unchanged = next((key for key in keys if key not in self._loaded and key not in self._pending), None)
        is_certain = unchanged is not None or len(keys) < spec.limit or any(key_of(row) in keys for row in found)
        newest = None if unchanged is None else self._rows[unchanged]
        if newest is not None:
            found.append(newest)
        return max(found, key=attrgetter(spec.order), default=None), is_certain

    def count(self, count: Count) -> int:
        """How many rows there are now of what is counted: what the store has, and what was changed since."""
        self.require(count)
        changed = {**self._loaded, **{key: self._rows.get(key) for key in self._pending if key not in self._loaded}}
        number = self._counts[count]
        for key, before in changed.items():
            if key.row_type is count.spec.row_type:
                after = self._pending[key] if key in self._pending else self._rows[key]
                number += _is_counted(after, count) - _is_counted(before, count)
        return number

    def put(self, row: Row) -> None:
        """Leave a row to be written: as a new one if the store has none of this key."""
        key = key_of(row)
        self._pending[key] = row
        for spec in self._specs.get(key.row_type, ()):
            self._join(key, row, spec)

    def delete(self, key: Key) -> None:
        """Leave a row to be deleted."""
        self._pending[key] = None

    def purge(self, row_type: type[Row], *, column: str, value: str) -> None:
        """Leave all rows that hang on a deleted one to be deleted."""
        self._pending_purges.append(Purge(row_type, column, value))

    def emit(
        self, happenings: Sequence[Happening], *, session_id: str, account_id: str, project_id: str | None
    ) -> None:
        """Leave what happened to a session to be told."""
        who = (self.actor.key_id, self.correlation_id)
        for happening in happenings:
            event_id = self.mint("evt")
            self._pending_emitted.append(Emitted(event_id, session_id, account_id, project_id, *who, happening))

    def mint(self, prefix: str) -> str:
        """A new id; every call within a command gives another."""
        self._random += 1
        return self._mint.next(prefix, at_ms=self.now.wall_ms, random=self._random)

    def jitter_ms(self, span_ms: int) -> int:
        """A whole number of milliseconds between -span and +span, from the command's randomness; another each time."""
        if not span_ms:
            return 0
        self._jitters += 1
        drawn = ((self._random >> 64) + self._jitters * _GOLDEN_64) & _MASK_64
        return (drawn * (2 * span_ms + 1) >> 64) - span_ms

    # Ending: done by the engine, after each command and after the batch.

    def keep(self) -> None:
        """Keep what the command left; the commands after it see it."""
        if self._pending:
            for key, row in self._pending.items():
                self._loaded.setdefault(key, self._rows.get(key))
                self._rows[key] = row
            self._pending = {}
        if self._pending_emitted:
            self._emitted += self._pending_emitted
            self._pending_emitted = []
        if self._pending_purges:
            self._purges += self._pending_purges
            self._pending_purges = []

    def drop(self) -> None:
        """Forget what the command left."""
        self._pending, self._pending_emitted, self._pending_purges = {}, [], []

    def changes(self) -> Changes:
        """All that was kept, in the form in which it is written."""
        changes = Changes([], [], [], self._purges, self._emitted)
        for key, before in self._loaded.items():
            after = self._rows[key]
            if before is None and after is not None:
                changes.inserts.append(after)
            elif before is not None and after is None:
                changes.deletes.append(key)
            elif before is not None and after is not None and before != after:
                changes.updates.append((before, after))
        return changes

    def _now(self, key: Key) -> Row | None:
        """A row as it is now, as far as it is at hand."""
        return self._pending[key] if key in self._pending else self._rows.get(key)

    def _join(self, key: Key, row: Row | None, spec: SetSpec) -> None:
        """Let a row that was left be found in the set that it belongs to now."""
        if row is not None:
            self._left.setdefault(Members(spec, _picks(spec.equals)(row)), {})[key] = None


def _is_counted(row: Row | None, count: Count) -> bool:
    if row is None:
        return False
    equals = zip(count.spec.equals, count.values, strict=True)
    name, values = count.spec.among
    return getattr(row, name) in values and all(getattr(row, column) == value for column, value in equals)


def _belongs(row: Row, members: Members) -> bool:
    return _picks(members.spec.equals)(row) == members.values


@cache
def _picks(columns: tuple[str, ...]) -> Callable[[Row], tuple[Value, ...]]:
    """Takes these columns of a row, at a fraction of the cost of asking for each: sets are gone through often."""
    if len(columns) > 1:
        return attrgetter(*columns)
    if not columns:
        return lambda _: ()
    only = attrgetter(columns[0])
    return lambda row: (only(row),)
