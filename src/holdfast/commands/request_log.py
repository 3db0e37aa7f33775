"""The request log: what doors saw of requests, written in bulk, after the fact."""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.commands.bodies import Body
from holdfast.commands.lists import Filter, ListSpec, Operator
from holdfast.commands.rows import Key, Need, SetSpec
from holdfast.commands.view import Reply, View
from holdfast.domain.actor import Actor
from holdfast.domain.requests import RequestCount, RequestRecord

COUNTS_SHOWN_MAX = 1_000
"""Rows of counts that are looked at for one answer."""


class RecordRequests(NamedTuple):
    """Write requests that were answered, and add to the counts of those that are only counted.

    requests: without their ids, which are given in the order of writing. counts: what is to be added.
    """

    requests: tuple[RequestRecord, ...]
    counts: tuple[RequestCount, ...]

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The counts so far; requests are new rows."""
        return (_count_key(each) for each in self.counts)

    def decide(self, view: View) -> Reply:
        """How many requests were written, and the store's present."""
        for request in self.requests:
            view.put(request._replace(id=view.mint("req")))
        for count in self.counts:
            before = view.get(RequestCount, *_count_key(count).values)
            if before is not None:
                count = count._replace(requests=before.requests + count.requests, items=before.items + count.items)
            view.put(count)
        return Reply({"written": len(self.requests), "now_at_ms": view.now.wall_ms})


def _count_key(count: RequestCount) -> Key:
    return Key(RequestCount, count[:5])


def request_body(record: RequestRecord) -> Body:
    """A request as operators see it."""
    return {
        "id": record.id,
        "at_ms": record.at_ms,
        "method": record.method,
        "route": record.route,
        "status": record.status,
        "error_code": record.error_code,
        "detail": record.detail,
        "duration_ms": record.duration_us / 1_000,
        "request_bytes": record.request_bytes,
        "response_bytes": record.response_bytes,
        "idempotency_hit": record.is_replay,
        "key_id": record.key_id,
        "request_id": record.request_id,
        "correlation_id": record.correlation_id,
    }


REQUEST_LIST = ListSpec(
    "requests",
    (RequestRecord,),
    {
        **{
            name: (Filter("request_log", name),)
            for name in ("status", "method", "route", "key_id", "request_id", "correlation_id")
        },
        "errors_only": (Filter("request_log", "error_code", Operator.PRESENT),),
        "since": (Filter("request_log", "at_ms", Operator.FROM),),
        "until": (Filter("request_log", "at_ms", Operator.BEFORE),),
    },
    order="id",
)

COUNTS_OF_ACCOUNT = SetSpec(
    "request_counts_of_account", RequestCount, ("account_id",), order="minute_at_ms", limit=COUNTS_SHOWN_MAX
)
