"""A client of a real server: one kept connection, and every reply as it came."""

import http.client
import json
import ssl
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from tests.support.server import HOST, KEY

Body = dict[str, Any]

ANSWER_SECONDS_MAX = 20.0
"""How long a request may stay unanswered, unless a test says otherwise; a healthy server needs milliseconds."""

LIST_LIMIT = 200

GATEWAY_STATUSES = (502, 504)


class Reachable(Protocol):
    """What has a port; after a restart it is another one."""

    @property
    def port(self) -> int: ...


class Unanswered(Exception):
    """No reply came: nobody knows whether the request was carried out."""


class Answer(NamedTuple):
    """A reply."""

    status: int
    content: bytes
    is_replay: bool

    @property
    def body(self) -> Body:
        """The document that it carries."""
        body: Body = json.loads(self.content)
        return body

    @property
    def code(self) -> str | None:
        """Why it was refused; None where it was not."""
        return None if self.status < 400 else str(self.body["code"])


class Client:
    """Sends one request after another to a server, and connects again where the connection was lost."""

    def __init__(
        self,
        server: Reachable,
        *,
        key: str = KEY,
        answer_seconds_max: float = ANSWER_SECONDS_MAX,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """context: for a server that speaks TLS."""
        self._server = server
        self._key = key
        self._answer_seconds_max = answer_seconds_max
        self._context = context
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def send(self, method: str, path: str, body: Body | None = None, *, key: str | None = None) -> Answer:
        """The reply. key: an idempotency key. Raises: Unanswered."""
        self.ask(method, path, body, key=key)
        return self.hear()

    def ask(self, method: str, path: str, body: Body | None = None, *, key: str | None = None) -> None:
        """Send a request, and leave the reply to `hear`. Raises: Unanswered."""
        headers = {"Authorization": f"Bearer {self._key}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key is not None:
            headers["Idempotency-Key"] = key
        content = None if body is None else json.dumps(body).encode()
        if self._connection is None:
            self._connection = self._connect()
        try:
            self._connection.request(method, path, content, headers)
        except OSError as error:
            self.close()
            raise Unanswered from error

    def _connect(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(HOST, self._server.port, timeout=self._answer_seconds_max)
        timeout = self._answer_seconds_max
        return http.client.HTTPSConnection(HOST, self._server.port, timeout=timeout, context=self._context)

    def hear(self) -> Answer:
        """The reply to what was asked. Raises: Unanswered."""
        assert self._connection is not None
        try:
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unanswered from error
        if response.status in GATEWAY_STATUSES:
            # A proxy's word: it does not know either.
            raise Unanswered
        return Answer(response.status, content, response.headers.get("Idempotency-Replayed") == "true")

    def get(self, path: str) -> Answer:
        """What there is."""
        return self.send("GET", path)

    def post(self, path: str, body: Body | None = None, *, key: str | None = None) -> Answer:
        """What becomes of a command."""
        return self.send("POST", path, {} if body is None else body, key=key)

    def start(self, scope: str | None, *, holder_id: str, key: str | None = None, **fields: Any) -> Answer:
        """Start a session as the agent `prover`."""
        body = {"scope": scope, "agent": "prover", "holder_id": holder_id, **fields}
        return self.post("/v1/sessions", body, key=key)

    def started(self, scope: str | None, *, holder_id: str, **fields: Any) -> Body:
        """A session that could be started."""
        answer = self.start(scope, holder_id=holder_id, **fields)
        assert answer.status in (200, 201), answer
        return answer.body

    def session(self, session_id: str) -> Body:
        """A session as it is."""
        answer = self.get(f"/v1/sessions/{session_id}")
        assert answer.status == 200, answer
        return answer.body

    def checkpoints(self, session_id: str) -> list[Body]:
        """All checkpoints of a session, from the first one on."""
        found: list[Body] = []
        page = f"/v1/sessions/{session_id}/checkpoints?limit={LIST_LIMIT}"
        cursor = ""
        while True:
            answer = self.get(page + cursor)
            assert answer.status == 200, answer
            found += answer.body["items"]
            if answer.body["next_cursor"] is None:
                return found[::-1]
            cursor = f"&cursor={quote(answer.body['next_cursor'])}"

    def events(self, *, after: str | None = None, path: str = "/v1/events", **filters: str) -> list[Body]:
        """All events after a cursor, in order."""
        found: list[Body] = []
        narrowed = "".join(f"&{name}={quote(value)}" for name, value in filters.items())
        while True:
            cursor = "" if after is None else f"&after={quote(after)}"
            answer = self.get(f"{path}?limit={LIST_LIMIT}{narrowed}{cursor}")
            assert answer.status == 200, answer
            items = answer.body["items"]
            found += items
            if len(items) < LIST_LIMIT:
                return found
            after = items[-1]["cursor"]
