"""Secrets in what agents write down: tokens of forms that are widely known are taken out before anything is stored.

A net for accidents, not a guarantee: a secret of a form that nobody knows passes. Prose must pass unharmed, so a form
has to begin at the beginning of a word, and to be one that no sentence has.
"""

import re
from typing import Any, NamedTuple

from holdfast.domain.keys import KEY_PREFIX

REDACTED = "[redacted]"

# What a form has to end with is looked for within a bound, so that no text takes longer than its length allows.
_TOKENS = re.compile(
    rf"""
    (?<![A-Za-z0-9])(?:
      sk-(?=[A-Za-z_-]{{0,100}}[0-9])[A-Za-z0-9_-]{{12,}}    # OpenAI, Anthropic
    | [rsp]k_(?:live|test)_[A-Za-z0-9]{{8,}}         # Stripe
    | gh[opsur]_[A-Za-z0-9]{{16,}} | github_pat_[A-Za-z0-9_]{{16,}}
    | gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[A-Za-z0-9_.-]{{16,}}
    | xox[abeoprs]-[A-Za-z0-9-]{{8,}} | xapp-[A-Za-z0-9-]{{8,}}
    | (?:AKIA|ASIA)[A-Z0-9]{{16}}(?![A-Za-z0-9])     # AWS
    | AIza[A-Za-z0-9_-]{{30,}} | ya29\.[A-Za-z0-9_-]{{8,}}
    | eyJ[A-Za-z0-9_-]{{8,999}}\.[A-Za-z0-9_-]{{8,9999}}\.[A-Za-z0-9_-]*  # JWT
    | (?:hf|npm)_[A-Za-z0-9]{{16,}} | pypi-[A-Za-z0-9_-]{{16,}} | dop_v1_[a-f0-9]{{32,}}
    | SG\.[A-Za-z0-9_-]{{16,99}}\.[A-Za-z0-9_-]{{16,}}
    | {KEY_PREFIX}[A-Za-z0-9]{{16,}}
    )
    | (?<=://)[^\s/@:?\#]*:[^\s/@]+(?=@)              # user and password of a URL
    | -----BEGIN\ (?:[A-Z]+\ )?PRIVATE\ KEY-----.*?(?:-----END\ (?:[A-Z]+\ )?PRIVATE\ KEY-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)

_LOOKS_SECRET = re.compile(
    r"sk-|[rsp]k_|gh[opsur]_|github_|gl[a-z]+-|xox|xapp|AKIA|ASIA|AIza|ya29|eyJ|hf_|npm_|pypi-|dop_|SG\.|hfk_|://|PRIVATE"
)
"""What every text with such a token has somewhere: most have none of it, and cost one search."""


class Redacted(NamedTuple):
    """A value without the secrets that were found in it, and how many they were."""

    value: Any
    number: int


def redact_text(text: str) -> Redacted:
    """A text without tokens of known forms."""
    if _LOOKS_SECRET.search(text) is None:
        return Redacted(text, 0)
    return Redacted(*_TOKENS.subn(REDACTED, text))


def redact_json(value: Any) -> Redacted:
    """Free JSON without tokens of known forms, in its texts and in the names of its members.

    Two names that differ in a secret alone stay two: the later one is told apart by a number.
    """
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, list):
        entries = [redact_json(each) for each in value]
        return Redacted([each.value for each in entries], sum(each.number for each in entries))
    if not isinstance(value, dict):
        return Redacted(value, 0)
    members: dict[str, Any] = {}
    count = 0
    for name, member in value.items():
        shown, inside = redact_text(name), redact_json(member)
        unique, suffix = shown.value, 2
        while unique in members:
            unique, suffix = f"{shown.value} {suffix}", suffix + 1
        members[unique] = inside.value
        count += shown.number + inside.number
    return Redacted(members, count)
