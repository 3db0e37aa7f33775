"""API keys: how one looks, what is kept of it, and what it may do.

A key is a prefix that scanners can find, 32 random characters, and a checksum that tells a mistyped key from a revoked
one without asking the store. Only its SHA-256 is kept.
"""

from typing import NamedTuple

from holdfast.domain.actor import KeyScope
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.ids import AccountId, KeyId

KEY_PREFIX = "hfk_"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARS = 32  # 190 bits.
_CHECKSUM_CHARS = 6  # A CRC-32 in base 62.

KEY_ENTROPY_BYTES = 32
CONFIGURED_KEY_CHARS_MIN = 8
"""A key set by configuration may have any form, but not be guessable at a glance."""


class ApiKey(NamedTuple):
    """A key as it is stored: everything but the key.

    project_id: the one project whose sessions it sees and writes; None: all of the account's.
    expires_at_ms: from then on it is refused; None: never.
    rotated_at_ms: when it last got a new secret; previous_secret_sha256, previous_expires_at_ms: the secret before that
    one, and from when on it is refused.
    last_used_at_ms: about when it was last used; recorded now and then, never by the request itself.
    """

    id: KeyId
    account_id: AccountId
    name: str
    scope: KeyScope
    secret_sha256: str
    created_at_ms: int
    created_by: KeyId
    revoked_at_ms: int | None
    project_id: str | None
    expires_at_ms: int | None
    rotated_at_ms: int | None
    previous_secret_sha256: str | None
    previous_expires_at_ms: int | None
    last_used_at_ms: int | None


class KeyUsage(NamedTuple):
    """What all nodes together have counted for a key since a minute began, so that they share its rate limit."""

    id: KeyId
    account_id: AccountId
    window_at_ms: int
    requests: int
    heartbeats: int


def usable_for_ms(key: ApiKey, *, sha256: str, now_ms: int) -> int | None:
    """How much longer a secret of this key is good, from 1 on; 0: not any more; None: without an end.

    sha256: of the secret that was shown; either the present one or the one before a rotation.
    """
    ends = [key.expires_at_ms]
    if sha256 != key.secret_sha256:
        ends.append(key.previous_expires_at_ms if sha256 == key.previous_secret_sha256 else now_ms)
    if key.revoked_at_ms is not None:
        ends.append(now_ms)
    given = [end for end in ends if end is not None]
    return max(0, min(given) - now_ms) if given else None


def rotated(key: ApiKey, *, new_sha256: str, overlap_ms: int, now_ms: int) -> ApiKey:
    """The key with a new secret; the present one stays good for the overlap, one before that for no longer.

    Raises: key_ended.
    """
    if usable_for_ms(key, sha256=key.secret_sha256, now_ms=now_ms) == 0:
        raise Refusal(Code.KEY_ENDED, key_id=key.id, ways_out=(WayOut(Action.CREATE_KEY),))
    return key._replace(
        secret_sha256=new_sha256,
        rotated_at_ms=now_ms,
        previous_secret_sha256=key.secret_sha256 if overlap_ms else None,
        previous_expires_at_ms=now_ms + overlap_ms if overlap_ms else None,
    )


def format_key(entropy: bytes) -> str:
    """The key that 32 random bytes make."""
    body = _base62(int.from_bytes(entropy, "big"), _RANDOM_CHARS)
    return KEY_PREFIX + body + _checksum(body)


def is_well_formed(text: str) -> bool:
    """Whether a text has the form and the checksum of a key; says nothing about whether it is known."""
    import hmac  # All commands know this type, and few know a secret.

    body, checksum = text[len(KEY_PREFIX) : -_CHECKSUM_CHARS], text[-_CHECKSUM_CHARS:]
    is_shaped = text.startswith(KEY_PREFIX) and len(text) == len(KEY_PREFIX) + _RANDOM_CHARS + _CHECKSUM_CHARS
    return is_shaped and hmac.compare_digest(checksum.encode(), _checksum(body).encode())


def secret_sha256(key: str) -> str:
    """What is stored and looked up instead of the key; a key has too much entropy to need a salt."""
    import hashlib

    return hashlib.sha256(key.encode()).hexdigest()


def _checksum(body: str) -> str:
    import zlib

    return _base62(zlib.crc32(body.encode()), _CHECKSUM_CHARS)


def _base62(value: int, length: int) -> str:
    digits = []
    for _ in range(length):
        value, digit = divmod(value, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
