"""Source addresses: behind proxies, and what counts as one."""

from __future__ import annotations

import pytest

from services.gateway.domain.source_address import client_address, neighbourhood, parse_networks

OURS = parse_networks("10.0.0.0/8, 2001:db8:ffff::/48")


@pytest.mark.parametrize(
    "peer, forwarded, found",
    [
        ("10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.7, 192.0.2.1, 10.9.9.9"], "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.7", "192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.1:4711"], "192.0.2.1"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("2001:db8:ffff::1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["192.0.2.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1, unknown, 10.0.0.3"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("203.0.113.1", ["192.0.2.1"], "203.0.113.1"),
        ("", ["192.0.2.1"], ""),
    ],
)
def test_the_last_address_that_is_no_proxy_of_ours_counts(
    peer: str, forwarded: list[str], found: str
) -> None:
    """What a caller writes before that may be invented."""
    assert found == client_address(peer, forwarded, trusted=OURS)


@pytest.mark.parametrize(
    "address, found",
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_an_ipv6_subscriber_is_one_neighbourhood(address: str, found: str) -> None:
    """A /64 is what one subscriber gets; IPv4 addresses stand for themselves."""
    assert found == neighbourhood(address)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "nothing", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(text: str) -> None:
    """Also an address with bits behind its mask: it was meant otherwise."""
    with pytest.raises(ValueError, match=r"."):
        parse_networks(text)
