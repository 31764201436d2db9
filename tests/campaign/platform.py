"""The four processes for a measurement: on servers of its own, with the benchmark's seeds."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from bench.seed import CATALOGUE_FILE, PARTNERS_FILE
from tests.support.deciders import Deciders
from tests.support.ledger import DECIDING
from tests.support.stack import Stack, running_stack

WITHOUT_SHEDDING = """
from libs.events.kafka.lane import Lane
from services.gateway.main import cli
import sys
Lane.has_room = lambda lane, now: True
sys.argv = ["ota-gateway", "run"]
cli()
"""
"""The control: a gateway that lets every command in."""

GATEWAY = {"OTA_ADDRESS_CALLS_PER_SECOND": "50000", "OTA_ADDRESS_CONNECTIONS_MAX": "3000"}
"""All load comes from one address."""


@contextmanager
def platform(*, throttle: int | None = None, sheds: bool = True) -> Iterator[Deciders]:
    """Give the platform, serving; inventory decides *throttle* commands a second a partition."""
    inventory = {} if throttle is None else {"OTA_THROTTLE": str(throttle)}
    with running_stack() as stack:
        yield start(stack, inventory=inventory, sheds=sheds)


def start(stack: Stack, *, inventory: Mapping[str, str], sheds: bool = True) -> Deciders:
    """Start all four on fresh data; *inventory* are settings of that service."""
    deciders = Deciders(stack)
    stack.fresh_data()
    for name in DECIDING:
        deciders.processes[name] = stack.service(name, env=inventory if name == "inventory" else {})
        deciders.start(name)
    for process in deciders.processes.values():
        process.wait_ready()
    stack.run_command("inventory", "load-catalogue", str(CATALOGUE_FILE))
    stack.run_command("gateway", "load-partners", str(PARTNERS_FILE))
    gateway = deciders.processes["gateway"] = stack.service("gateway", env=GATEWAY)
    if not sheds:
        gateway.command = replace(gateway.command, argv=(sys.executable, "-c", WITHOUT_SHEDDING))
    deciders.start("gateway").wait_ready()
    return deciders
