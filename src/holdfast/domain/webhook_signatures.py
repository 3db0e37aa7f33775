"""How messages to webhooks are signed. Source: Standard Webhooks, "Signature scheme"."""

import base64
import hashlib
import hmac

SECRET_PREFIX = "whsec_"


def new_secret(entropy: bytes) -> str:
    """The secret that random bytes make."""
    return SECRET_PREFIX + base64.b64encode(entropy).decode()


def signature(secret: str, *, message_id: str, at_seconds: int, body: bytes) -> str:
    """The signature of a message under one secret."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = b"%s.%d.%s" % (message_id.encode(), at_seconds, body)
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
