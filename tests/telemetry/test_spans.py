"""Traces: a span a request, a span a batch, linked; and nothing at all where nobody asked for them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from holdfast import telemetry
from holdfast.bootstrap import CannotTrace, build, open_base
from holdfast.config import load
from holdfast.telemetry import Telemetry, TelemetryMissing, exporting_to
from holdfast.testing.clock import FakeClock
from tests.api.driver import Account, Server, serving

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Traced(NamedTuple):
    """A server whose spans are kept."""

    server: Server
    account: Account
    exporter: InMemorySpanExporter

    def spans(self) -> list[ReadableSpan]:
        """Those that ended since the last time, batches before the requests that waited for them."""
        found = list(self.exporter.get_finished_spans())
        self.exporter.clear()
        return found


@pytest.fixture
def traced(database_url: str) -> Iterator[Traced]:
    with serving(database_url, FakeClock()) as server:
        account = server.new_account()
        exporter = InMemorySpanExporter()
        traces = Telemetry(SimpleSpanProcessor(exporter))
        server.engine.tracer = traces
        server.app = traces.traced(server.app)  # type: ignore[assignment]
        yield Traced(server, account, exporter)
        traces.stop()


def test_a_request_continues_its_callers_trace_and_its_batch_is_linked_to_it(traced: Traced) -> None:
    traced.account.call(
        "POST", "/v1/sessions", {"agent": "a"}, traceparent=f"00-{TRACE}-{PARENT}-01", X_Correlation_Id="corr"
    )
    batch, request = traced.spans()
    assert request.context is not None
    assert request.parent is not None
    assert (request.name, request.kind) == ("POST /v1/sessions", SpanKind.SERVER)
    assert (format_trace_id(request.context.trace_id), format_span_id(request.parent.span_id)) == (TRACE, PARENT)
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/sessions",
        "http.response.status_code": 201,
        "holdfast.correlation_id": "corr",
    }
    assert (batch.name, dict(batch.attributes or {})) == ("batch", {"holdfast.batch.commands": 1})
    assert [link.context for link in batch.links] == [request.context]
    assert batch.parent is None


def test_one_batch_is_linked_to_all_its_requests(traced: Traced) -> None:
    account = traced.account
    session = account.start()
    traced.spans()
    beat = account.request("POST", f"/v1/sessions/{session['id']}/heartbeat", {})
    traced.server.ask_all([beat] * 5)
    spans = traced.spans()
    batches = [span for span in spans if span.name == "batch"]
    requests = [span for span in spans if span.name != "batch"]
    assert {span.name for span in requests} == {"POST /v1/sessions/{id}/heartbeat"}
    linked = [link.context.span_id for batch in batches for link in batch.links]
    assert sorted(linked) == sorted(span.context.span_id for span in requests if span.context is not None)
    assert max(len(batch.links) for batch in batches) > 1


def test_a_trace_without_a_parent_and_one_that_is_malformed_begin_anew(traced: Traced) -> None:
    traced.account.call("GET", "/v1/sessions")
    for traceparent in ("nonsense", f"00-{'0' * 32}-{PARENT}-01"):
        traced.account.call("GET", "/v1/sessions", traceparent=traceparent)
    assert [span.parent for span in traced.spans()] == [None] * 3


def test_failures_are_marked_and_what_callers_sent_is_not_told(traced: Traced) -> None:
    secret = traced.account.keys["agent"]
    traced.account.call("GET", f"/v1/sessions/{secret}?q={secret}", X_Correlation_Id=secret)
    traced.account.call("GET", f"/{secret}")
    traced.server.loop.run_until_complete(traced.server.engine.stop())
    traced.account.call("POST", "/v1/sessions", {"agent": secret})
    spans = traced.spans()
    assert [span.status.status_code for span in spans] == [StatusCode.UNSET, StatusCode.UNSET, StatusCode.ERROR]
    assert [span.name for span in spans] == ["GET /v1/sessions/{id}", "GET", "POST /v1/sessions"]
    assert secret not in "".join(span.to_json() for span in spans)


def test_a_trace_that_fails_keeps_nothing_from_being_written(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(traced.server.engine.tracer, "batch", fails)
    traced.account.start()
    assert traced.server.engine.is_writable


def test_an_endpoint_without_the_extra_stops_the_start_and_says_what_to_install(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, telemetry.EXPORTER, None)
    with pytest.raises(TelemetryMissing, match=r"holdfast\[otel\]"):
        exporting_to("http://localhost:4318")
    environ = {
        "HOLDFAST_DATABASE_URL": sqlite_url,
        "HOLDFAST_PORT": "0",
        "HOLDFAST_OTEL_ENDPOINT": "http://localhost:1",
    }
    environ["HOLDFAST_WRITER"] = "thread"
    settings = load({}, environ, tmp_path).settings
    base = open_base(settings)
    with pytest.raises(CannotTrace, match=r"holdfast\[otel\]"):
        build(settings, base, on_ready=lambda _: None)
    base.close()


def test_the_endpoint_of_other_programs_is_honoured_and_ours_wins(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    assert load({}, environ, tmp_path).settings.otel_endpoint == "http://collector:4318"
    environ["HOLDFAST_OTEL_ENDPOINT"] = "https://traces.example/otlp"
    assert load({}, environ, tmp_path).settings.otel_endpoint == "https://traces.example/otlp"


def test_without_an_endpoint_nothing_of_it_is_imported() -> None:
    program = (
        "import sys, holdfast.bootstrap, holdfast.doors.cli.serve\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'prometheus_client'))"
        " or name == 'holdfast.telemetry'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
