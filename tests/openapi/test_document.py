"""The description of the API: valid, the same each time, true of what is sent, and told to those who may know."""

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from holdfast.domain.actor import KeyScope
from holdfast.domain.errors import Code
from holdfast.doors.cli.main import main
from holdfast.doors.http import page
from holdfast.doors.http.bodies import decode_into
from holdfast.doors.http.description import Description
from holdfast.doors.http.openapi import DESCRIBED
from holdfast.doors.http.problems import DOOR_CODES, STATUS, TITLES
from holdfast.doors.http.routes import ROUTES
from holdfast.testing.clock import FakeClock
from tests.api.driver import CONFIGURED_KEY, Headers, Request, Server, open_store
from tests.support.description import DESCRIPTION, Undescribed

Json = dict[str, Any]

DESCRIBED_ROUTES: Final = Description(ROUTES)
DOCUMENT: Final[Json] = json.loads(DESCRIBED_ROUTES.content)
OPERATIONS: Final = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
HERE: Final[Headers] = {"host": "127.0.0.1:8787"}
OPEN: Final = ["/", "/openapi.json", "/docs", "/metrics"]


def test_the_document_is_openapi_3_1() -> None:
    OPENAPI_31_VALIDATOR.validate(DOCUMENT)


def test_the_document_is_the_same_each_time() -> None:
    assert Description(ROUTES).content == DESCRIBED_ROUTES.content


def test_the_command_line_prints_the_document() -> None:
    result = CliRunner().invoke(main, ["openapi"], prog_name="holdfast")
    assert (result.exit_code, result.output.strip()) == (0, DESCRIBED_ROUTES.content.decode())


def test_every_route_is_described_and_nothing_else() -> None:
    assert set(OPERATIONS) == {route.name for route in DESCRIBED_ROUTES.routes} == set(DESCRIBED)
    assert len({operation["operationId"] for operation in OPERATIONS.values()}) == len(OPERATIONS)


def test_a_route_that_nobody_described_keeps_the_server_from_starting() -> None:
    with pytest.raises(KeyError, match="GET /v1/new"):
        Description([ROUTES[0]._replace(path="/v1/new")])


def test_every_reference_leads_somewhere() -> None:
    for reference in re.findall(r'"\$ref":"#/([^"]*)"', DESCRIBED_ROUTES.content.decode()):
        found: Any = DOCUMENT
        for name in reference.split("/"):
            found = found[name]


@pytest.mark.parametrize("route", DESCRIBED_ROUTES.routes, ids=lambda route: route.name)
def test_every_example_is_as_its_schema_says(route: Any) -> None:
    example = DESCRIBED[route.name].example
    if example is not None:
        decode_into(example, route.body)
    assert (route.body is None) == (example is None), "an example goes with a body"
    for response in OPERATIONS[route.name]["responses"].values():
        for content in response.get("content", {}).values():
            if "example" in content:
                DESCRIPTION.validator(content["schema"]).validate(content["example"])


def test_every_code_has_one_status_and_every_status_a_title() -> None:
    assert not set(DOOR_CODES) & {code.value for code in Code}
    assert {*STATUS.values(), *(status for status, _ in DOOR_CODES.values())} <= set(TITLES)


def test_a_response_that_differs_from_the_description_is_noticed() -> None:
    headers = {"content-type": "application/json", "x-request-id": "1", "x-correlation-id": "1"}
    DESCRIPTION.check("GET", "/health", 200, headers, b'{"status":"ok"}')
    for status, content in (
        (200, b"{}"),
        (200, b'{"status":"bad"}'),
        (200, b'{"status":"ok","more":1}'),
        (201, b'{"status":"ok"}'),
    ):
        with pytest.raises(Undescribed):
            DESCRIPTION.check("GET", "/health", status, headers, content)
    with pytest.raises(Undescribed):
        DESCRIPTION.check("GET", "/health", 200, {"content-type": "application/json"}, b'{"status":"ok"}')


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that only its own machine reaches."""
    yield from serving(tmp_path_factory.mktemp("local"), is_local=True)


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that other machines reach."""
    yield from serving(tmp_path_factory.mktemp("public"), is_local=False)


def serving(directory: Path, *, is_local: bool) -> Iterator[Server]:
    clock = FakeClock()
    store = open_store(f"sqlite:///{directory}/holdfast.db", clock)
    try:
        with Server(store, clock, is_local=is_local).running() as server:
            yield server
    finally:
        store.close()


@pytest.mark.parametrize("path", OPEN)
@pytest.mark.parametrize("host", ["127.0.0.1:8787", "localhost", "LOCALHOST:1", "[::1]:8787"])
def test_what_is_open_locally_needs_no_key_on_its_own_machine(path: str, host: str, local: Server) -> None:
    assert local.call("GET", path, headers={"host": host}).status == 200
    assert local.call("GET", path, headers={"host": host, "origin": f"http://{host.lower()}"}).status == 200


@pytest.mark.parametrize("path", OPEN)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "holdfast.example"},
        {"host": "127.0.0.1.holdfast.example:8787"},
        {"host": "127.0.0.1:8787", "origin": "http://holdfast.example"},
        {"host": "127.0.0.1:8787", "origin": "null"},
        {"host": "127.0.0.1:8787", "x-forwarded-for": "10.0.0.1"},
        {"host": "127.0.0.1:8787", "x-forwarded-host": "holdfast.example"},
        {"host": "127.0.0.1:8787", "x-real-ip": "10.0.0.1"},
        {"host": "127.0.0.1:8787", "forwarded": "for=10.0.0.1"},
        {"host": "127.0.0.1:8787", "via": "1.1 proxy"},
    ],
    ids=str,
)
def test_what_may_come_from_elsewhere_needs_a_key(path: str, headers: Headers, local: Server) -> None:
    assert local.call("GET", path, headers=headers).told == (401, "unauthorized")
    assert local.ask(Request("GET", path, headers=headers, key=CONFIGURED_KEY)).status == 200


@pytest.mark.parametrize("path", OPEN)
def test_a_server_that_others_reach_wants_a_key(path: str, public: Server) -> None:
    assert public.call("GET", path, headers=HERE).told == (401, "unauthorized")
    reader = public.new_account().keys[KeyScope.READ.value]
    assert public.ask(Request("GET", path, headers=HERE, key=reader)).status == 200


def test_nothing_else_is_open_on_its_own_machine(local: Server) -> None:
    keyed = [route for route in ROUTES if route.scope is not None and route.path not in OPEN]
    assert {local.call(route.method, route.path, headers=HERE).status for route in keyed} == {401}


class Page(HTMLParser):
    """What is in a page: its elements, their attributes, and the texts of some."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.tags[-1], []).append(data)


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [("/", {"/docs", "/openapi.json", "/health", "/metrics"}), ("/docs", {"/openapi.json"})],
    ids=["home", "docs"],
)
def test_a_page_needs_nothing_but_its_own_style(path: str, leads_to: set[str], local: Server) -> None:
    response = local.call("GET", path, headers=HERE)
    read = Page(response.content)
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & set(read.tags)
    names = {name for name, _ in read.attributes}
    assert "style" not in names
    assert not [name for name in names if name.startswith("on")]
    links = {value for name, value in read.attributes if name in ("src", "href") and not value.startswith("#")}
    assert links == leads_to
    assert {local.call("GET", link, headers=HERE).status for link in links} == {200}
    digest = base64.b64encode(hashlib.sha256("".join(read.texts["style"]).encode()).digest()).decode()
    assert response.headers["content-security-policy"].split("; ")[:2] == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
    ]
    assert response.headers["x-content-type-options"] == "nosniff"


def test_every_link_of_the_page_leads_to_one_place() -> None:
    read = Page(page.page(DOCUMENT))
    places = [value for name, value in read.attributes if name == "id"]
    assert len(places) == len(set(places))
    links = {value[1:] for name, value in read.attributes if name == "href" and value.startswith("#")}
    assert links <= set(places)
    assert {f"op-{operation['operationId'].replace('_', '-')}" for operation in OPERATIONS.values()} <= links


def test_what_a_document_says_is_never_markup() -> None:
    hostile = "<script>alert(1)</script>\"'&"
    text = json.dumps(DOCUMENT).replace('"summary": "', f'"summary": {json.dumps(hostile)[:-1]}')
    text = text.replace('"description": "', f'"description": {json.dumps(hostile)[:-1]}')
    made = page.page(json.loads(text)).decode()
    assert "<script" not in made
    assert "&lt;script&gt;" in made


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_every_command_of_the_page_is_one_that_a_shell_takes(name: str, tmp_path: Path) -> None:
    method, path = name.split(" ")
    words = shlex.split(page.curl(method.lower(), path, OPERATIONS[name]).replace("\\\n", " "))
    assert words[0] == "curl"
    (url,) = [word for word in words if word.startswith("http://127.0.0.1:8787/")]
    assert "{" not in url
    assert ("-d" in words) == ("requestBody" in OPERATIONS[name])
    if "-d" in words:
        content = OPERATIONS[name]["requestBody"]["content"]["application/json"]
        assert json.loads(words[words.index("-d") + 1]) == content["example"]
