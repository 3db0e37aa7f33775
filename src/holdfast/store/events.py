"""Numbers for events: taken from a counter of their account, within the transaction that writes them.

Whoever takes numbers holds the counter's row until the commit, so the order of numbers is the order of commits on every
node, and a number that was taken and not committed was never taken: no gaps.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from holdfast.commands.view import Emitted
from holdfast.domain.events import Event
from holdfast.domain.ids import AccountId, EventId

LastNumbers = Callable[[Mapping[str, int]], dict[str, int]]
"""Takes so many numbers for each account, and answers the last one taken for each."""


def numbered(emitted: Sequence[Emitted], *, last_numbers: LastNumbers, recorded_at_ms: int) -> list[Event]:
    """The events to insert, in order, each with the next number of its account."""
    import json

    counts = Counter(each.account_id for each in emitted)
    next_numbers = {account: last - counts[account] for account, last in last_numbers(counts).items()}
    events = []
    for each in emitted:
        next_numbers[each.account_id] += 1
        happening = each.happening
        events.append(
            Event(
                account_id=AccountId(each.account_id),
                number=next_numbers[each.account_id],
                id=EventId(each.id),
                type=happening.type,
                rule=happening.rule,
                session_id=each.session_id,
                at_ms=happening.at_ms,
                recorded_at_ms=recorded_at_ms,
                actor=each.actor,
                correlation_id=each.correlation_id,
                data_json=json.dumps(happening.data, ensure_ascii=False, separators=(",", ":")),
                project_id=each.project_id,
            )
        )
    return events
