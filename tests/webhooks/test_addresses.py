"""Where webhooks may lead: never into the server's own networks, by whatever name or form of an address."""

import pytest

from holdfast.domain.errors import Refusal
from holdfast.domain.webhook_targets import is_allowed, target_of
from holdfast.doors.http.outgoing import Sender
from tests.support.receiver import Receiver
from tests.webhooks.conftest import Scene, sending

PRIVATE = (
    *("127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.18.0.1"),
    *("::1", "fd00::1", "fc00::7", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
)
"""What an operator may allow."""

NEVER = (
    *("0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "100.100.100.200", "224.0.0.1", "255.255.255.255"),
    *("240.0.0.1", "192.0.0.192", "192.88.99.1"),
    *("::", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "fd00:ec2::254", "::ffff:169.254.169.254"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:7f00:1::", "::127.0.0.1"),
    "::ffff:0:127.0.0.1",
)
"""What nobody may: where clouds keep credentials, and what is no machine's address or stands for another one."""

PUBLIC = ("93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e", "::ffff:93.184.215.14")

OTHER_FORMS = (
    *("2130706433", "0x7f000001", "0x7f.1", "127.1", "127.0.1", "0177.0.0.1", "017700000001", "0x7f.0.0.0x1"),
    *("127.0.0.1.", "00000127.0.0.1", "1.2.3.4.5", "256.1.1.1"),
)
"""What resolvers also take for 127.0.0.1, or for something."""

BAD_URLS = (
    *(
        "",
        "x",
        "https://",
        "https:///path",
        "https://:443/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "//example.com",
    ),
    *(
        "http://example.com/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://@example.com/",
    ),
    *("https://example.com/#part", "https://example.com:0/", "https://example.com:65536/", "https://example.com:x/"),
    *("https://exa mple.com/", "https://example.com/\nHost: other", "https://example.com\\@127.0.0.1/", "https://[::1"),
    *("https://exämple.com/", "https://-example.com/", "https://example..com/", "https://%31%32%37.0.0.1/"),
    *("https://localhost/", "https://LOCALHOST./", "https://a.localhost/", "https://metadata.google.internal/"),
    *("https://printer.local/", "https://router.lan/", "https://127.0.0.1:8787/v1/sessions", "https://[::1]:8787/"),
    *("https://[::ffff:7f00:1]/", "https://[fe80::1%25eth0]/", "https://" + "a" * 64 + ".com/", "javascript:alert(1)"),
)


@pytest.mark.parametrize("address", [*PRIVATE, *NEVER])
def test_an_address_inside_is_not_allowed(address: str) -> None:
    assert not is_allowed(address, allows_private=False)
    assert is_allowed(address, allows_private=True) == (address in PRIVATE)


def test_an_address_outside_is_allowed() -> None:
    for address in PUBLIC:
        assert is_allowed(address, allows_private=False), address


def test_an_address_has_one_form() -> None:
    for host in OTHER_FORMS:
        for allows_private in (False, True):
            if host == "127.0.0.1." and allows_private:
                continue
            with pytest.raises(Refusal) as refused:
                target_of(f"https://{host}/", allows_private=allows_private)
            assert [each.field for each in refused.value.errors] == ["url"], host


def test_a_url_that_leads_inside_or_nowhere_is_refused_as_a_webhook_is_made(scene: Scene) -> None:
    scene.server.core.allows_private_webhooks = False
    try:
        kept = scene.account.call("POST", "/v1/webhooks", {"url": "https://hooks.example.com"}, by="operator").json
        for url in BAD_URLS:
            made = scene.account.call("POST", "/v1/webhooks", {"url": url}, by="operator")
            assert (made.told, made.fields) == ((422, "validation_failed"), {"url"}), url
            changed = scene.account.call("PATCH", f"/v1/webhooks/{kept['id']}", {"url": url}, by="operator")
            assert (changed.told, changed.fields) == ((422, "validation_failed"), {"url"}), url
        assert [each["url"] for each in scene.account.each("/v1/webhooks")] == ["https://hooks.example.com"]
    finally:
        scene.server.core.allows_private_webhooks = True


def test_a_name_that_leads_inside_is_refused_as_a_webhook_is_made(scene: Scene) -> None:
    names = {"inside.example.com": ["10.0.0.7"], "both.example.com": ["93.184.215.14", "::1"]}

    async def look_up(host: str, _: int) -> list[str]:
        if host not in names:
            raise OSError("no such name")
        return names[host]

    core = scene.server.core
    core.allows_private_webhooks, core.look_up = False, look_up
    try:
        answers = {
            host: scene.account.call("POST", "/v1/webhooks", {"url": f"https://{host}/"}, by="operator").status
            for host in (*names, "new.example.com")
        }
    finally:
        core.allows_private_webhooks, core.look_up = True, None
    assert answers == {"inside.example.com": 422, "both.example.com": 422, "new.example.com": 201}


def test_a_name_that_leads_inside_by_the_time_of_the_attempt_gets_nothing(scene: Scene, receiver: Receiver) -> None:
    webhook = scene.hook(receiver.url.replace("127.0.0.1", "hooks.example.com"), event_types=["session.started"])
    scene.account.start()
    with sending(scene.server, resolve=lambda *_: ["127.0.0.1"]) as node:
        node.sender.allows_private = False
        node.dispatch()
    assert receiver.received == []
    (delivery,) = scene.deliveries(webhook)
    assert delivery["last_error"].startswith("must begin with https://")
    with sending(scene.server, resolve=lambda *_: ["169.254.169.254"]) as node:
        scene.server.serve(6_000)
        node.dispatch()
    (delivery,) = scene.deliveries(webhook)
    assert (delivery["attempts"], delivery["last_status"]) == (2, None)
    assert delivery["last_error"] == "its name leads to a private, local or reserved address"


def test_the_address_that_was_checked_is_the_one_connected_to(scene: Scene, receiver: Receiver) -> None:
    """A name that changes between the check and the connection would lead anywhere: it is looked up once."""
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    scene.hook(receiver.url.replace("127.0.0.1", "hooks.example.com"), event_types=["session.started"])
    scene.account.start()
    with sending(scene.server, resolve=resolve) as node:
        node.dispatch()
    (received,) = receiver.received
    assert asked == ["hooks.example.com"]
    assert received.headers["host"] == f"hooks.example.com:{receiver.server_address[1]}"


def test_a_certificate_is_checked_against_the_name(scene: Scene) -> None:
    import ssl

    import trustme

    authority = trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    errors = {}
    for name in ("hooks.example.com", "other.example.com"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        with Receiver() as receiver:
            receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
            url = f"https://hooks.example.com:{receiver.server_address[1]}/"
            webhook = scene.hook(url, event_types=["session.started"])
            scene.account.start()
            with sending(scene.server, resolve=lambda *_: ["127.0.0.1"]) as node:
                node.sender._trust = trust
                node.dispatch()
            errors[name] = scene.deliveries(webhook)[0]["last_error"]
            assert len(receiver.received) == (name == "hooks.example.com")
        assert scene.account.call("DELETE", f"/v1/webhooks/{webhook['id']}", by="operator").status == 200
    assert errors["hooks.example.com"] is None
    assert errors["other.example.com"].startswith("its certificate is not accepted: Hostname mismatch")


def test_a_sender_that_was_never_started_can_be_stopped() -> None:
    Sender(timeout_seconds=1, allows_private=False).stop()
