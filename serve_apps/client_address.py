"""Whose request it is, by address: the peer's own, or what a trusted proxy says of it."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Address = IPv4Address | IPv6Address
_CACHED = 65_536  # parsing costs microseconds, and a client asks more than once


class TrustedProxies:
    """The networks whose X-Forwarded-For is believed."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ip_network(network) for network in networks]
        self.trusts = lru_cache(_CACHED)(self._trusts)

    def client(self, peer: str | None, headers: Iterable[tuple[bytes, bytes]]) -> Address | None:
        """The nearest address that is not a trusted proxy's; the farthest proxy's own when all of them are trusted.

        Each proxy adds at the end the peer that it saw, so the list is read from there: what a client wrote itself
        stands before its own address and is never reached. ``peer`` None is a local socket. None where no address can
        be read.
        """
        nearest = None if peer is None else parsed(peer)
        if peer is not None and (nearest is None or not self.trusts(nearest)):
            return nearest
        lists = [value for name, value in headers if name == b"x-forwarded-for"]
        for text in reversed(b",".join(lists).decode("latin-1").split(",") if lists else ()):
            address = parsed(text)
            if address is None:
                break
            nearest = address
            if not self.trusts(address):
                break
        return nearest

    def _trusts(self, address: Address) -> bool:
        """Whether it is a trusted proxy's."""
        return any(address in network for network in self._networks)


@lru_cache(_CACHED)
def parsed(text: str) -> Address | None:
    """An address as it stands in a header, with or without a port; IPv4 in IPv6 clothes is IPv4, zones are left out."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address if isinstance(address, IPv4Address) else address.ipv4_mapped or IPv6Address(int(address))
