"""A command line that may be shown to others: bounded, and without what looks like a secret.

A net for accidents, not a guarantee: a secret of a form that nobody knows passes.
"""

import re
from collections.abc import Sequence

ARGUMENTS_MAX = 64
ARGUMENT_CHARS_MAX = 500

REDACTED = "[redacted]"
CUT = "…"

_KNOWN_TOKENS = re.compile(
    r"""
    sk-[A-Za-z0-9_-]{8,}                        # OpenAI, Anthropic
    | [rsp]k_(?:live|test)_[A-Za-z0-9]{8,}      # Stripe
    | gh[opsur]_[A-Za-z0-9]{16,} | github_pat_[A-Za-z0-9_]{16,}
    | gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[A-Za-z0-9_.-]{16,}
    | xox[abeoprs]-[A-Za-z0-9-]{8,} | xapp-[A-Za-z0-9-]{8,}
    | (?:AKIA|ASIA)[A-Z0-9]{16}                 # AWS
    | AIza[A-Za-z0-9_-]{30,} | ya29\.[A-Za-z0-9_-]{8,}
    | eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*  # JWT
    | (?:hf|npm)_[A-Za-z0-9]{16,} | pypi-[A-Za-z0-9_-]{16,} | dop_v1_[a-f0-9]{32,}
    | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}
    | (?<=://)[^\s/@:]*:[^\s/@]+(?=@)           # user and password of a URL
    """,
    re.VERBOSE,
)
_AUTHORIZATION = re.compile(r"(?i)\b(bearer|basic|token)\s+[A-Za-z0-9._~+/=-]{8,}")
_SECRET_NAME = r"[\w.-]*(?:token|secret|passw(?:or)?d|passphrase|credential|api[_-]?key|access[_-]?key|auth[_-]?key)s?"
_SECRET_OPTION = re.compile(rf"(?i)-{{1,2}}(?:{_SECRET_NAME}|key)")
_SECRET_ASSIGNMENT = re.compile(rf"(?i)((?:-{{0,2}}{_SECRET_NAME}|-{{1,2}}key|[\w]+_KEY)\s*[=:]\s*)(\S.*)", re.DOTALL)


def redact_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments as others may see them, at most ARGUMENTS_MAX of at most ARGUMENT_CHARS_MAX characters."""
    shown = []
    is_value_of_secret = False
    for argument in arguments[:ARGUMENTS_MAX]:
        shown.append(REDACTED if is_value_of_secret else _shorten(redact_text(argument)))
        is_value_of_secret = not is_value_of_secret and _SECRET_OPTION.fullmatch(argument) is not None
    if len(arguments) > ARGUMENTS_MAX:
        shown.append(CUT)
    return shown


def redact_text(text: str) -> str:
    """A text without tokens of known formats, passwords in URLs, and values given to names of secrets."""
    text = text.encode("utf-8", "replace").decode()
    text = _KNOWN_TOKENS.sub(REDACTED, text)
    text = _AUTHORIZATION.sub(rf"\1 {REDACTED}", text)
    match = _SECRET_ASSIGNMENT.fullmatch(text)
    return match[1] + REDACTED if match else text


def _shorten(text: str) -> str:
    return text if len(text) <= ARGUMENT_CHARS_MAX else text[: ARGUMENT_CHARS_MAX - 1] + CUT
