"""Where webhooks may lead: a URL as it is given, and every address that is connected to for it."""

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from holdfast.domain.errors import Code, FieldError, Refusal

URL_CHARS_MAX = 2_000

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NEVER = tuple(
    ipaddress.ip_network(each)
    for each in (
        *("0.0.0.0/8", "169.254.0.0/16", "100.100.100.200/32", "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4"),
        "240.0.0.0/4",
        *("::/128", "fe80::/10", "fec0::/10", "fd00:ec2::254/128", "ff00::/8"),
    )
)
"""Link-local addresses, where clouds tell machines their credentials, and what is no address of a machine."""

_TRANSLATED = tuple(
    ipaddress.ip_network(each)
    for each in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "::ffff:0:0:0/96")
)
"""IPv6 addresses that stand for an IPv4 address, which may be a private one."""

_PRIVATE_NAMES = ("localhost", ".localhost", ".local", ".internal", ".home.arpa", ".lan")


def is_allowed(address: str, *, allows_private: bool) -> bool:
    """Whether something may be sent to an IP address. allows_private: also in the operator's own networks."""
    parsed: _Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if any(parsed in network for network in _NEVER if network.version == parsed.version):
        return False
    if parsed.version == 6 and str(parsed) != "::1" and any(parsed in network for network in _TRANSLATED):
        return False
    return allows_private or (parsed.is_global and not parsed.is_multicast)


class Target(NamedTuple):
    """Where a URL leads. path: with its query, as it is sent."""

    is_tls: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


def target_of(url: str, *, allows_private: bool) -> Target:
    """Where a webhook's URL leads.

    Raises: validation_failed for one to which nothing may be sent, as far as the URL itself tells.
    """
    if not 0 < len(url) <= URL_CHARS_MAX or not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        raise _bad_url(f"must be a URL of at most {URL_CHARS_MAX} printable ASCII characters, without spaces")
    parts = _split(url)
    if parts.scheme != "https" and not (allows_private and parts.scheme == "http"):
        raise _bad_url("must begin with https://; http:// needs the setting webhook_allow_private")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise _bad_url("must not hold a user or a password; the signature says who sent a message")
    if parts.fragment or "#" in url:
        raise _bad_url("must not have a fragment, which is never sent")
    host = (parts.hostname or "").rstrip(".")
    _check_host(host, allows_private=allows_private)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme == "https", host, port, path)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        # Whether a port is one is found out when it is asked for.
        is_port = parts.port is None or parts.port > 0
    except ValueError:
        is_port = False
        parts = SplitResult("", "", "", "", "")
    if not is_port or not parts.hostname:
        raise _bad_url("must look like https://hooks.example.com/path")
    return parts


def _check_host(host: str, *, allows_private: bool) -> None:
    if ":" in host or host.rpartition(".")[2].isdigit() or host.rpartition(".")[2].startswith("0x"):
        # Resolvers take 2130706433, 0x7f.1 and 127.1 for addresses too; here an address has one form.
        try:
            is_fine = is_allowed(host, allows_private=allows_private)
        except ValueError:
            raise _bad_url("must name a host, or an address in its usual form, such as 192.0.2.7") from None
        if not is_fine:
            raise private_address()
        return
    if not re.fullmatch(r"(?!-)[A-Za-z0-9_-]{1,63}(\.(?!-)[A-Za-z0-9_-]{1,63})*", host) or len(host) > 253:
        raise _bad_url("must name a host")
    name = "." + host.lower()
    if not allows_private and any(name.endswith("." + each.removeprefix(".")) for each in _PRIVATE_NAMES):
        raise private_address()


def private_address() -> Refusal:
    """The answer for a URL that leads into the server's own networks."""
    return _bad_url(
        "leads to a private, local or reserved address; an operator may allow its own networks with the setting"
        " webhook_allow_private (never link-local ones)"
    )


def _bad_url(message: str) -> Refusal:
    return Refusal(Code.VALIDATION_FAILED, errors=(FieldError("url", message),))
