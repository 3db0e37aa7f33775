"""Says whether `docs/lifecycle.md` is what the lifecycle's table says; writes it with `--write`."""

import sys
from pathlib import Path

from holdfast.domain.lifecycle import HOLDING, LIVE, TABLE, TERMINAL, Move, Phase, Verb, When

PAGE = Path(__file__).parent.parent / "docs" / "lifecycle.md"

OF_TIME = (Verb.LAPSE, Verb.FAIL_SILENT, Verb.GIVE_UP)

INTRODUCTION = """\
# The life of a session

*Generated from the table in `src/holdfast/domain/lifecycle.py` by `scripts/check_lifecycle_page.py`; `make check`
compares.*

A session is `active` while its holder works, `paused` while it rests but keeps beating, and `parked` while it is set
aside and no lease runs. When the lease runs out it is `stalled`; when it stays silent it has `failed`; when nobody
cares for a day it is `abandoned`. `ended`, `failed` and `abandoned` are terminal, but a failure that was only concluded
from silence can still be contradicted by the one who was silent.

Time decides first: before anything else is looked at, a session is brought to where its deadlines have put it. So it
never matters whether the sweeper came by before a caller did.
"""

NOTES = """\
- *if revivable and not replaced*: the policy's `on_lapse` is `revivable`, and nobody has acquired the scope since in a
  way that excludes this session.
- *by an operator, forced*: a key with the scope `operator`, `force: true` and a reason.
- *unless quarantined or asked to stop*: it broke off again after its last recovery, or somebody asked it to stop; then
  only an operator recovers it, with `force: true` and a reason.
- *if not replaced*: nobody has acquired the scope since.
- *late*: the answer and the session say `late: true`: silence had been taken for the end before.
- Whoever was taken over keeps its status if it was terminal, and accepts nothing but `archive` and `delete` afterwards.
- Whoever was recovered has ended as `recovered`, whatever it was before; the same holder that recovers it again is
  answered with the same new session.
- `start again` is `POST /v1/sessions` by the same scope, agent and holder: it draws the next fencing token.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, "## Diagram\n", _diagram(), "## Table\n", _table(), NOTES, "## Kinds\n", _kinds()])


def _diagram() -> str:
    names = {phase: phase.value.replace(" ", "_") for phase in Phase}
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> active: start"]
    for phase, moves in TABLE.items():
        by_target: dict[Phase, list[str]] = {}
        for verb, move in moves.items():
            if move.to != phase:
                by_target.setdefault(move.to, []).append(verb.value)
        lines += [f"    {names[phase]} --> {names[to]}: {', '.join(verbs)}" for to, verbs in by_target.items()]
    lines += [f"    {names[phase]} --> [*]" for phase in TABLE if phase in TERMINAL]
    return "\n".join([*lines, "```\n"])


def _table() -> str:
    header = ["from", *(f"*{verb.value}*" if verb in OF_TIME else verb.value for verb in Verb)]
    rows = [header, ["---"] * len(header)]
    for phase, moves in TABLE.items():
        rows.append([f"**{phase.value}**", *(_cell(phase, moves.get(verb)) for verb in Verb)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _cell(phase: Phase, move: Move | None) -> str:
    if move is None:
        return ""
    target = "same" if move.to == phase else f"→ {move.to.value}"
    condition = "" if move.when == When.ALWAYS else f" ({move.when.value})"
    return target + condition + (", late" if move.is_late else "")


def _kinds() -> str:
    def listed(phases: frozenset[Phase]) -> str:
        return ", ".join(phase.value for phase in Phase if phase in phases)

    return (
        f"- Holds its scope and is live: {listed(LIVE)}.\n"
        f"- Holds its scope, lapsed: {listed(HOLDING - LIVE)}.\n"
        f"- Terminal: {listed(TERMINAL)}.\n"
    )


def main() -> int:
    """Compare the page, or write it."""
    made = page()
    if "--write" in sys.argv:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == made:
        return 0
    sys.stderr.write(
        f"{PAGE.name} is not what the lifecycle's table says: run scripts/check_lifecycle_page.py --write\n"
    )
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
