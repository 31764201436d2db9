"""The partner port as one listening socket that old and new gateways share.

The supervisor holds it and passes it on by systemd's protocol (libs/runtime/listening.py): what
arrives between the end of one process and the start of the next waits in the queue.
"""

from __future__ import annotations

import socket
import sys
from typing import Final

from deploy.local.settings import Address

_QUEUE_MAX: Final = 1024
# Becomes the program itself, so that LISTEN_PID is the program's own process id.
_SHIM: Final = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Listening:
    """A listening socket that is opened when it is first wanted, and closed with the last user."""

    def __init__(self, *, address: Address) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    @property
    def descriptor(self) -> int:
        """Return the descriptor to pass to a process, opening the socket if need be.

        Raises OSError when the port is taken.
        """
        if self._socket is None:
            host = self._address.host
            self._socket = socket.create_server(
                (host, self._address.port),
                family=socket.AF_INET6 if ":" in host else socket.AF_INET,
                backlog=_QUEUE_MAX,
            )
        return self._socket.fileno()

    def close(self) -> None:
        """Let callers be refused: nobody is going to serve them."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def passing_on(*, descriptor: int, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that starts *argv* with that socket as its descriptor 3."""
    return (sys.executable, "-I", "-S", "-c", _SHIM, str(descriptor), *argv)
