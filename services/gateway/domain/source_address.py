"""Source addresses: whose a request is, and which of them count as one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

HOPS_MAX = 20
_CACHED_MAX = 10_000
_SUBSCRIBER_BITS = 64


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks that *text* lists, separated by commas; raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def client_address(peer: str, forwarded: Sequence[str], *, trusted: tuple[Network, ...]) -> str:
    """Return who called through our proxies: the last address that is not one of theirs.

    *forwarded* are the values of ``X-Forwarded-For``; from a peer that is no proxy of ours
    they mean nothing, and neither does what stands before an unknown address.
    """
    address = peer
    for hop in reversed(",".join(forwarded).split(",")[-HOPS_MAX:]):
        if not lies_within(address, trusted):
            break
        plain = plain_address(hop.strip())
        if plain is None:
            break
        address = plain
    return address


@lru_cache(maxsize=_CACHED_MAX)
def neighbourhood(address: str) -> str:
    """Return what counts as one address: of IPv6 the network that one subscriber gets, a /64."""
    plain = plain_address(address)
    if plain is None or ":" not in plain:
        return plain or address
    shift = 128 - _SUBSCRIBER_BITS
    return str(IPv6Address(int(IPv6Address(plain)) >> shift << shift))


def plain_address(text: str) -> str | None:
    """Return an address without port, brackets and zone, None if it is none."""
    text = text.partition("%")[0]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


@lru_cache(maxsize=_CACHED_MAX)
def lies_within(address: str, networks: tuple[Network, ...]) -> bool:
    """Say whether an address is in one of *networks*."""
    plain = plain_address(address)
    return plain is not None and any(ip_address(plain) in network for network in networks)
