"""Traces by OpenTelemetry, where an endpoint is configured: a span a request, and a span a batch, linked to them.

Imported only then, and so are OpenTelemetry's packages, which come with the extra `holdfast[otel]`. Spans name routes,
statuses and correlation ids; never here: a body, a query, a key.
"""

import importlib
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from holdfast import __version__
from holdfast.doors.http.observing import ROUTE
from holdfast.logs import redacted

try:
    from opentelemetry.context import Context
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as error:
    MISSING: ImportError | None = error
else:
    MISSING = None

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
TRACES_PATH = "/v1/traces"

LINKS_MAX = 128
"""Requests that a batch is linked to: as many as the SDK keeps by default."""


class TelemetryMissing(Exception):
    """An endpoint for traces is configured, and what sends them is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "HOLDFAST_OTEL_ENDPOINT (or OTEL_EXPORTER_OTLP_ENDPOINT) is set, and OpenTelemetry is not installed. "
            "Install it with `pip install 'holdfast[otel]'`, or unset the variable."
        )


def exporting_to(endpoint: str) -> "Telemetry":
    """Traces that are sent to an OTLP endpoint over HTTP. Raises: TelemetryMissing."""
    if MISSING is not None:
        raise TelemetryMissing from MISSING
    try:
        exporter = importlib.import_module(EXPORTER).OTLPSpanExporter
    except ImportError as error:
        raise TelemetryMissing from error
    base = endpoint.rstrip("/")
    return Telemetry(BatchSpanProcessor(exporter(base if base.endswith(TRACES_PATH) else base + TRACES_PATH)))


class Telemetry:
    """Makes spans, and hands them to a processor."""

    def __init__(self, processor: "SpanProcessor") -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "holdfast", "service.version": __version__})
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("holdfast", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def traced(self, application: Application) -> Application:
        """The application, with a span for each request that continues its caller's trace (W3C traceparent)."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await application(scope, receive, send)
                return
            headers = dict(scope["headers"])
            named = {name: headers[name.encode()].decode("latin-1") for name in _TRACED if name.encode() in headers}
            method = scope["method"]
            with self._tracer.start_as_current_span(
                method,
                context=self._propagator.extract(named),
                kind=SpanKind.SERVER,
                attributes={"http.request.method": method},
            ) as span:

                async def told(message: MutableMapping[str, Any]) -> None:
                    if message["type"] == "http.response.start":
                        _tell(span, message)
                    await send(message)

                await application(scope, receive, told)
                route = scope.get(ROUTE)
                if route is not None:
                    span.update_name(f"{method} {route.path}")
                    span.set_attribute("http.route", route.path)

        return serve

    def current(self) -> object:
        """The context of the request's span; None where there is none."""
        context = get_current_span().get_span_context()
        return context if context.is_valid else None

    def batch(self, requests: Sequence[object], *, seconds: float) -> None:
        """The span of a batch that has just ended, linked to its requests."""
        contexts = {each.span_id: each for each in requests if isinstance(each, SpanContext)}
        links = [Link(each) for each in contexts.values()][:LINKS_MAX]
        ended_ns = time.time_ns()
        # A batch is nobody's part: the context that happens to be current here is not its parent.
        span = self._tracer.start_span(
            "batch",
            context=Context(),
            links=links,
            attributes={"holdfast.batch.commands": len(requests)},
            start_time=ended_ns - int(seconds * 1e9),
        )
        span.end(ended_ns)

    def stop(self) -> None:
        """Send what waits, and stop."""
        self._provider.shutdown()


_TRACED = ("traceparent", "tracestate")


def _tell(span: "Span", message: MutableMapping[str, Any]) -> None:
    status = message["status"]
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))
    for name, value in message["headers"]:
        if name == b"x-correlation-id":
            span.set_attribute("holdfast.correlation_id", redacted(value.decode()))
