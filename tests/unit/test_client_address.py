"""Whose address a request has, whatever it says of itself."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_apps.client_address import TrustedProxies
from stores.settings import AccessSettings

DEFAULT = TrustedProxies(AccessSettings(Path("none")).trusted_proxies)


def _client(peer: str | None, *forwarded: str, proxies: TrustedProxies = DEFAULT) -> str | None:
    headers = [(b"host", b"x"), *((b"x-forwarded-for", one.encode("latin-1")) for one in forwarded)]
    address = proxies.client(peer, headers)
    return None if address is None else str(address)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("127.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("::1", ["2001:db8::1"], "2001:db8::1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("203.0.113.9", ["1.1.1.1"], "203.0.113.9"),  # no proxy of ours
        ("127.0.0.1", ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),  # what the client wrote stands before
        ("127.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", ["203.0.113.9, 127.0.0.1"], "203.0.113.9"),
        ("127.0.0.1", ["203.0.113.9, nonsense"], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("127.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("127.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", ["fe80::1%eth0"], "fe80::1"),
        (None, ["203.0.113.9"], "203.0.113.9"),  # a local socket
        (None, [], None),
        ("testclient", ["203.0.113.9"], None),
    ],
)
def test_the_nearest_untrusted_address_is_the_clients(
    peer: str | None, forwarded: list[str], client: str | None
) -> None:
    """Each proxy adds at the end whom it saw."""
    assert _client(peer, *forwarded) == client


def test_proxies_in_a_row_are_passed_over() -> None:
    """A load balancer in front of HAProxy, named by its network."""
    both = TrustedProxies(("127.0.0.1/32", "10.0.0.0/8"))
    assert _client("127.0.0.1", "1.1.1.1, 203.0.113.9, 10.1.2.3", proxies=both) == "203.0.113.9"
    assert _client("10.1.2.3", "203.0.113.9", proxies=both) == "203.0.113.9"
    assert _client("127.0.0.2", "203.0.113.9", proxies=both) == "127.0.0.2"


@given(st.lists(st.text(st.characters(max_codepoint=255)), max_size=3))
def test_a_client_cannot_choose_its_address(written: list[str]) -> None:
    """Whatever it sends, what the proxy adds decides."""
    assert _client("127.0.0.1", *written, "203.0.113.9") == "203.0.113.9"


@given(st.lists(st.text(st.characters(max_codepoint=255)), max_size=3))
def test_nothing_sent_makes_it_fail(written: list[str]) -> None:
    """An address or none, never an error."""
    found = _client("127.0.0.1", *written)
    assert found is not None
    assert ip_address(found)
