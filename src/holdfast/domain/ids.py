"""Identifiers: a prefix that names the kind, and a ULID that sorts by creation.

Source: https://github.com/ulid/spec (layout, Crockford's alphabet, monotonic within a millisecond).
"""

from typing import NewType

AccountId = NewType("AccountId", str)
SessionId = NewType("SessionId", str)
KeyId = NewType("KeyId", str)
EventId = NewType("EventId", str)
CheckpointId = NewType("CheckpointId", str)
HandoffId = NewType("HandoffId", str)
AuditId = NewType("AuditId", str)
MachineId = NewType("MachineId", str)
TaskId = NewType("TaskId", str)
WebhookId = NewType("WebhookId", str)
AlertRuleId = NewType("AlertRuleId", str)

DEFAULT_ACCOUNT = AccountId("default")

ENTROPY_BYTES = 16
"""Random bytes that every command brings along, so that deciding it needs no randomness of its own."""

ULID_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in ULID_ALPHABET for low in ULID_ALPHABET]
_RANDOM_BITS = 80
_RANDOM_MASK = (1 << _RANDOM_BITS) - 1
_ULID_BITS = 130  # 26 characters of 5 bits; the top two are always zero.


def ulid(at_ms: int, random: int) -> str:
    """The 26 characters for a time (epoch milliseconds) and the low 80 bits of a random integer."""
    value = (at_ms << _RANDOM_BITS) | (random & _RANDOM_MASK)
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(_ULID_BITS - 10, -1, -10)])


def ulid_at_ms(text: str) -> int:
    """The time of a ULID, epoch milliseconds."""
    value = 0
    for character in text[:10]:
        value = value * 32 + ULID_ALPHABET.index(character)
    return value


class Mint:
    """Makes ids that sort in the order in which they were asked for, on one node.

    The random part comes from the command's own entropy, so the same commands at the same times give the same ids on
    every store. Two ids of the same millisecond are put in order by counting up, as the ULID specification says; a
    clock that goes back reuses the last millisecond.
    """

    __slots__ = ("_last_ms", "_last_random")

    def __init__(self) -> None:
        self._last_ms = -1
        self._last_random = 0

    def mark(self) -> tuple[int, int]:
        """Where it stands, to `go_back` to."""
        return self._last_ms, self._last_random

    def go_back(self, mark: tuple[int, int]) -> None:
        """Take back the ids given since: whoever asked for them was interrupted, and will ask again."""
        self._last_ms, self._last_random = mark

    def next(self, prefix: str, *, at_ms: int, random: int) -> str:
        """A new id such as `sess_01J…`; `random` is any integer, of which 80 bits are used."""
        random &= _RANDOM_MASK
        if at_ms <= self._last_ms:
            at_ms = self._last_ms
            if random <= self._last_random:
                random = self._last_random + 1
                if random > _RANDOM_MASK:
                    at_ms, random = at_ms + 1, 0
        self._last_ms, self._last_random = at_ms, random
        return prefix + "_" + ulid(at_ms, random)
