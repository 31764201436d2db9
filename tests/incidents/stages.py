"""The ten causes: each does its harm to a running stack, and heals it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from bench.settings import SPREAD_PRODUCTS
from deploy.local.machine import Finding
from deploy.local.ports import free_ports
from deploy.local.processes import Command, spawn, sweep_group
from deploy.local.settings import CHECKOUT
from libs.events.topics import INVENTORY_COMMANDS
from tests.incidents.ground import FLOODING_KEY, HOARDING_KEY, QUIET_KEYS, Ground, calling
from tests.rolling.faults import page, serving
from tests.support.agency import Agency, open_agency
from tests.support.waiting import eventually

LEFT_SHARE: Final = 0.06
FLOOD_PER_S: Final = 50.0
"""Fifty times the sixty calls a minute that the partner may make."""
HOARDED_PRODUCT: Final = 108
HOARDED_UNITS: Final = 1_500
HOLD_UNITS_MAX: Final = 100
CLOCK_OFF_S: Final = -300
DUE_IN_S: Final = 8.0
DUE_HOLDS: Final = 8
LATE_CALLS_PER_S: Final = 2.0
PATIENCE_S: Final = 60.0
PARTITIONS: Final = 4
LOCKED_S: Final = 3_600
_KNOWN: Final = "SELECT count(*) FROM reservation WHERE reservation_id = ANY($1)"
_LOCKED: Final = (
    "SELECT count(*) FROM pg_locks"
    " WHERE relation = 'reservation'::regclass AND mode = 'ShareLock' AND granted"
)
_LOCK: Final = (
    f"DO $$ BEGIN LOCK TABLE reservation IN SHARE MODE; PERFORM pg_sleep({LOCKED_S}); END $$"
)


class Impossible(Exception):
    """An incident can't be staged on this machine; the message says why."""


@asynccontextmanager
async def broker_gone(ground: Ground) -> AsyncIterator[float]:
    """Kill the broker while the launcher, which would start it again, is paused."""
    launcher = ground.state.supervisor.pid
    os.kill(launcher, signal.SIGSTOP)
    try:
        ground.signal("kafka", signal.SIGKILL)
        yield time.time()
    finally:
        os.kill(launcher, signal.SIGCONT)


@asynccontextmanager
async def database_slow(ground: Ground) -> AsyncIterator[float]:
    """Let each commit wait 100 ms before it is flushed, as on a disk that is worn out."""
    slow = {"commit_delay": "100000", "commit_siblings": "0"}
    try:
        for name, value in slow.items():
            await _order(ground, f"ALTER SYSTEM SET {name} = {value}")
        began = time.time()
        await _order(ground, "SELECT pg_reload_conf()")
        yield began
    finally:
        for name in slow:
            await _order(ground, f"ALTER SYSTEM RESET {name}")
        await _order(ground, "SELECT pg_reload_conf()")


async def _order(ground: Ground, statement: str) -> None:
    async with ground.database("postgres") as database:
        await database.execute(statement)


@asynccontextmanager
async def service_hung(ground: Ground) -> AsyncIterator[float]:
    """Pause the only process of fulfillment."""
    began = time.time()
    ground.signal("fulfillment", signal.SIGSTOP)
    try:
        yield began
    finally:
        ground.signal("fulfillment", signal.SIGCONT)


@asynccontextmanager
async def partner_floods(ground: Ground) -> AsyncIterator[float]:
    """Call at fifty times a partner's limit."""
    began = time.time()
    async with calling(port=ground.settings.partner.port, key=FLOODING_KEY, per_s=FLOOD_PER_S):
        yield began


@asynccontextmanager
async def poison_record(ground: Ground) -> AsyncIterator[float]:
    """Put a record among the ledger's commands that nobody can read."""
    producer = AIOKafkaProducer(bootstrap_servers=str(ground.settings.kafka), client_id="somebody")
    await producer.start()
    try:
        began = time.time()
        await producer.send_and_wait(INVENTORY_COMMANDS.name, partition=0, value=b"\xff no message")
    finally:
        await producer.stop()
    yield began


@asynccontextmanager
async def disk_nearly_full(ground: Ground) -> AsyncIterator[float]:
    """Fill the disk of PostgreSQL, Kafka and the logs but for 6 %."""
    if ground.disk is None:
        raise Impossible("a disk of its own needs root and loop devices")
    began = time.time()
    filler = await asyncio.to_thread(ground.disk.fill, left=LEFT_SHARE)
    try:
        yield began
    finally:
        filler.unlink(missing_ok=True)


def find_faketime() -> Finding:
    """Look for the library that gives a process another clock."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    return Finding("libfaketime", "libfaketime", next(iter(found), None), "libfaketime not found")


@asynccontextmanager
async def clock_off(ground: Ground) -> AsyncIterator[float]:
    """Start one more gateway, whose machine is five minutes behind, and send it calls."""
    library = find_faketime().place
    if library is None:
        raise Impossible("libfaketime is missing")
    ops_port, port = free_ports(count=2)
    command = Command(
        argv=(ground.stack.command("gateway"), "run"),
        environment={
            **ground.stack.environment_of("gateway"),
            "OTA_GATEWAY_OPS_PORT": str(ops_port),
            "OTA_PARTNER_PORT": str(port),
            "OTA_GATEWAY_INSTANCE": "",
            "LD_PRELOAD": str(library),
            "FAKETIME": str(CLOCK_OFF_S),
            # Waiting goes by the monotonic clock, which is right.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
        log=ground.settings.log_dir / "gateway-late.log",
        cwd=CHECKOUT,
    )
    address = f"127.0.0.1:{ops_port}"
    targets = ground.settings.data_dir / "monitoring" / "targets.json"
    before = targets.read_text(encoding="utf-8")
    process = spawn(command=command)
    try:
        await eventually(lambda: _ready(address), timeout_s=PATIENCE_S, what="the late gateway")
        began = time.time()
        _replace(targets, with_target(before, job="gateway", address=address))
        async with calling(port=port, key=QUIET_KEYS[0], per_s=LATE_CALLS_PER_S):
            yield began
    finally:
        _replace(targets, before)
        process.terminate()
        await asyncio.to_thread(process.wait)
        sweep_group(process=process)


async def _ready(address: str) -> bool:
    try:
        return bool("ok" == json.loads(await page(f"http://{address}/readyz"))["status"])
    except (OSError, ValueError, KeyError):
        return False


def with_target(targets: str, *, job: str, address: str) -> str:
    """Return Prometheus' list of targets with one more of a job."""
    groups = json.loads(targets)
    for group in groups:
        if group["labels"]["job"] == job:
            group["targets"].append(address)
    return json.dumps(groups, indent=1) + "\n"


def _replace(file: Path, text: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)


@asynccontextmanager
async def expiry_stopped(ground: Ground) -> AsyncIterator[float]:
    """Let holds run out while a statement of somebody's keeps the reservations locked."""
    due = datetime.now(UTC) + timedelta(seconds=DUE_IN_S)
    held = []
    async with _agency(ground, QUIET_KEYS[1]) as agency:
        for number in range(DUE_HOLDS):
            product = SPREAD_PRODUCTS[number % len(SPREAD_PRODUCTS)]
            until = due.isoformat().replace("+00:00", "Z")
            held.append(await _held(agency, product, 1, reservation_expires_at=until))
    async with (
        ground.database("ota_reservation") as database,
        ground.database("ota_reservation") as other,
        asyncio.TaskGroup() as group,
    ):

        async def known() -> bool:
            return bool(len(held) == await database.fetchval(_KNOWN, held))

        async def locked() -> bool:
            return bool(await database.fetchval(_LOCKED))

        await eventually(known, what="reservation knows the holds")
        # A session that only sits on its lock would be ended by the server after five seconds.
        locking = group.create_task(other.execute(_LOCK, timeout=LOCKED_S))
        try:
            await eventually(locked, what="the lock")
            yield time.time()
        finally:
            locking.cancel()


@asynccontextmanager
async def partner_hoards(ground: Ground) -> AsyncIterator[float]:
    """Hold all units of a product, and activate none."""
    began = time.time()
    held = []
    async with _agency(ground, HOARDING_KEY) as agency:
        try:
            for _ in range(HOARDED_UNITS // HOLD_UNITS_MAX):
                held.append(await _held(agency, HOARDED_PRODUCT, HOLD_UNITS_MAX))
            yield began
        finally:
            for reservation_id in held:
                await agency.call("DELETE", f"/reservations/{reservation_id}")


def _agency(ground: Ground, key: str) -> Any:
    return open_agency(url=ground.url, api_key=key)


async def _held(agency: Agency, product: int, quantity: int, **fields: str) -> str:
    answer = await agency.reserve(product, quantity, key=uuid.uuid4().hex, **fields)
    assert 201 == answer.status, answer.body
    return str(answer.json["reservation_id"])


@asynccontextmanager
async def zombie(ground: Ground) -> AsyncIterator[float]:
    """Pause one of two owners until the other one has its partitions, and let it go on."""
    names = ("inventory", "inventory-2")
    one, other = (str(ground.process(name).address) for name in names)
    await _until(
        lambda: _counts(one, other), [PARTITIONS // 2] * 2, "the partitions are shared out"
    )
    began = time.time()
    ground.signal(names[0], signal.SIGSTOP)
    try:
        await _until(lambda: _counts(other), [PARTITIONS], "the standby has taken over")
    finally:
        ground.signal(names[0], signal.SIGCONT)
    yield began


async def _counts(*addresses: str) -> list[int]:
    return [len(await serving(each)) for each in addresses]


async def _until(ask: Callable[[], Any], wanted: list[int], what: str) -> None:
    async def reached() -> bool:
        return bool(await ask() == wanted)

    await eventually(reached, timeout_s=PATIENCE_S, what=what)
