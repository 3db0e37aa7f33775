"""The route for figures over a time: sessions, how they ended, and how soon silence was found."""

import msgspec

from holdfast.commands.statistics import Grouping
from holdfast.domain.actor import KeyScope
from holdfast.doors.http.call import Answer, Call
from holdfast.doors.http.native.fields import Record, Time, times_ms
from holdfast.doors.http.routing import Route
from holdfast.engine.statistics import statistics


class StatsQuery(Record):
    """`GET /v1/stats`. Without `from` and `to`: the last seven days."""

    since: Time | None = msgspec.field(default=None, name="from")
    to: Time | None = None
    by: Grouping = Grouping.DAY


async def read_stats(call: Call) -> Answer:
    """Sessions that started and events that were recorded within a time, by day, agent, project or account."""
    query: StatsQuery = call.query
    times = times_ms(**{"from": query.since, "to": query.to})
    body = await call.core.read(statistics, call.actor, by=query.by, from_at_ms=times["from"], to_at_ms=times["to"])
    return Answer(200, body)


ROUTES = [Route("GET", "/v1/stats", read_stats, KeyScope.READ, query=StatsQuery)]
"""Figures are of the key's account; by account, an administrator sees all of them."""
