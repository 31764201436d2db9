"""Further instances of services beside those that the launcher started.

An instance takes whatever partition is free, and nothing spreads them: here they are spread by
hand, by ending the database session that owns a partition while only the instance that
is to have it can ask for it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg

from bench.own_stack import ADDRESS_LIMIT
from bench.stack import Stack, StackMissing
from deploy.local.plan import answers_ready
from deploy.local.ports import free_ports
from deploy.local.settings import Address

PARTITIONS = 4
START_TIMEOUT_S, STOP_TIMEOUT_S, SPREAD_TIMEOUT_S = 60.0, 20.0, 30.0
POLL_S = 0.1
# libs/events/postgres/log.py: the advisory locks by which partitions are owned.
_LOCK_SPACE = 0x4F5441
_HOLDER = (
    "SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database"
    " WHERE locktype = 'advisory' AND d.datname = current_database()"
    " AND classid = $1 AND objid = $2 AND granted"
)
_OWNERS = "SELECT partition, owner FROM partition_head"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instances:
    """What runs besides the launcher's processes: pids by name, and all addresses to call."""

    pids: Mapping[str, int]
    partners: tuple[Address, ...]


@asynccontextmanager
async def running(*, stack: Stack, inventories: int, gateways: int) -> AsyncIterator[Instances]:
    """Run so many instances in all, the partitions spread over the inventories.

    The launcher's own instances are the first. Raises StackMissing when one does not start.
    """
    started: list[subprocess.Popen[bytes]] = []
    pids = {"inventory-1": stack.pids["inventory"], "gateway-1": stack.pids["gateway"]}
    partners = [stack.partner]
    try:
        for number in range(2, inventories + 1):
            (ops_port,) = free_ports(count=1)
            told = {"OTA_INVENTORY_OPS_PORT": str(ops_port)}
            started.append(_start(stack, "inventory", number, told))
            pids[f"inventory-{number}"] = started[-1].pid
        for number in range(2, gateways + 1):
            ops_port, port = free_ports(count=2)
            told = {
                **ADDRESS_LIMIT,
                "OTA_GATEWAY_OPS_PORT": str(ops_port),
                "OTA_PARTNER_PORT": str(port),
                "OTA_PARTNER_HOST": stack.partner.host,
                "OTA_GATEWAY_INSTANCE": str(number - 1),
            }
            started.append(_start(stack, "gateway", number, told))
            pids[f"gateway-{number}"] = started[-1].pid
            partners.append(Address("a further gateway", stack.partner.host, port, ""))
            ops = Address("its ops port", stack.ops["gateway"].host, ops_port, "")
            await _until_ready(started[-1], ops, name=f"gateway-{number}")
        await spread(stack=stack, pids=[pids[f"inventory-{n + 1}"] for n in range(inventories)])
        yield Instances(pids=pids, partners=tuple(partners))
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            try:
                await asyncio.to_thread(process.wait, STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait, STOP_TIMEOUT_S)
        await _until_served(stack)


async def spread(*, stack: Stack, pids: Sequence[int]) -> None:
    """Give each partition to one of the processes in turn; raises StackMissing."""
    database = await _ledger(stack)
    try:
        for partition in range(PARTITIONS):
            await _give(database, partition=partition, to=pids[partition % len(pids)], pids=pids)
    finally:
        await database.close()


async def owners(*, stack: Stack) -> dict[int, int]:
    """Return the process id of each partition's owner."""
    database = await _ledger(stack)
    try:
        return {row["partition"]: _pid(row["owner"]) for row in await database.fetch(_OWNERS)}
    finally:
        await database.close()


async def _give(
    database: asyncpg.Connection[asyncpg.Record], *, partition: int, to: int, pids: Sequence[int]
) -> None:
    deadline = time.monotonic() + SPREAD_TIMEOUT_S
    while True:
        owner = await database.fetchval(f"{_OWNERS} WHERE partition = $1", partition, column=1)
        held = await database.fetchval(_HOLDER, _LOCK_SPACE, partition)
        if held is not None and _pid(str(owner)) == to:
            return
        if time.monotonic() > deadline:
            raise StackMissing(f"partition {partition} could not be given to process {to}")
        others = [pid for pid in pids if pid != to]
        _signal(others, signal.SIGSTOP)
        try:
            if held is not None:
                await database.execute("SELECT pg_terminate_backend($1)", held)
            await asyncio.sleep(1.0)
        finally:
            _signal(others, signal.SIGCONT)
        await asyncio.sleep(POLL_S)


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _pid(owner: str) -> int:
    """Return the process of an owner's name, which is ``host-pid``."""
    return int(owner.rpartition("-")[2])


def _start(
    stack: Stack, service: str, number: int, told: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    with (stack.data_dir / "log" / f"{service}-{number}.log").open("wb") as log:
        return subprocess.Popen(
            [stack.command(service), "run"],
            env={**stack.environment_of(service), **told},
            cwd=stack.checkout,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


async def _until_ready(process: subprocess.Popen[bytes], ops: Address, *, name: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not await asyncio.to_thread(answers_ready, address=ops):
        if process.poll() is not None or time.monotonic() > deadline:
            raise StackMissing(f"{name} does not get ready: see its log beside the others")
        await asyncio.sleep(POLL_S)


async def _until_served(stack: Stack) -> None:
    """Wait until the launcher's inventory has every partition again."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not await asyncio.to_thread(answers_ready, address=stack.ops["inventory"]):
        if time.monotonic() > deadline:
            raise StackMissing("inventory did not take its partitions back")
        await asyncio.sleep(POLL_S)


async def _ledger(stack: Stack) -> asyncpg.Connection[asyncpg.Record]:
    dsn = urlsplit(stack.admin_dsn)._replace(path="/ota_inventory").geturl()
    return await asyncpg.connect(dsn, timeout=10)
