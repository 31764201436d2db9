"""Further instances of services beside those that the launcher started.

They spread the partitions among themselves; here it is awaited that they have.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
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
    """Wait until each process has its share of the partitions; raises StackMissing."""
    deadline = time.monotonic() + SPREAD_TIMEOUT_S
    while True:
        owned = Counter((await owners(stack=stack)).values())
        shares = [owned[pid] for pid in pids]
        if sum(shares) == PARTITIONS and max(shares) - min(shares) <= 1:
            return
        if time.monotonic() > deadline:
            raise StackMissing(f"the partitions are not spread over processes {pids}: {owned}")
        await asyncio.sleep(POLL_S)


async def owners(*, stack: Stack) -> dict[int, int]:
    """Return the process id of each partition's owner."""
    database = await _ledger(stack)
    try:
        return {row["partition"]: _pid(row["owner"]) for row in await database.fetch(_OWNERS)}
    finally:
        await database.close()


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
    await spread(stack=stack, pids=[stack.pids["inventory"]])


async def _ledger(stack: Stack) -> asyncpg.Connection[asyncpg.Record]:
    dsn = urlsplit(stack.admin_dsn)._replace(path="/ota_inventory").geturl()
    return await asyncpg.connect(dsn, timeout=10)
