"""`GET /metrics`: what was counted, in the form that Prometheus reads.

The numbers are kept by `engine.meters` as plain integers, which cost a request next to nothing; they become samples
only when somebody asks. `docs/metrics.md` lists them all, and a test holds it true.
"""

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from holdfast import __version__
from holdfast.domain.actor import KeyScope
from holdfast.domain.events import EventType
from holdfast.domain.limits import SECOND_MS
from holdfast.doors.http.call import Answer, Call, Document
from holdfast.doors.http.routing import Route, Routine
from holdfast.engine.core import Core
from holdfast.engine.meters import Histogram

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

UNMATCHED = "(none)"
"""The route of requests that meant none: their own paths would be as many labels as callers like."""


async def metrics(call: Call) -> Answer:
    """Everything that is counted, for Prometheus."""
    call.core.meters.settle()
    return Answer(200, await call.core.read(lambda _: exposition(call.core)))


def exposition(core: Core) -> Document:
    """All samples, as text. Asks the store, so it is not for the event loop."""
    # Imported when it is first needed: it is a tenth of what a start takes.
    from prometheus_client import CollectorRegistry, ProcessCollector
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Samples(core))
    ProcessCollector(registry=registry)
    return Document(CONTENT_TYPE_PLAIN_0_0_4.encode(), generate_latest(registry))


class Samples:
    """A collector of everything that a node knows about itself and, of sessions, about its store."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def collect(self) -> "Iterator[Metric]":
        """Every family of samples, as Prometheus's library asks for them."""
        yield _gauge("build_info", "The version that runs; always 1.", {(__version__,): 1}, ("version",))
        yield from self._requests()
        yield from self._heartbeats()
        yield from self._sessions()
        yield from self._writer()
        yield from self._sweeper()
        yield from self._webhooks()
        yield from self._log()

    def _requests(self) -> "Iterator[Metric]":
        meters = self._core.meters
        by_class: dict[tuple[str, ...], float] = {}
        seconds: dict[tuple[str, ...], Histogram] = {}
        for (method, path), meter in list(meters.routes.items()):
            route = (method, path or UNMATCHED)
            others = dict(meter.others)
            answered = sum(meter.seconds.counts)
            by_class |= {(*route, f"{status}xx"): count for status, count in others.items()}
            by_class[*route, "2xx"] = answered - sum(others.values())
            seconds[route] = meter.seconds
        labels = ("method", "route")
        yield _counter("http_requests", "Requests answered.", by_class, (*labels, "status"))
        yield _histogram("http_request_duration_seconds", "From the whole head to the answer.", seconds, labels)
        yield _counter("http_errors", "Requests refused, by problem code.", _by(meters.errors), ("code",))
        refused = _by(meters.wire_refusals())
        yield _counter("wire_refusals", "What was refused before it was a request, by code.", refused, ("code",))
        hits = {(): meters.idempotency_hits}
        yield _counter("idempotency_hits", "Requests answered with an earlier one's reply.", hits)

    def _heartbeats(self) -> "Iterator[Metric]":
        meters = self._core.meters
        yield _counter(
            "heartbeats_accepted", "Heartbeats accepted, batched ones each.", {(): meters.heartbeats_accepted}
        )
        refused = _by(meters.heartbeats_refused)
        yield _counter("heartbeats_refused", "Heartbeats refused, by code, batched ones each.", refused, ("code",))

    def _sessions(self) -> "Iterator[Metric]":
        events = self._core.engine.meters.events
        yield _counter("events", "Changes of sessions committed by this node.", _by(events), ("type",))
        ends = _by(self._core.engine.meters.ends)
        yield _counter("sessions_ended", "Sessions that are over, by reason, as this node saw it.", ends, ("reason",))
        stalls = {(): events[EventType.STALLED.value]}
        yield _counter("sessions_stalled", "Sessions found silent beyond their lease, or reported so.", stalls)
        reactivated = {(): events[EventType.REACTIVATED.value]}
        yield _counter("sessions_reactivated", "Stalled sessions that came back: false alarms.", reactivated)
        outcomes = {"recovered": events[EventType.RECOVERED.value], "quarantined": events[EventType.QUARANTINED.value]}
        recoveries = "Sessions that broke off and were recovered, or were not any more: quarantined."
        yield _counter("recoveries", recoveries, _by(outcomes), ("outcome",))
        delays = {(): self._core.engine.meters.detection_seconds}
        yield _histogram("detection_delay_seconds", "From a lease's end to the event that tells it.", delays)
        figures = self._core.session_counts.figures()
        yield _gauge("store_up", "Whether the store could be read for this answer.", {(): int(figures is not None)})
        if figures is None:
            # Samples that are missing are true; the last known ones would not be.
            return
        counts, state, now_at_ms = figures
        sessions = {(each.status.value, each.liveness.value if each.liveness else ""): each.sessions for each in counts}
        yield _gauge("sessions", "Sessions in the store, of all accounts.", sessions, ("status", "liveness"))
        paused = {(): state.paused_ms / SECOND_MS}
        yield _gauge("service_paused_seconds", "Time that counts for no lease: no node was serving.", paused)
        tick = {(): max(0, now_at_ms - state.last_tick_at_ms) / SECOND_MS}
        yield _gauge("service_tick_age_seconds", "Since a node last ticked the store's clock.", tick)

    def _writer(self) -> "Iterator[Metric]":
        engine = self._core.engine
        meters = engine.meters
        yield _gauge("writer_up", "Whether this node takes commands.", {(): int(engine.is_writable)})
        yield _gauge("queue_depth", "Commands that wait for the writer.", {(): engine.queue_depth})
        yield _histogram("batch_commands", "Commands in one transaction.", {(): meters.batch_commands})
        yield _histogram("batch_duration_seconds", "From taking a batch to its end.", {(): meters.batch_seconds})
        yield _histogram("commit_duration_seconds", "The commit alone.", {(): meters.commit_seconds})

    def _sweeper(self) -> "Iterator[Metric]":
        sweeper = self._core.sweeper
        if sweeper is None:
            return
        last = sweeper.last
        yield _counter("ready_seconds", "For how long this node has served.", {(): sweeper.ready_seconds})
        age = {(): time.monotonic() - last.finished_at}
        yield _gauge("sweep_age_seconds", "Since the sweeper last finished a pass.", age)
        yield _gauge("sweep_duration_seconds", "How long its last pass took.", {(): last.seconds})

    def _webhooks(self) -> "Iterator[Metric]":
        webhooks = self._core.webhooks
        if webhooks is None:
            return
        meters = webhooks.meters
        outcomes = _by(meters.attempts)
        yield _counter(
            "webhook_attempts", "Attempts to send to webhooks, by what they came to.", outcomes, ("outcome",)
        )
        seconds = {(): meters.seconds}
        yield _histogram("webhook_attempt_duration_seconds", "How long receivers took to answer.", seconds)
        yield _gauge("webhook_attempts_under_way", "Attempts that wait for a receiver.", {(): meters.under_way})

    def _log(self) -> "Iterator[Metric]":
        request_log = self._core.request_log
        yield _counter("request_log_dropped", "Lines of the request log that were lost.", {(): request_log.dropped})
        yield _gauge("request_log_waiting", "Lines of the request log not yet written.", {(): request_log.waiting})


Labels = TypeVar("Labels", bound=tuple[str, ...])
"""The values of a sample's labels."""


def _by(counts: Mapping[str, int]) -> dict[tuple[str, ...], float]:
    return {(name,): count for name, count in dict(counts).items()}


def _counter(name: str, about: str, values: Mapping[Labels, float], labels: tuple[str, ...] = ()) -> "Metric":
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"holdfast_{name}", about, labels=labels)
    for of_labels, value in sorted(values.items()):
        family.add_metric(of_labels, value)
    return family


def _gauge(name: str, about: str, values: Mapping[Labels, float], labels: tuple[str, ...] = ()) -> "Metric":
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"holdfast_{name}", about, labels=labels)
    for of_labels, value in sorted(values.items()):
        family.add_metric(of_labels, value)
    return family


def _histogram(name: str, about: str, values: Mapping[Labels, Histogram], labels: tuple[str, ...] = ()) -> "Metric":
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(f"holdfast_{name}", about, labels=labels)
    for of_labels, histogram in sorted(values.items(), key=lambda pair: pair[0]):
        counts, total = list(histogram.counts), histogram.total
        buckets: list[tuple[str, float]] = []
        below = 0
        for bound, count in zip((*histogram.bounds, float("inf")), counts, strict=True):
            below += count
            buckets.append(("+Inf" if bound == float("inf") else repr(float(bound)), below))
        family.add_metric(of_labels, buckets, total)
    return family


ROUTES = [Route("GET", "/metrics", metrics, KeyScope.READ, is_open_locally=True, routine=Routine.CHECK)]
