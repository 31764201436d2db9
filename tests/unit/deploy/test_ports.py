"""Ports: a taken one is named together with the variable that moves it."""

from __future__ import annotations

import socket

from deploy.local.ports import free_ports, message, taken
from deploy.local.settings import Address


def test_a_refused_port_is_told_with_its_owner_and_variable() -> None:
    """The sentence has all that a person needs to mend it."""
    address = Address("Kafka", "127.0.0.1", 9092, "OTA_KAFKA_PORT")
    expected = (
        "port 9092 on 127.0.0.1, wanted by Kafka, is taken by another program. "
        "Free it, or choose another: OTA_KAFKA_PORT=<port> (environment or .env)"
    )
    assert expected == message(address=address, reason="is taken by another program")


def test_only_the_port_that_is_listened_on_is_refused() -> None:
    """A listening socket is found, a free port beside it is not complained about."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        (free,) = free_ports(count=1)
        addresses = [
            Address("Kafka", "127.0.0.1", listener.getsockname()[1], "OTA_KAFKA_PORT"),
            Address("PostgreSQL", "127.0.0.1", free, "OTA_POSTGRES_PORT"),
        ]
        (complaint,) = taken(addresses=addresses)
    assert "OTA_KAFKA_PORT" in complaint
    assert "is taken by another program" in complaint


def test_free_ports_differ_and_keep_away_from_outgoing_connections() -> None:
    """Ports given at once are different, and below those that the kernel gives to clients."""
    found = free_ports(count=20)
    assert 20 == len(set(found))
    assert all(20_000 <= port < 32_000 for port in found)
