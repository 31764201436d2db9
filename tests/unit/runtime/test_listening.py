"""A listening socket is taken from whoever passed it on, and from nobody else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from deploy.local.listening import Listening, passing_on
from deploy.local.ports import free_ports
from deploy.local.settings import Address
from libs.runtime.listening import inherited_socket

ACCEPTS = """
from libs.runtime.listening import inherited_socket
listening = inherited_socket()
assert inherited_socket() is None
listening.setblocking(True)
connection, _ = listening.accept()
connection.sendall(b"served")
connection.close()
"""


@pytest.mark.parametrize(
    "environment",
    [{}, {"LISTEN_FDS": "1"}, {"LISTEN_FDS": "1", "LISTEN_PID": "1"}],
    ids=["nothing", "nobody named", "another process"],
)
def test_what_is_not_meant_for_us_is_left_alone(environment: dict[str, str]) -> None:
    """And it is not handed on to our children either."""
    assert inherited_socket(environment) is None
    assert {} == environment


def test_two_sockets_are_one_too_many() -> None:
    """The partner port is one."""
    assert inherited_socket({"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid())}) is None


def test_a_connection_waits_for_the_next_process() -> None:
    """Whoever connects between two processes is served by the second one."""
    (port,) = free_ports(count=1)
    listening = Listening(address=Address("a test", "127.0.0.1", port, "PORT"))
    descriptor = listening.descriptor
    command = passing_on(descriptor=descriptor, argv=(sys.executable, "-c", ACCEPTS))
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            process = subprocess.Popen(command, pass_fds=(descriptor,))
            assert b"served" == client.recv(100)
            assert 0 == process.wait(timeout=20)
    listening.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=20)
