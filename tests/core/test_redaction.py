"""What is taken out of what agents write, and what is not."""

import time
from typing import Final

import pytest

from holdfast.domain.redaction import REDACTED, redact_json, redact_text

TOKENS: Final = [
    "sk-ant-api03-abcdefgh",
    "sk-proj-abcdefgh12345",
    "ghp_" + "a" * 36,
    "github_pat_" + "a" * 30,
    "glpat-" + "a" * 20,
    "xoxb-123456789-abc",
    "AKIA" + "A1" * 8,
    "AIza" + "a" * 35,
    "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "npm_" + "a" * 36,
    "sk_live_" + "a" * 20,
    "hfk_" + "a" * 38,
    "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_of_a_known_form_is_taken_out(token: str) -> None:
    assert redact_text(f"use '{token}' now") == (f"use '{REDACTED}' now", 1)


@pytest.mark.parametrize(
    "text",
    [
        "a task-force of risk-assessment-2024 and desk-1234567890123",
        "shelf_12345678901234567890",
        "the commit 0123456789abcdef0123456789abcdef01234567",
        "https://example.org/a:b@c and git@github.com:o/r.git",
        "sk-learn-is-a-library",
        "ho_01KF5V3Z5RBCDEFGHJKMNPQRST",
    ],
)
def test_prose_passes_unharmed(text: str) -> None:
    assert redact_text(text) == (text, 0)


def test_names_of_members_that_differ_in_a_secret_alone_stay_two() -> None:
    first, second = ("ghp_" + letter * 36 for letter in "ab")
    cleaned = redact_json({first: 1, second: [second], "n": None})
    assert cleaned == ({REDACTED: 1, f"{REDACTED} 2": [REDACTED], "n": None}, 3)


def test_a_text_that_is_made_to_be_slow_is_not() -> None:
    texts = ("sk-" * 50_000, "://" + "a:" * 50_000, "eyJ-" * 50_000, "-----BEGIN PRIVATE KEY-----" * 5_000)
    began_at = time.process_time()
    for text in texts:
        redact_text(text)
    assert time.process_time() - began_at < 10
