"""API keys: how one looks, what is kept of it, and what it may do.

A key is a prefix that scanners can find, 32 random characters, and a checksum that tells a mistyped key from a revoked
one without asking the store. Only its SHA-256 is kept.
"""

import hashlib
import hmac
import zlib
from typing import NamedTuple

from holdfast.domain.actor import KeyScope
from holdfast.domain.ids import AccountId, KeyId

KEY_PREFIX = "hfk_"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARS = 32  # 190 bits.
_CHECKSUM_CHARS = 6  # A CRC-32 in base 62.

KEY_ENTROPY_BYTES = 32
CONFIGURED_KEY_CHARS_MIN = 8
"""A key set by configuration may have any form, but not be guessable at a glance."""


class ApiKey(NamedTuple):
    """A key as it is stored: everything but the key."""

    id: KeyId
    account_id: AccountId
    name: str
    scope: KeyScope
    secret_sha256: str
    created_at_ms: int
    created_by: KeyId
    revoked_at_ms: int | None


class Account(NamedTuple):
    """The boundary between tenants."""

    id: AccountId
    created_at_ms: int


def format_key(entropy: bytes) -> str:
    """The key that 32 random bytes make."""
    body = _base62(int.from_bytes(entropy, "big"), _RANDOM_CHARS)
    return KEY_PREFIX + body + _checksum(body)


def is_well_formed(text: str) -> bool:
    """Whether a text has the form and the checksum of a key; says nothing about whether it is known."""
    body, checksum = text[len(KEY_PREFIX) : -_CHECKSUM_CHARS], text[-_CHECKSUM_CHARS:]
    is_shaped = text.startswith(KEY_PREFIX) and len(text) == len(KEY_PREFIX) + _RANDOM_CHARS + _CHECKSUM_CHARS
    return is_shaped and hmac.compare_digest(checksum.encode(), _checksum(body).encode())


def secret_sha256(key: str) -> str:
    """What is stored and looked up instead of the key; a key has too much entropy to need a salt."""
    return hashlib.sha256(key.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_CHARS)


def _base62(value: int, length: int) -> str:
    digits = []
    for _ in range(length):
        value, digit = divmod(value, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
