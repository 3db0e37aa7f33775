"""The bundle that a start answers with, cut to what an agent should pay for: it reads every byte as tokens."""

import json
from typing import Any

import msgspec

from holdfast.commands.bodies import Body
from holdfast.doors.http.rendering import encode

BUNDLE_BYTES_MAX = 16 * 1024
"""A start's answer, unless all of it is asked for."""

ROOM_FOR_COUNTS_BYTES = 1024
"""What the counts of what was cut may take themselves."""

CUTS = (
    "last_handoff.payload",
    "last_checkpoint.state",
    "session.meta",
    "doc_index",
    "active_sessions",
    "last_checkpoint.work_completed",
    "last_handoff.work_completed",
    "last_checkpoint.blockers",
    "last_checkpoint.next_actions",
    "last_checkpoint.summary",
    "last_handoff.blockers",
    "last_handoff.next_actions",
    "last_handoff.summary",
)
"""What is cut, and in which order: what the next agent needs most goes last."""


def within_budget(body: Body, *, left_out: dict[str, int]) -> Body:
    """The bundle within BUNDLE_BYTES_MAX: `truncated` says, by field, how many bytes were cut.

    left_out: the same of what was not in it to begin with.
    """
    excess = len(encode(body)) - (BUNDLE_BYTES_MAX - ROOM_FOR_COUNTS_BYTES)
    if excess <= 0:
        return {**body, "truncated": left_out}
    body, truncated = dict(body), dict(left_out)
    for place in CUTS:
        if excess <= 0:
            break
        holder, _, name = place.rpartition(".")
        parent = body[holder] if holder else body
        if parent is None or parent.get(name) is None:
            continue
        before = len(encode(parent[name]))
        kept = _shortened(parent[name], excess=excess)
        cut = before - len(encode(kept))
        if cut <= 0:
            continue
        truncated[place] = cut
        excess -= cut
        if holder:
            body[holder] = {**parent, name: kept}
        else:
            body[name] = kept
    return {**body, "truncated": truncated}


def _shortened(value: Any, *, excess: int) -> Any:
    """A value that is at least so many bytes shorter, as far as it can be: a list loses its last entries."""
    if isinstance(value, msgspec.Raw):
        value = json.loads(bytes(value))
    if isinstance(value, list):
        kept = list(value)
        while kept and excess > 0:
            excess -= len(encode(kept.pop())) + 1
        return kept
    if isinstance(value, str):
        # A character is at most six bytes as JSON, and one at least; what is left is cut until it fits.
        wanted = len(encode(value)) - excess - len("…".encode())
        kept_text = value[: max(0, wanted)]
        while kept_text and len(encode(kept_text)) > wanted:
            kept_text = kept_text[: -max(1, (len(encode(kept_text)) - wanted) // 6)]
        return kept_text + "…"
    return None
