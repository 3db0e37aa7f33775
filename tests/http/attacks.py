"""Attacks on the wire as data: what is sent, what is answered, what is carried out, and whether the connection ends.

Behind everything that ends the connection the test sends one more request, which must never be carried out.
"""

from typing import NamedTuple

HOST = b"Host: holdfast.test\r\n"
END = b"\r\n"
GET = b"GET /first HTTP/1.1\r\n" + HOST
POST = b"POST /first HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\n" + HOST + END
SMUGGLED = b"POST /smuggled HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n"


class Attack(NamedTuple):
    """One connection's worth of bytes.

    pieces: sent one after the other, each once the server has had time to read the one before.
    statuses: of all answers, in order. executed: paths of the requests that were carried out, in order.
    """

    name: str
    pieces: tuple[bytes, ...]
    statuses: tuple[int, ...]
    executed: tuple[str, ...] = ()
    is_closed: bool = True


def _refused(name: str, data: bytes, status: int = 400) -> Attack:
    return Attack(name, (data,), (status,))


def _served(name: str, *pieces: bytes, executed: tuple[str, ...] = ("/first",), is_closed: bool = False) -> Attack:
    return Attack(name, pieces, (200,) * len(executed), executed=executed, is_closed=is_closed)


HOSTS = [
    _refused("no Host", b"GET /first HTTP/1.1\r\n\r\n"),
    _refused("two equal Hosts", GET + HOST + END),
    _refused("two different Hosts", GET + b"host: other.test\r\n\r\n"),
    _refused("two Hosts in HTTP/1.0", b"GET /first HTTP/1.0\r\n" + HOST + HOST + END),
    _refused("empty Host", b"GET /first HTTP/1.1\r\nHost:\r\n\r\n"),
    _refused("Host with a path", b"GET /first HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    _refused("Host with a user", b"GET /first HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    _refused("Host with a space", b"GET /first HTTP/1.1\r\nHost: a b\r\n\r\n"),
    _refused("Host with a word for a port", b"GET /first HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    _refused("Host with bytes above ASCII", b"GET /first HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n"),
    _served("Host with a port", b"GET /first HTTP/1.1\r\nHost: [::1]:8787\r\n\r\n"),
    _served("no Host in HTTP/1.0", b"GET /first HTTP/1.0\r\n\r\n", is_closed=True),
]

REQUEST_LINES = [
    _refused("unknown method", b"FOO /first HTTP/1.1\r\n" + HOST + END),
    _refused("method in lower case", b"get /first HTTP/1.1\r\n" + HOST + END),
    _refused("space before the method", b" " + GET + END),
    _refused("tab for a space", b"GET\t/first HTTP/1.1\r\n" + HOST + END),
    _refused("no target", b"GET HTTP/1.1\r\n" + HOST + END),
    _refused("target without a slash", b"GET first HTTP/1.1\r\n" + HOST + END),
    _refused("target with a space", b"GET /fir st HTTP/1.1\r\n" + HOST + END),
    _refused("target with a NUL", b"GET /fir\x00st HTTP/1.1\r\n" + HOST + END),
    _refused("target with a control character", b"GET /fir\x0bst HTTP/1.1\r\n" + HOST + END),
    _refused("target above ASCII", b"GET /f\xc3\xa4rst HTTP/1.1\r\n" + HOST + END),
    _refused("query above ASCII", b"GET /first?\xff HTTP/1.1\r\n" + HOST + END),
    _refused("target with a fragment", b"GET /first#x HTTP/1.1\r\n" + HOST + END),
    _refused("asterisk for a GET", b"GET * HTTP/1.1\r\n" + HOST + END),
    _served("asterisk for OPTIONS", b"OPTIONS * HTTP/1.1\r\n" + HOST + END, executed=("*",)),
    _served("absolute target", b"GET http://holdfast.test/first?a=b HTTP/1.1\r\n" + HOST + END),
    _served("absolute target without a path", b"GET http://holdfast.test HTTP/1.1\r\n" + HOST + END, executed=("/",)),
    _refused("absolute target of another host", b"GET http://evil.test/first HTTP/1.1\r\n" + HOST + END),
    _refused("absolute target with a user", b"GET http://a@holdfast.test/first HTTP/1.1\r\n" + HOST + END),
    _refused("absolute target of another scheme", b"GET ftp://holdfast.test/first HTTP/1.1\r\n" + HOST + END),
    _refused("CONNECT", b"CONNECT holdfast.test:80 HTTP/1.1\r\n" + HOST + END),
    _refused("target over the limit", b"GET /" + b"a" * 8_200 + b" HTTP/1.1\r\n" + HOST + END, 414),
    _served(
        "target at the limit", b"GET /" + b"a" * 8_191 + b" HTTP/1.1\r\n" + HOST + END, executed=("/" + "a" * 8_191,)
    ),
    _refused("target without an end", b"GET /" + b"a" * 200_000, 414),
    _refused("HTTP/0.9", b"GET /first\r\n\r\n"),
    _refused("HTTP/0.9 by name", b"GET /first HTTP/0.9\r\n" + HOST + END),
    _refused("HTTP/1.2", b"GET /first HTTP/1.2\r\n" + HOST + END),
    _refused("HTTP/2.0 by name", b"GET /first HTTP/2.0\r\n" + HOST + END),
    _refused("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    _refused("version in lower case", b"GET /first http/1.1\r\n" + HOST + END),
    _refused("space after the version", b"GET /first HTTP/1.1 \r\n" + HOST + END),
    _refused("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64),
    _refused("binary noise", bytes(range(256)) * 8),
    _served("empty lines before the request", b"\r\n\r\n" + GET + END),
]

HEADERS = [
    _refused("bare LF at the end of lines", b"GET /first HTTP/1.1\nHost: holdfast.test\n\n"),
    _refused("bare LF in a header", GET + b"X: a\nY: b\r\n\r\n"),
    _refused("bare CR in a header", GET + b"X: a\rY: b\r\n\r\n"),
    _refused("folded header", GET + b"X: a\r\n b\r\n\r\n"),
    _refused("folded header with a tab", GET + b"X: a\r\n\tTransfer-Encoding: chunked\r\n\r\n"),
    _refused("fold before the first header", b"GET /first HTTP/1.1\r\n " + HOST + END),
    _refused("space before the colon", GET + b"X : a\r\n\r\n"),
    _refused("no name", GET + b": a\r\n\r\n"),
    _refused("no colon", GET + b"Xabc\r\n\r\n"),
    _refused("bracket in a name", GET + b"X(: abc\r\n\r\n"),
    _refused("NUL in a name", GET + b"X\x00: abc\r\n\r\n"),
    _refused("name above ASCII", GET + b"X\xff: abc\r\n\r\n"),
    _refused("NUL in a value", GET + b"X: a\x00b\r\n\r\n"),
    _refused("control character in a value", GET + b"X: a\x01b\r\n\r\n"),
    _refused("escape in a value", GET + b"X: a\x1b[2Jb\r\n\r\n"),
    _refused("DEL in a value", GET + b"X: a\x7fb\r\n\r\n"),
    _refused("101 headers", GET + b"".join(b"X-%d: a\r\n" % number for number in range(100)) + END, 431),
    _served("100 headers", GET + b"".join(b"X-%d: a\r\n" % number for number in range(99)) + END),
    _refused("5,000 headers", GET + b"".join(b"X-%d: a\r\n" % number for number in range(5_000)) + END, 431),
    _refused("one header over the limit", GET + b"X: " + b"a" * 33_000 + b"\r\n\r\n", 431),
    _refused(
        "headers over the limit together", GET + b"".join(b"X: " + b"a" * 8_000 + END for _ in range(5)) + END, 431
    ),
    _served("headers under the limit", GET + b"X: " + b"a" * 32_000 + b"\r\n\r\n"),
    _refused("header without an end", GET + b"X: " + b"a" * 1_100_000, 431),
    Attack(
        "header over the limit in pieces",
        (GET + b"X: ", b"a" * 16_000, b"a" * 16_000, b"a" * 16_000, b"a\r\n\r\n"),
        (431,),
    ),
    _refused("unknown expectation", POST + b"Expect: 200-maybe\r\nContent-Length: 0\r\n\r\n", 417),
]

FRAMING = [
    _refused(
        "Content-Length and Transfer-Encoding",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    _refused(
        "Transfer-Encoding and Content-Length",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    _refused("two different Content-Lengths", POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    _refused("two equal Content-Lengths", POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    _refused("list of Content-Lengths", POST + b"Content-Length: 5, 5\r\n\r\nhello"),
    _refused("Content-Length with a sign", POST + b"Content-Length: +5\r\n\r\nhello"),
    _refused("negative Content-Length", POST + b"Content-Length: -5\r\n\r\nhello"),
    _refused("hexadecimal Content-Length", POST + b"Content-Length: 0x5\r\n\r\nhello"),
    _refused("fractional Content-Length", POST + b"Content-Length: 5.0\r\n\r\nhello"),
    _refused("empty Content-Length", POST + b"Content-Length:\r\n\r\nhello"),
    _refused("two numbers in Content-Length", POST + b"Content-Length: 5 5\r\n\r\nhello"),
    _refused("Content-Length past 64 bits", POST + b"Content-Length: 99999999999999999999999\r\n\r\nhello"),
    _refused("Content-Length of 5,000 digits", POST + b"Content-Length: " + b"0" * 5_000 + b"5\r\n\r\nhello"),
    _refused("Content-Length over the ceiling", POST + b"Content-Length: 4194305\r\n\r\n", 413),
    _refused("space before Transfer-Encoding's colon", POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    _refused("two codings", POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    _refused("coding after chunked", POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    _refused("chunked twice", POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    _refused(
        "two Transfer-Encodings", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    _refused(
        "identity, then chunked",
        POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    _refused("identity", POST + b"Transfer-Encoding: identity\r\n\r\n"),
    _refused("a word like chunked", POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    _refused("chunked behind a vertical tab", POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    _refused("chunked in quotes", POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n'),
    _refused(
        "chunked in HTTP/1.0", b"POST /first HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    _served("chunked in upper case", POST + b"Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    _served("chunked GET", GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    _served("GET with a body", GET + b"Content-Length: 5\r\n\r\nhello"),
    _served("Content-Length with zeros", POST + b"Content-Length: 0005\r\n\r\nhello"),
    _served("body in pieces", POST + b"Content-Length: 5\r\n\r\n", b"he", b"llo"),
]

CHUNKS = [
    _refused("negative chunk size", CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n"),
    _refused("chunk size with 0x", CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n"),
    _refused("space after the chunk size", CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n"),
    _refused("space before the chunk size", CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n"),
    _refused("no chunk size", CHUNKED + b"\r\nhello\r\n0\r\n\r\n"),
    _refused("chunk size past 64 bits", CHUNKED + b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    _refused("chunk longer than its size", CHUNKED + b"4\r\nhello\r\n0\r\n\r\n"),
    _refused("chunk without its end", CHUNKED + b"5\r\nhello0\r\n\r\n"),
    _refused("bare LF after the chunk size", CHUNKED + b"5\nhello\r\n0\r\n\r\n"),
    _refused("bare CR after the chunk size", CHUNKED + b"5\rhello\r\n0\r\n\r\n"),
    _refused("bare LF after the chunk", CHUNKED + b"5\r\nhello\n0\r\n\r\n"),
    _refused("NUL in an extension", CHUNKED + b"5;a=\x00\r\nhello\r\n0\r\n\r\n"),
    _refused("bare LF in an extension", CHUNKED + b"5;a\nhello\r\n0\r\n\r\n"),
    _served("short extension", CHUNKED + b"5;a=b\r\nhello\r\n0\r\n\r\n"),
    Attack("very long extension", (CHUNKED + b"5;", *[b"a" * 9_000] * 4, b"\r\nhello\r\n0\r\n\r\n"), (400,)),
    Attack("many short chunks", (CHUNKED, *[b"1\r\na\r\n" * 4_000] * 4, b"0\r\n\r\n"), (400,)),
    _refused("trailer", CHUNKED + b"5\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n"),
    _refused("trailer that would authorize", CHUNKED + b"0\r\nAuthorization: Bearer stolen\r\n\r\n"),
    _refused("trailer that would frame", CHUNKED + b"0\r\nContent-Length: 50\r\n\r\n"),
    Attack("chunks over the ceiling", (CHUNKED, b"400001\r\n" + b"a" * 0x400001), (413,)),
    _refused(
        "bad chunk for an application that does not look",
        b"POST /unread HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ),
    Attack("bad chunk after a good one", (CHUNKED + b"5\r\nhello\r\n", b"zz\r\n"), (400,)),
]

SIZES = [
    Attack(
        "announced body over the route's limit",
        (b"POST /small HTTP/1.1\r\n" + HOST + b"Content-Length: 999999\r\n\r\n",),
        (413,),
    ),
    Attack(
        "chunked body over the route's limit",
        (b"POST /small HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", b"2000\r\n" + b"a" * 0x2000),
        (413,),
    ),
    Attack(
        "body over the route's limit that nobody waits to send",
        (b"POST /small HTTP/1.1\r\n" + HOST + b"Content-Length: 999999\r\n\r\n" + b"a" * 999_999,),
        (413,),
    ),
    Attack(
        "body over the route's limit behind an expectation",
        (b"POST /small HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5000\r\n\r\n",),
        (413,),
    ),
    Attack(
        "long body that is not read",
        (b"POST /unread HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n",),
        (200,),
        executed=("/unread",),
    ),
    Attack(
        "short body that is not read",
        (b"POST /unread HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n", SMUGGLED[:20], b"a" * 980),
        (200,),
        executed=("/unread",),
        is_closed=False,
    ),
    Attack(
        "chunked body that is not read",
        (b"POST /unread HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n",),
        (200,),
        executed=("/unread",),
    ),
    Attack(
        "expected body that is not read",
        (b"POST /unread HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",),
        (200,),
        executed=("/unread",),
    ),
]

UPGRADES = [
    _served("WebSocket", GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"),
    _served(
        "upgrade to HTTP/2",
        GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    ),
    _served(
        "upgrade, then a request",
        GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + NEXT,
        executed=("/first", "/next"),
    ),
    _served(
        "upgrade whose body is a request",
        POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        is_closed=True,
    ),
    _served(
        "upgrade whose body is a request in a chunk",
        POST
        + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
        is_closed=True,
    ),
    _served(
        "upgrade with a body in pieces",
        POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\n",
        b"he",
        b"llo",
        is_closed=True,
    ),
    _refused(
        "upgrade with a trailer",
        POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: a\r\n\r\n",
    ),
    _refused(
        "upgrade with a body over the ceiling",
        POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 4194305\r\n\r\n",
        413,
    ),
]

ORDER = [
    _served("two requests at once", GET + END + NEXT, executed=("/first", "/next")),
    _served(
        "three requests, one with a body",
        POST + b"Content-Length: 5\r\n\r\nhello" + NEXT + NEXT,
        executed=("/first", "/next", "/next"),
    ),
    _served("requests in odd pieces", GET[:10], GET[10:] + END + NEXT[:20], NEXT[20:], executed=("/first", "/next")),
    _served("64 requests at once", NEXT * 64, executed=("/next",) * 64),
    Attack("67 requests at once", (NEXT * 67,), (*(200,) * 65, 400), executed=("/next",) * 65),
    _served("request behind Connection: close", GET + b"Connection: close\r\n\r\n" + SMUGGLED, is_closed=True),
    _served(
        "noise behind Connection: close", GET + b"Connection: close\r\n\r\n\x00\x01\x02 noise\r\n\r\n", is_closed=True
    ),
    _served("request behind HTTP/1.0", b"GET /first HTTP/1.0\r\n" + HOST + END + SMUGGLED, is_closed=True),
    _served(
        "HTTP/1.0 that would stay", b"GET /first HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + SMUGGLED, is_closed=True
    ),
    Attack("noise behind a request", (GET + END + b"\x00noise\r\n\r\n",), (200, 400), executed=("/first",)),
    Attack(
        "bad request behind two good ones",
        (GET + END + NEXT + b"GET /x HTTP/1.1\r\n\r\n",),
        (200, 200, 400),
        executed=("/first", "/next"),
    ),
    Attack(
        "bad body behind a good request",
        (GET + END + b"POST /bad HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",),
        (200, 400),
        executed=("/first",),
    ),
    Attack(
        "request in a body that is announced too short",
        (POST + b"Content-Length: 4\r\n\r\nhello" + SMUGGLED,),
        (200, 400),
        executed=("/first",),
    ),
    Attack("failing application", (b"GET /fail HTTP/1.1\r\n" + HOST + END,), (500,)),
    Attack("silent application", (b"GET /silent HTTP/1.1\r\n" + HOST + END,), (500,)),
    Attack("application that splits its answer", (b"GET /split HTTP/1.1\r\n" + HOST + END,), (500,)),
]

ATTACKS = [*HOSTS, *REQUEST_LINES, *HEADERS, *FRAMING, *CHUNKS, *SIZES, *UPGRADES, *ORDER]
