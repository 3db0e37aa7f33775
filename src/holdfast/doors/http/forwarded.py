"""For whom a proxy asks: X-Forwarded-For and X-Forwarded-Proto, believed from named proxies only.

Used only where proxies are configured; everybody else's headers of these names are text like any other.
"""

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import lru_cache
from typing import Any

from holdfast.doors.http.exchange import Application

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

HOPS_MAX = 20
"""Addresses of a chain that are looked at, from the nearest on; the rest is whatever the client made up."""

ADDRESSES_REMEMBERED_MAX = 4_096

_SCHEMES = frozenset({"http", "https"})


class Forwarded:
    """An application whose requests say who sent them to the first proxy, rather than which proxy handed them on.

    The chain is read from the right, where each proxy notes whom it heard. The first address that is not a proxy's own
    is the client's: what stands left of it was said by that client. Where the chain breaks off into something that is
    no address, the last proxy that can be believed stands for the client.
    """

    def __init__(self, application: Application, *, proxies: Sequence[Network]) -> None:
        self._application = application
        self._proxies = tuple(proxies)
        # Per instance: a server has few proxies, and the same ones ask all the time.
        self._parsed = lru_cache(ADDRESSES_REMEMBERED_MAX)(self._parse)

    def __call__(
        self, scope: Scope, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> Awaitable[None]:
        """ASGI's entry."""
        if scope["type"] == "http" and scope["client"] is not None and self._parsed(scope["client"][0])[1]:
            self._believe(scope)
        return self._application(scope, receive, send)

    def _believe(self, scope: Scope) -> None:
        chain: list[str] = []
        schemes: list[str] = []
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                chain += value.decode("latin-1").split(",")
            elif name == b"x-forwarded-proto":
                schemes += value.decode("latin-1").lower().split(",")
        for hop in reversed(chain[-HOPS_MAX:]):
            address, is_proxy = self._parsed(_without_port(hop.strip()))
            if address is None:
                break
            scope["client"] = (str(address), 0)
            if not is_proxy:
                break
        # The nearest proxy's word: what stands before it may be the client's.
        if schemes and schemes[-1].strip() in _SCHEMES:
            scope["scheme"] = schemes[-1].strip()

    def _parse(self, text: str) -> tuple[Address | None, bool]:
        """The address that a text is, None for any other text; and whether it is a proxy's."""
        try:
            address: Address = ipaddress.ip_address(text)
        except ValueError:
            return None, False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return address, any(address in network for network in self._proxies)


def _without_port(hop: str) -> str:
    """An address without the port that some proxies add: `192.0.2.7:4711`, `[2001:db8::1]:4711`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
