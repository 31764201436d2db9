"""A listening socket that was opened by whoever started this process.

systemd's protocol (sd_listen_fds(3)): one socket at descriptor 3, meant for the process whose
id LISTEN_PID names. Old and new process then accept from one queue, and no connection is lost
between them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

FIRST_DESCRIPTOR = 3


def inherited_socket(environment: MutableMapping[str, str] = os.environ) -> socket.socket | None:
    """Return the socket that was passed to this process, None if there is none.

    Forgets it in *environment*, so that our own children do not take it for theirs.
    """
    meant_for = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    if meant_for != str(os.getpid()) or count != "1":
        return None
    os.set_inheritable(FIRST_DESCRIPTOR, False)
    listening = socket.socket(fileno=FIRST_DESCRIPTOR)
    listening.setblocking(False)
    return listening
