"""Faults of the services' processes: killed, stopped, rolled, blocked, doubled, short of files."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import psutil

from chaos.faults.fault import Hurt
from chaos.freeze import NOT_ALLOWED
from chaos.ground import Ground, Skipped
from chaos.layout import DECIDERS, SERVICES, Instance
from chaos.watched import Watched
from deploy.local.ports import free_ports
from deploy.local.settings import CHECKOUT

BACK_TIMEOUT_S = 60.0
BLOCKED_MAX_S = 12.0
LOCK_SPACE = 0x4F5441
"""The advisory locks by which partitions are owned."""
_HOLDER = (
    "SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database"
    " WHERE locktype = 'advisory' AND d.datname = current_database()"
    " AND classid = $1 AND objid = $2 AND granted"
)


def _owner(ground: Ground, dice: random.Random) -> Instance:
    """Return an instance of a deciding service that owns a partition."""
    owners = [
        each
        for each in ground.layout.instances
        if each.service in DECIDERS and 1 in ground.gauge(each, "ota_partition_state").values()
    ]
    if not owners:
        raise Skipped("nobody owns a partition at the moment")
    return dice.choice(owners)


@asynccontextmanager
async def kill(ground: Ground, dice: random.Random, _: float) -> AsyncIterator[Hurt]:
    """F1: kill -9; whoever supervises starts it again."""
    service = dice.choice(SERVICES)
    each = dice.choice(ground.instances(service))
    async with ground.claim(each.name):
        process = ground.processes[each.name]
        process.kill()
        yield Hurt(f"kill -9 {each.name}", (each.name,), holds="killed")
        await process.until_ready(timeout_s=BACK_TIMEOUT_S)


@asynccontextmanager
async def stop_owner(ground: Ground, dice: random.Random, _: float) -> AsyncIterator[Hurt]:
    """F2: an owner is paused, and goes on as if nothing had happened."""
    each = await asyncio.to_thread(_owner, ground, dice)
    async with ground.claim(each.name):
        process = ground.processes[each.name]
        process.signal(signal.SIGSTOP)
        try:
            yield Hurt(f"SIGSTOP {each.name}", (each.name,), holds="stopped")
        finally:
            process.signal(signal.SIGCONT)
        await process.until_ready(timeout_s=BACK_TIMEOUT_S)


@asynccontextmanager
async def roll(ground: Ground, dice: random.Random, _: float) -> AsyncIterator[Hurt]:
    """F3: every instance of a service is ended gently and started again, one after the other."""
    service = dice.choice(SERVICES)
    names = [each.name for each in ground.instances(service)]
    async with ground.claim(*names), asyncio.TaskGroup() as group:
        group.create_task(_roll(ground, names))
        yield Hurt(f"rolling restart of {service}", tuple(names))


async def _roll(ground: Ground, names: list[str]) -> None:
    for name in names:
        await ground.processes[name].roll(timeout_s=BACK_TIMEOUT_S)


@asynccontextmanager
async def block(ground: Ground, dice: random.Random, length_s: float) -> AsyncIterator[Hurt]:
    """F17: the event loop stands still while the process's other threads go on."""
    each = dice.choice(ground.layout.instances)
    async with ground.claim(each.name):
        process = ground.processes[each.name]
        if process.pid is None:
            raise Skipped(f"{each.name} does not run")
        seconds = min(length_s, dice.uniform(0.2, BLOCKED_MAX_S))
        freezer = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chaos.freeze", str(process.pid), f"{seconds:.2f}"),
            cwd=CHECKOUT,
        )
        try:
            yield Hurt(
                f"the event loop of {each.name} stands still {seconds:.1f} s",
                (each.name,),
                holds="event loop stopped",
            )
        finally:
            code = await freezer.wait()
        if code == NOT_ALLOWED:
            raise Skipped("the system does not let us stop a single thread")
        await process.until_ready(timeout_s=BACK_TIMEOUT_S)


@asynccontextmanager
async def double(ground: Ground, dice: random.Random, length_s: float) -> AsyncIterator[Hurt]:
    """F12: two more workers, while the locks of the partitions' owners are torn away."""
    service = dice.choice(DECIDERS)
    extra: list[Watched] = []
    async with ground.claim(f"doubles of {service}"), asyncio.TaskGroup() as group:
        keepers = []
        for number in (8, 9):
            (port,) = free_ports(count=1)
            instance = Instance(
                name=f"{service}-{number}", service=service, number=number, ops_port=port
            )
            watched = Watched(name=instance.name, command=ground.layout.run(instance), wanted=True)
            extra.append(watched)
            keepers.append(group.create_task(watched.keep()))
        keepers.append(group.create_task(_tear_locks(ground, service, dice, length_s)))
        try:
            yield Hurt(f"two more of {service}, owners' sessions ended")
        finally:
            for keeper in keepers:
                keeper.cancel()
            for watched in extra:
                await watched.end()


async def _tear_locks(ground: Ground, service: str, dice: random.Random, length_s: float) -> None:
    await asyncio.sleep(min(3.0, length_s / 2))  # the newcomers have to be there
    while True:
        with suppress(Skipped, OSError, TimeoutError, asyncpg.PostgresError):
            async with ground.database(service) as database:
                partition = dice.randrange(4)
                pid = await database.fetchval(_HOLDER, LOCK_SPACE, partition)
                if pid is not None:
                    await database.execute("SELECT pg_terminate_backend($1)", pid)
        await asyncio.sleep(dice.uniform(0.5, 1.5))


@asynccontextmanager
async def no_files(ground: Ground, dice: random.Random, _: float) -> AsyncIterator[Hurt]:
    """F24: a process can open no further file or connection."""
    each = dice.choice(ground.layout.instances)
    async with ground.claim(each.name):
        pid = ground.processes[each.name].pid
        if pid is None:
            raise Skipped(f"{each.name} does not run")
        process = psutil.Process(pid)
        before = process.rlimit(psutil.RLIMIT_NOFILE)
        process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds() + 2, before[1]))
        try:
            # Whoever is not connected yet waits in the kernel's queue: nobody accepts him.
            yield Hurt(
                f"{each.name} may open no more files", (each.name,), holds="could accept nobody"
            )
        finally:
            with suppress(psutil.Error):
                process.rlimit(psutil.RLIMIT_NOFILE, before)


@asynccontextmanager
async def no_connections(ground: Ground, dice: random.Random, _: float) -> AsyncIterator[Hurt]:
    """F24: PostgreSQL has no room for another session."""
    taken: list[asyncpg.Connection[asyncpg.Record]] = []
    dsn = ground.layout.environment("gateway")["OTA_INVENTORY_READ_DSN"]
    async with ground.claim("postgres"):
        try:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError):
                while True:
                    taken.append(await asyncpg.connect(dsn, timeout=3))
            # Sessions end now, so that whatever reconnects finds the place taken.
            with suppress(Skipped, OSError, asyncpg.PostgresError):
                async with ground.database(dice.choice(SERVICES)) as database:
                    await database.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                        " AND usename LIKE '%_app'"
                    )
            yield Hurt(f"{len(taken)} sessions take PostgreSQL's last places")
        finally:
            for each in taken:
                each.terminate()
