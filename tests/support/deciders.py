"""The three deciding services of a test session, to be ended and started again at will."""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.settings import CHECKOUT
from tests.support.client import Partner, connected_partner
from tests.support.ledger import DECIDING, Books, broken_promises, read_books, settled, violations
from tests.support.stack import ServiceProcess, Stack

CATALOGUE = str(CHECKOUT / "deploy" / "catalogue" / "development.toml")


class Deciders:
    """Inventory, reservation and fulfillment on one set of data; tests share them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.processes: dict[str, ServiceProcess] = {}
        self.logs: list[Path] = []

    @property
    def env(self) -> Mapping[str, str]:
        """Return what finds the data."""
        return self.stack.env

    def fresh(self, *, partners: str | None = None) -> None:
        """Begin anew with the development catalogue and nothing sold; where there is a file of
        partners, with a gateway.
        """
        self.processes.clear()
        self.logs.clear()
        self.stack.fresh_data()
        # A start is computing, and so are the commands: what need not wait goes on meanwhile.
        for name in DECIDING:
            self.start(name)
        if partners is not None:
            self.stack.run_command("gateway", "load-partners", partners)
            self.start("gateway")
        self.processes["inventory"].wait_ready()
        self.stack.run_command("inventory", "load-catalogue", CATALOGUE)
        for process in self.processes.values():
            process.wait_ready()

    def ensure(self) -> None:
        """Start what is missing: servers or services that a test has ended."""
        if not self.processes:
            self.fresh()
        self.stack.postgres.start()
        self.stack.kafka.start()
        for name in DECIDING:
            self.start(name)
        for process in self.processes.values():
            process.wait_ready()

    def start(self, name: str, *, kill_at: str | None = None) -> ServiceProcess:
        """Start a service unless it runs; with a crash point it is a process of its own."""
        process = self.processes.get(name)
        if process is None or kill_at is not None:
            process = self.stack.service(name, env={"OTA_KILL_AT": kill_at} if kill_at else None)
        if kill_at is None:
            self.processes[name] = process
        if process.log not in self.logs:
            self.logs.append(process.log)
        process.start()
        return process

    def kill(self, name: str) -> None:
        """Kill a service with SIGKILL, as a failing machine would."""
        process = self.processes[name]
        os.kill(process.pid, signal.SIGKILL)
        process.wait_exit()

    async def restart(self, name: str) -> None:
        """Start a service that was ended, and wait until it serves."""
        await asyncio.to_thread(self.start(name).wait_ready)

    @asynccontextmanager
    async def partner(self) -> AsyncIterator[Partner]:
        """Give a partner."""
        async with connected_partner(bootstrap=self.stack.broker.bootstrap) as partner:
            yield partner

    async def audit(self, *partners: Partner) -> Books:
        """Wait until all is quiet and return the books; raises AssertionError if they are wrong."""
        await settled(self.env)
        books = await read_books(self.env)
        assert [] == violations(books)
        for partner in partners:
            assert [] == broken_promises(books, partner.history)
        return books


async def ops_page(process: ServiceProcess, path: str) -> str:
    """Return what a service's ops port says, whatever the status."""

    def read() -> str:
        try:
            with urllib.request.urlopen(process.ops_url + path, timeout=2) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as refused:
            return refused.read().decode()

    return await asyncio.to_thread(read)
