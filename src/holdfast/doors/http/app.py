"""The ASGI application: finds the route, the caller and the body, calls the handler, and answers.

One order for every request: path and method, key, scope of the key, account, body, command. Nothing of a body is read
for a caller who may not send it.
"""

import asyncio
import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import rfc8785

from holdfast.commands.bodies import Body
from holdfast.commands.view import Idempotency
from holdfast.domain.actor import Actor, KeyScope, may
from holdfast.domain.errors import Code, FieldError, Refusal
from holdfast.domain.ids import AccountId, KeyId
from holdfast.doors.http import strict_json
from holdfast.doors.http.bodies import (
    OF_ACCOUNTS,
    PATTERNS_IN_WORDS,
    BodyTooLarge,
    ClientGone,
    InvalidBody,
    WholeBody,
    decode_into,
    read_body,
)
from holdfast.doors.http.call import Answer, Call, Document, KeptRefusal, Streamed, Watch, revision_of
from holdfast.doors.http.description import Description
from holdfast.doors.http.dialect import NATIVE, Dialect
from holdfast.doors.http.faults import well_formed
from holdfast.doors.http.limits import DECODED_AT_ONCE_BYTES_MAX
from holdfast.doors.http.observing import ACTOR, BODY_BYTES, ROUTE, Observer, now
from holdfast.doors.http.problems import HttpProblem, document, refusal_document
from holdfast.doors.http.rating import headers as rate_headers
from holdfast.doors.http.rating import take
from holdfast.doors.http.rendering import rendered
from holdfast.doors.http.routes import ROUTES
from holdfast.doors.http.routing import Route, Router
from holdfast.engine.core import Core
from holdfast.engine.event_hub import Permission
from holdfast.engine.rate_limiter import Standing

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = dict[bytes, bytes]
Pairs = tuple[tuple[bytes, bytes], ...]

JSON_TYPE = (b"content-type", b"application/json")
EVENT_STREAM = ((b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no"))
"""The second keeps nginx, and what copies it, from holding events back."""
LINES_TYPE = (b"content-type", b"application/jsonl")
NO_STORE = (b"cache-control", b"no-store")
CLOSE = (b"connection", b"close")

REQUEST_ID_BYTES = 8

BEARERS_REMEMBERED_MAX = 1_024
"""Headers whose key is remembered: taking one apart costs as much as looking its key up."""

_ACCOUNT_ID = re.compile(OF_ACCOUNTS)


class HttpApp:
    """Serves every HTTP path of the product.

    starts, stops: called by the server's lifespan. local_hosts_only: refuse requests for another Host, and those that a
    page of another origin makes (`--no-auth`). is_local: nobody but this machine reaches the server, neither directly
    nor through a proxy, so that what describes it needs no key.
    """

    def __init__(
        self,
        core: Core,
        *,
        on_start: Callable[[], Awaitable[None]],
        on_stop: Callable[[], Awaitable[None]],
        local_hosts_only: bool,
        is_local: bool,
    ) -> None:
        self._core = core
        self._observer = Observer(core)
        self._router = Router(Description(ROUTES).routes)
        self._on_start = on_start
        self._on_stop = on_stop
        self._local_hosts_only = local_hosts_only
        self._is_local = is_local
        # One, so that however many large bodies come at a time, the event loop has one rival for the interpreter.
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="holdfast-decoder")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        began = now()
        headers: Headers = dict(scope["headers"])
        request_id = well_formed(headers.get(b"x-request-id")) or self._core.random.take(REQUEST_ID_BYTES).hex()
        correlation_id = well_formed(headers.get(b"x-correlation-id")) or request_id
        ids: Pairs = ((b"x-request-id", request_id.encode()), (b"x-correlation-id", correlation_id.encode()))
        standings: list[Standing] = []
        try:
            if len(headers) < len(scope["headers"]):
                _require_single(scope["headers"])
            answer = await self._answer(
                scope, headers, receive, standings, request_id=request_id, correlation_id=correlation_id
            )
        except ClientGone:
            return
        except Exception as error:
            problem, more = _problem(error, path=scope["raw_path"].decode("ascii", "replace"), request_id=request_id)
            told = rate_headers(standings[-1]) if standings else ()
            dialect = self._dialect_of(error, scope, headers)
            problem, shown = dialect.told_here(problem, correlation_id)
            media_type = (b"content-type", dialect.problem_type.encode())
            content = rendered(shown)
            await _send(send, problem["status"], (media_type, NO_STORE, *ids, *told, *more), content)
            self._observer.refused(scope, problem, began, len(content), ids)
            return
        if standings:
            ids = ids + rate_headers(standings[-1])
        if not isinstance(answer, Answer):
            if scope["method"] == "HEAD":
                answer.stop()
            await _stream(answer, receive, send, headers=(*EVENT_STREAM, NO_STORE, *ids))
            self._observer.answered(scope, Answer(200, None), began, 0, ids)
            return
        replayed = scope[ROUTE].dialect.replay_headers if answer.is_replay else ()
        content = b""
        if answer.lines is not None:
            await _send_lines(send, answer.status, (LINES_TYPE, NO_STORE, *ids), answer.lines)
        elif answer.body is None:
            await _send(send, answer.status, (NO_STORE, *ids, *replayed), content)
        elif isinstance(answer.body, Document):
            content = answer.body.content
            more = ((b"content-type", answer.body.media_type), *answer.body.headers)
            await _send(send, answer.status, (*more, NO_STORE, *ids, *replayed), content)
        else:
            content = answer.body if isinstance(answer.body, bytes) else rendered(answer.body)
            await _send(send, answer.status, (JSON_TYPE, NO_STORE, *ids, *replayed), content)
        self._observer.answered(scope, answer, began, len(content), ids)

    def _dialect_of(self, error: Exception, scope: Scope, headers: Headers) -> Dialect:
        """How the caller of a request that failed is spoken to."""
        if isinstance(error, HttpProblem) and error.dialect is not None:
            return error.dialect
        route: Route | None = scope.get(ROUTE)
        return self._router.dialect(scope["raw_path"], headers) if route is None else route.dialect

    def telling(self, path: bytes, problem: Body, correlation_id: str) -> tuple[Body, str]:
        """A problem as a path tells of it, and the media type of that; for what is refused before it comes here."""
        dialect = self._router.dialect(path)
        return dialect.told_here(problem, correlation_id)[1], dialect.problem_type

    async def _answer(
        self,
        scope: Scope,
        headers: Headers,
        receive: Receive,
        standings: list[Standing],
        *,
        request_id: str,
        correlation_id: str,
    ) -> Answer | Streamed:
        route, ids = self._router.find(scope["method"], scope["raw_path"])
        scope[ROUTE] = route
        if self._local_hosts_only:
            _require_local(headers)
        is_open = route.is_open_locally and self._is_local and _is_from_here(headers)
        needed = None if is_open else route.scope
        if needed is None:
            actor = _ANYBODY
            raw = await read_body(receive, scope, limit_bytes=0)
        else:
            # The usual way through here waits for nothing, nor makes anything to be awaited: every beat comes this way.
            key = _key(headers, route.dialect)
            holder = None if key is None else self._core.remembered(key)
            scope[ACTOR] = actor = holder or await self._key_holder(key, route.dialect)
            take(self._core, actor, route.budget, cost=1, standings=standings)
            if b"x-account-id" in headers or not may(actor, needed):
                scope[ACTOR] = actor = await self._acting(actor, headers, needed, correlation_id=correlation_id)
            raw = await read_body(receive, scope, limit_bytes=route.body_bytes_max)
        scope[BODY_BYTES] = len(raw)
        if len(raw) <= DECODED_AT_ONCE_BYTES_MAX:
            body, idempotency = _decoded(route, raw, headers, actor, scope, core=self._core)
        else:
            loop = asyncio.get_running_loop()
            decode = partial(_decoded, route, raw, headers, actor, scope, core=self._core)
            body, idempotency = await loop.run_in_executor(self._decoder, decode)
        call = Call(
            core=self._core,
            actor=actor,
            ids=ids,
            body=body,
            query=_query(route, scope["query_string"]),
            idempotency=idempotency,
            revision=revision_of(_text(headers.get(b"if-match"))) if route.takes_revision else None,
            request_id=request_id,
            correlation_id=correlation_id,
            size_bytes=len(raw),
            watch=self._watch(headers, route.scope) if route.is_watching and route.scope is not None else None,
            standings=standings,
        )
        return await route.handler(call)

    async def _key_holder(self, key: str | None, dialect: Dialect = NATIVE) -> Actor:
        """Whose key a request carries. Raises: HttpProblem 401, account_suspended."""
        actor = await self._core.authenticate(key)
        if actor is None:
            raise _unauthorized(dialect, was_given=key is not None)
        return actor

    async def _acting(self, actor: Actor, headers: Headers, needed: KeyScope | None, *, correlation_id: str) -> Actor:
        """The holder of a key in the account that a request names. Raises: forbidden, not_found, validation_failed."""
        if needed is not None and not may(actor, needed):
            raise Refusal(Code.FORBIDDEN, scope=needed.value)
        account = headers.get(b"x-account-id")
        if account is None:
            return actor
        named = _text(account) or ""
        if _ACCOUNT_ID.fullmatch(named) is None:
            raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("X-Account-Id", PATTERNS_IN_WORDS[OF_ACCOUNTS]),))
        acting = await self._core.acting_for(actor, AccountId(named), correlation_id=correlation_id)
        if acting is None:
            raise Refusal(Code.NOT_FOUND, what="account")
        return acting

    def _watch(self, headers: Headers, needed: KeyScope) -> Watch:
        """What a request needs in order to wait: above all, whether its key still lets it."""

        async def is_valid() -> bool:
            try:
                await self._acting(await self._key_holder(_key(headers, NATIVE)), headers, needed, correlation_id="")
            except HttpProblem:
                return False
            except Refusal as refusal:
                # While the store is away nobody knows better, and there is nothing to be read either.
                return refusal.code == Code.UNAVAILABLE
            return True

        credential = tuple(headers.get(name) for name in _CREDENTIALS)
        return Watch(_text(headers.get(b"last-event-id")), Permission(credential, is_valid))

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._on_start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._on_stop()
                self._decoder.shutdown(wait=True, cancel_futures=True)
                await send({"type": "lifespan.shutdown.complete"})
                return


_CREDENTIALS = (b"authorization", b"x-api-key", b"x-account-id")
"""Headers by which a request is let in."""

_SINGLE = frozenset({*_CREDENTIALS, b"x-relay-key", b"content-type", b"idempotency-key", b"if-match", b"last-event-id"})
"""Headers that say one thing: of two, a proxy before us and we might each heed another one."""

_ANYBODY = Actor(AccountId(""), KeyId(""), KeyScope.READ)


async def _send_lines(send: Send, status: int, headers: Pairs, lines: AsyncIterator[bytes]) -> None:
    """Send lines as they come. Where they fail, the answer is broken off, and so not taken for a whole one."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    async for each in lines:
        await send({"type": "http.response.body", "body": each, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send(send: Send, status: int, headers: tuple[tuple[bytes, bytes], ...], body: bytes) -> None:
    if status != 204:
        headers = (*headers, (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(
    streamed: Streamed, receive: Receive, send: Send, *, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    async def until_gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    gone = asyncio.ensure_future(until_gone())
    gone.add_done_callback(lambda _: streamed.stop())
    try:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while (part := await streamed.next_part()) is not None:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        streamed.close()


def _problem(error: Exception, *, path: str, request_id: str) -> tuple[Body, tuple[tuple[bytes, bytes], ...]]:
    """The document, which holds the status, and further headers for whatever kept a request from being answered."""
    match error:
        case Refusal():
            body = refusal_document(error, instance=path, request_id=request_id)
            return body, _retry_after(error.retry_after_ms)
        case KeptRefusal():
            body = refusal_document(error.refusal, instance=path, request_id=request_id)
            return body, NATIVE.replay_headers if error.is_replay else ()
        case HttpProblem():
            body = document(error.status, error.code, error.detail, instance=path, request_id=request_id)
            return body, (*error.headers, CLOSE) if error.closes else error.headers
        case BodyTooLarge():
            detail = f"The body is over this route's limit of {error.limit_bytes} bytes."
            size = {} if error.size_bytes is None else {"size": error.size_bytes}
            too_large = document(
                413, "payload_too_large", detail, instance=path, request_id=request_id, limit=error.limit_bytes, **size
            )
            return too_large, (CLOSE,)
        case InvalidBody():
            invalid = Refusal(Code.VALIDATION_FAILED, errors=tuple(FieldError(*each) for each in error.errors))
            return _problem(invalid, path=path, request_id=request_id)
        case strict_json.MalformedJson():
            detail = f"The body is not acceptable JSON: {error.reason}."
            return document(400, "malformed_json", detail, instance=path, request_id=request_id), ()
        case _:
            log.error("request_failed request_id=%s", request_id, exc_info=error)
            return _problem(Refusal(Code.INTERNAL), path=path, request_id=request_id)


def _retry_after(retry_after_ms: int | None) -> tuple[tuple[bytes, bytes], ...]:
    if retry_after_ms is None:
        return ()
    return ((b"retry-after", str(max(1, retry_after_ms // 1_000)).encode()),)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _key(headers: Headers, dialect: Dialect) -> str | None:
    """The key that a request carries, in either header. Raises: HttpProblem 401."""
    authorization = headers.get(b"authorization")
    if authorization is not None:
        return _bearer(authorization)
    return _text(headers.get(dialect.key_header))


@lru_cache(maxsize=BEARERS_REMEMBERED_MAX)
def _bearer(authorization: bytes) -> str:
    kind, _, key = authorization.decode("latin-1").partition(" ")
    if kind.lower() != "bearer" or not key.strip():
        raise _unauthorized(NATIVE, was_given=True)
    return key.strip()


def _unauthorized(dialect: Dialect, *, was_given: bool) -> HttpProblem:
    detail = (
        "This key is not valid."
        if was_given
        else f"A key is needed, as `Authorization: Bearer <key>` or `{dialect.key_words}: <key>`."
    )
    return HttpProblem(401, "unauthorized", detail, headers=((b"www-authenticate", b"Bearer"),))


def _require_single(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse a request that says the same thing twice. Raises: HttpProblem 400."""
    for name, times in Counter(name for name, _ in headers).items():
        if times > 1 and name in _SINGLE:
            raise HttpProblem(400, "malformed_request", f"The header {name.decode()} is there {times} times.")


_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_FORWARDED = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})
"""What a proxy adds: behind one, a local address says nothing of who asks."""


def _require_local(headers: Headers) -> None:
    """Refuse what a page elsewhere could have sent, or somebody else through a proxy. Raises: HttpProblem 403."""
    if not _is_from_here(headers):
        raise HttpProblem(403, "not_local", "Without keys, only this machine itself is served.")


def _is_from_here(headers: Headers) -> bool:
    """Whether this machine was asked under its own name: not by a page of another origin, nor through a proxy.

    A page elsewhere can have its name resolved to a loopback address, but it cannot change what its requests call the
    server.
    """
    host = (_text(headers.get(b"host")) or "").lower()
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    origin = _text(headers.get(b"origin"))
    is_foreign = origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}")
    return name in _LOCAL_NAMES and not is_foreign and _FORWARDED.isdisjoint(headers)


def _decoded(
    route: Route, raw: bytes, headers: Headers, actor: Actor, scope: Scope, *, core: Core
) -> tuple[Any, Idempotency | None]:
    """A body as its route's record, and by what its repetition is recognised. Raises: whatever is wrong with it."""
    body = _body(route, raw, headers, core)
    key = headers.get(b"idempotency-key")
    if not route.is_mutating:
        return body, None
    if key is None and route.dialect.key_field is not None:
        named = getattr(body, route.dialect.key_field, None)
        key = None if named is None else named.encode()
    if key is None:
        return body, None
    return body, _idempotency(key, actor, scope, raw, dialect=route.dialect, core=core)


def _body(route: Route, raw: bytes, headers: Headers, core: Core) -> Any:
    """The route's record of a body. Raises: HttpProblem 415, MalformedJson, InvalidBody."""
    if route.body is None:
        if raw:
            raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("", "takes no body"),))
        return None
    if raw and b"content-encoding" in headers and headers[b"content-encoding"].lower() != b"identity":
        raise HttpProblem(
            415,
            "unsupported_media_type",
            "The body must be sent as it is, without a Content-Encoding.",
            headers=((b"accept-encoding", b"identity"),),
        )
    if raw and not route.dialect.is_lenient:
        content_type = headers.get(b"content-type", b"")
        if content_type != b"application/json" and not _is_json(content_type):
            raise HttpProblem(415, "unsupported_media_type", "The body must be sent as application/json.")
    value = strict_json.decode(raw) if raw else {}
    faults = [] if route.faults is None else route.faults(value, core)
    try:
        body = decode_into({"value": value} if issubclass(route.body, WholeBody) else value, route.body)
    except InvalidBody as invalid:
        told = {fault.field for fault in faults}
        raise InvalidBody([*faults, *(each for each in invalid.errors if each.field not in told)]) from invalid
    if faults:
        raise InvalidBody(faults)
    return body


def _is_json(content_type: bytes) -> bool:
    media_type = content_type.partition(b";")[0].strip().lower()
    is_suffixed = media_type.startswith(b"application/") and media_type.endswith(b"+json")
    return media_type == b"application/json" or is_suffixed


def _query(route: Route, query_string: bytes) -> Any:
    """The route's record of a query string. Raises: InvalidBody."""
    if not query_string:
        return None if route.query is None else decode_into({}, route.query)
    given: dict[str, object] = {}
    errors = []
    kinds = {} if route.query is None else {each.name: each.type for each in msgspec.structs.fields(route.query)}
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except (UnicodeDecodeError, ValueError):
        raise InvalidBody([FieldError("", "is no query string")]) from None
    for name, value in pairs:
        if name in given:
            errors.append(FieldError(name, "is given twice"))
        if "\0" in value:
            errors.append(FieldError(name, "holds a NUL character"))
        given[name] = _typed(value, kinds.get(name))
    if errors:
        raise InvalidBody(errors)
    if route.query is None:
        if given and not route.dialect.is_lenient:
            raise InvalidBody([FieldError(name, "is not known here") for name in given])
        return None
    return decode_into(given, route.query)


def _typed(text: str, kind: Any) -> object:
    """A query's text as the integer or truth value that its field wants, where it is one."""
    wanted = str(kind)
    if "int" in wanted and re.fullmatch(r"-?[0-9]{1,16}", text):
        return int(text)
    if "bool" in wanted and text in ("true", "false"):
        return text == "true"
    return text


def _idempotency(key: bytes, actor: Actor, scope: Scope, raw: bytes, *, dialect: Dialect, core: Core) -> Idempotency:
    """By what a repeated request is recognised. Raises: Refusal."""
    if dialect.idempotency_key.fullmatch(key) is None:
        raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("Idempotency-Key", dialect.idempotency_words),))
    # A key that is bound to a project must not be told what was answered to another project.
    whose = actor.account_id if actor.project_id is None else f"{actor.account_id}\0\0{actor.project_id}"
    where = b"\0".join((whose.encode(), scope["method"].encode(), scope["raw_path"], key))
    canonical = rfc8785.dumps(json.loads(raw)) if raw else b""
    said = hashlib.sha256(canonical + b"\0" + scope["query_string"])
    return Idempotency(hashlib.sha256(where).hexdigest(), said.hexdigest(), dialect.keep_ms(core))
