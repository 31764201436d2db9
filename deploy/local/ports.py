"""Whether a port can be had, and which ones are free."""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Iterable
from typing import Final

from deploy.local.settings import Address

_PORTS_FROM: Final = 20_000
_PORTS_FREE_BELOW: Final = 32_000


def taken(*, addresses: Iterable[Address]) -> list[str]:
    """Return one sentence for each address that cannot be listened on; an empty list means go."""
    return [
        message(address=address, reason=reason)
        for address in addresses
        if (reason := _refusal(host=address.host, port=address.port)) is not None
    ]


def message(*, address: Address, reason: str) -> str:
    """Say which port cannot be had, who wanted it, and which variable moves it."""
    return (
        f"port {address.port} on {address.host}, wanted by {address.owner}, {reason}. "
        f"Free it, or choose another: {address.variable}=<port> (environment or .env)"
    )


def free_ports(*, count: int, host: str = "127.0.0.1") -> list[int]:
    """Return so many different ports that nobody listens on at this moment.

    They lie below the range that the kernel gives to outgoing connections (32768 and up on Linux):
    a client that keeps calling a server that is down could otherwise be given that very port.
    """
    found: list[int] = []
    start = secrets.randbelow(_PORTS_FREE_BELOW - _PORTS_FROM)
    for step in range(_PORTS_FREE_BELOW - _PORTS_FROM):
        port = _PORTS_FROM + (start + step) % (_PORTS_FREE_BELOW - _PORTS_FROM)
        if _refusal(host=host, port=port) is None:
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(errno.EADDRINUSE, f"no {count} free ports on {host}")


def _refusal(*, host: str, port: int) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: a port whose last connections are only fading out can be had.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is taken by another program"
            return f"cannot be listened on ({error.strerror or error})"
    return None
