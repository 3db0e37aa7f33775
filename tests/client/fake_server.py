"""A server that answers a few /v1 routes as native-v1 says, and that can be made to misbehave.

It keeps no rules about leases: a test says what it is to refuse. Everything that it was asked is kept in order.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WAIT_SECONDS_MAX = 30.0

KEY = "hfk_test_0123456789abcdef"


@dataclass(frozen=True)
class Asked:
    """One request that reached the server."""

    method: str
    path: str
    body: Any
    headers: dict[str, str]

    @property
    def idempotency_key(self) -> str | None:
        return self.headers.get("idempotency-key")


@dataclass(frozen=True)
class Reply:
    """What the server says. drops: carry out, then close without a word."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    drops: bool = False


def problem(status: int, code: str, detail: str = "No.", **more: object) -> Reply:
    """A refusal as native-v1 shapes it."""
    body = {"type": "about:blank", "title": code, "status": status, "detail": detail, "code": code, **more}
    return Reply(status, body)


Rule = Callable[[Asked], Reply | None]


class FakeServer:
    """State of the server, the same over its restarts. rules: asked first, in order; None: the usual answer.

    slot_count: of every machine; None: there is none.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.rules: list[Rule] = []
        self.stop_reason: str | None = None
        self.is_silent = False
        self.slot_count: int | None = 4
        self.sessions: dict[str, dict[str, Any]] = {}
        self.reports: dict[str, Any] = {}
        self._replies: dict[tuple[str, str], tuple[Any, Reply]] = {}
        self._changed = threading.Condition()
        self._http: ThreadingHTTPServer | None = None
        self._released = threading.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def listen(self) -> None:
        """Listen, on the same port as before."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def do_POST(self) -> None:
                fake._handle(self)

            def do_GET(self) -> None:
                fake._handle(self)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True

        self._http = Server(("127.0.0.1", self.port), Handler)
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        """Stop listening; connections that are open get no further answer."""
        self._released.set()
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    def refuse(self, path_end: str, reply: Reply, *, times: int = 1_000_000) -> None:
        """Answer so to requests whose path ends so."""
        left = [times]

        def rule(asked: Asked) -> Reply | None:
            if asked.path.endswith(path_end) and left[0] > 0:
                left[0] -= 1
                return reply
            return None

        self.rules.append(rule)

    def asked_for(self, path_end: str) -> list[Asked]:
        with self._changed:
            return [asked for asked in self.asked if asked.path.endswith(path_end)]

    def wait_for(self, path_end: str, *, count: int = 1) -> list[Asked]:
        """The requests whose path ends so, when there are that many."""
        with self._changed:
            enough = self._changed.wait_for(lambda: len(self.asked_for(path_end)) >= count, WAIT_SECONDS_MAX)
            assert enough, f"asked only for {[asked.path for asked in self.asked]}"
        return self.asked_for(path_end)

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        content = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, handler.path, json.loads(content) if content else None, headers)
        with self._changed:
            self.asked.append(asked)
            self._changed.notify_all()
            is_silent = self.is_silent
            reply = self._reply(asked)
        if is_silent:
            self._released.wait(WAIT_SECONDS_MAX)
        if is_silent or reply.drops or self._http is None:
            handler.close_connection = True
            return
        kind = "application/json" if reply.status < 300 else "application/problem+json"
        sent = json.dumps(reply.body).encode() if reply.body is not None else b""
        handler.send_response(reply.status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(sent)), **reply.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(sent)

    def _reply(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return problem(401, "unauthenticated", "This needs a key.")
        for rule in self.rules:
            if (reply := rule(asked)) is not None:
                return reply
        slot = (asked.path, asked.idempotency_key or "")
        if asked.idempotency_key and slot in self._replies:
            body, reply = self._replies[slot]
            if body != asked.body:
                return problem(422, "idempotency_key_reused")
            return Reply(reply.status, reply.body, {"Idempotency-Replayed": "true"})
        reply = self._carry_out(asked)
        if asked.idempotency_key and reply.status < 300:
            self._replies[slot] = (asked.body, reply)
        return reply

    def _carry_out(self, asked: Asked) -> Reply:
        match asked.path.split("/")[1:]:
            case ["v1", "sessions"]:
                return self._start(asked.body)
            case ["v1", "machines", machine_id] if asked.method == "GET":
                if self.slot_count is None:
                    return problem(404, "not_found", "There is no such machine.")
                return Reply(200, {"id": machine_id, "slot_count": self.slot_count})
            case ["v1", "sessions", "report"]:
                is_new = asked.body["client_session_id"] not in self.reports
                self.reports[asked.body["client_session_id"]] = asked.body
                return Reply(201 if is_new else 200, {"id": "sess_reported", "reported_late": True, **asked.body})
            case ["v1", "sessions", session_id, verb] if session_id in self.sessions:
                return self._change(self.sessions[session_id], verb, asked.body)
        return problem(404, "not_found")

    def _start(self, body: Any) -> Reply:
        session_id = f"sess_{len(self.sessions) + 1}"
        scope = body["scope"]
        session = {
            "id": session_id,
            "status": "active",
            "scope": scope if isinstance(scope, str) else ";".join(f"{name}={value}" for name, value in scope.items()),
            "fencing_token": len(self.sessions) + 1,
            "outcome": "taken_over" if body.get("take_over") else "created",
            "policy": body["policy"],
            "last_heartbeat_at": "2026-01-17T10:00:00.000Z",
            "next_heartbeat_at": _later(body["policy"]["heartbeat_interval_seconds"]),
            "last_checkpoint": None,
            "last_handoff": None,
        }
        if body.get("take_over"):
            session["took_over_from"] = "sess_old"
            session["last_checkpoint"] = {
                "session_id": "sess_old",
                "summary": "Half of the \x1b[31mtests pass",
                "next_actions": ["fix the other half"],
            }
        self.sessions[session_id] = session
        return Reply(201, session)

    def _change(self, session: dict[str, Any], verb: str, body: Any) -> Reply:
        if body.get("fencing_token") != session["fencing_token"]:
            return problem(409, "fencing_token_stale", "This fencing token is not the current one.")
        if session["status"] != "active":
            return problem(409, "session_ended", "The session has ended.")
        match verb:
            case "heartbeat":
                interval = session["policy"]["heartbeat_interval_seconds"]
                times = {
                    "last_heartbeat_at": "2026-01-17T10:00:00.000Z",
                    "next_heartbeat_at": _later(interval),
                }
                stop = {"reason": self.stop_reason} if self.stop_reason else None
                return Reply(200, {"id": session["id"], **times, "stop_requested": stop})
            case "end" | "fail":
                session["status"] = "ended" if verb == "end" else "failed"
                return Reply(200, session)
            case _:
                return problem(404, "not_found")


def _later(seconds: float) -> str:
    return f"2026-01-17T10:{int(seconds // 60):02}:{seconds % 60:06.3f}Z"


@contextmanager
def fake_server() -> Iterator[FakeServer]:
    """A server that listens, and is closed at the end."""
    server = FakeServer()
    server.listen()
    try:
        yield server
    finally:
        server.close()
