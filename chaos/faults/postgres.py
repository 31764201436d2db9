"""Faults of PostgreSQL: ended sessions, crashes, a power cut, a lost answer, a full, slow disk."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import psutil

from chaos.faults.fault import Hurt
from chaos.ground import Ground, Skipped
from chaos.layout import DECIDERS, SERVICES
from chaos.rules import Rule
from chaos.watched import Watched

BACK_TIMEOUT_S = 60.0
STOPPED_MAX_S = 5.0
LOST_ANSWERS = 3
_END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@asynccontextmanager
async def crash(ground: Ground, dice: random.Random, length_s: float) -> AsyncIterator[Hurt]:
    """F4: sessions ended, a backend or the whole server killed, or everything stopped for 5 s."""
    postgres = ground.processes["postgres"]
    async with ground.claim("postgres"):
        way = dice.choice(("sessions", "backend", "postmaster", "immediate", "stop"))
        if way == "sessions":
            service = dice.choice(SERVICES)
            async with ground.database(service) as database:
                await database.execute(_END_SESSIONS)
            yield Hurt(f"all sessions of {service} are ended")
        elif way == "stop":
            postgres.signal(signal.SIGSTOP)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_go_on(postgres, min(length_s, STOPPED_MAX_S)))
                    yield Hurt("PostgreSQL is stopped (SIGSTOP), 5 s at most")
            finally:
                postgres.signal(signal.SIGCONT)
        else:
            _strike(postgres, way, dice)
            yield Hurt(f"PostgreSQL: {way}")
        await postgres.until_ready(timeout_s=BACK_TIMEOUT_S)


def _strike(postgres: Watched, way: str, dice: random.Random) -> None:
    family = postgres.family()
    if not family:
        raise Skipped("PostgreSQL does not run")
    with suppress(psutil.Error):
        if way == "backend":
            dice.choice(family[1:] or family).send_signal(signal.SIGKILL)
        elif way == "postmaster":
            family[0].send_signal(signal.SIGKILL)
        else:
            family[0].send_signal(signal.SIGQUIT)


async def _go_on(process: Watched, after_s: float) -> None:
    await asyncio.sleep(after_s)
    process.signal(signal.SIGCONT)


async def cut_power(ground: Ground, name: str) -> None:
    """Let a server's disk go back to what had been flushed at one moment, and start it on that."""
    disk, process = ground.need_disk(name), ground.processes[name]
    process.wanted = False
    try:
        process.signal(signal.SIGSTOP)
        cut = await asyncio.to_thread(disk.copy)
        process.signal(signal.SIGKILL)
        while process.pid is not None:
            await asyncio.sleep(0.02)
        await _unmounted(lambda: asyncio.to_thread(disk.put_back, cut))
    finally:
        process.wanted = True


async def _unmounted(put_back: Callable[[], Awaitable[None]]) -> None:
    # The kernel takes a moment to close what killed processes had open.
    for attempt in range(50):
        try:
            await put_back()
        except OSError:
            raise
        except Exception:
            if attempt == 49:
                raise
            await asyncio.sleep(0.1)
        else:
            return


@asynccontextmanager
async def power_cut(ground: Ground, _: random.Random, __: float) -> AsyncIterator[Hurt]:
    """F5: only what PostgreSQL had flushed is there afterwards."""
    async with ground.claim("postgres"):
        await cut_power(ground, "postgres")
        yield Hurt("power cut of PostgreSQL")
        await ground.processes["postgres"].until_ready(timeout_s=BACK_TIMEOUT_S)


@asynccontextmanager
async def lost_write(ground: Ground, dice: random.Random, _: float) -> AsyncIterator[Hurt]:
    """F9: a write is committed, and its answer is lost with the connection."""
    service = dice.choice(DECIDERS)
    rule = Rule(mode="drop_write", door="postgres", who=f"ota_{service}_app", value=LOST_ANSWERS)
    async with ground.rule(rule):
        yield Hurt(f"{LOST_ANSWERS} answers to writes of {service} are lost")


@asynccontextmanager
async def disk_full(ground: Ground, dice: random.Random, _: float) -> AsyncIterator[Hurt]:
    """F14: no space left for PostgreSQL, Kafka or the logs."""
    name = dice.choice(("postgres", "kafka", "log"))
    disk = ground.need_disk(name)
    async with ground.claim(name):
        filler = await asyncio.to_thread(disk.fill)
        try:
            yield Hurt(f"the disk of {name} is full")
        finally:
            filler.unlink(missing_ok=True)
        if name in ground.processes:
            await ground.processes[name].until_ready(timeout_s=BACK_TIMEOUT_S)


@asynccontextmanager
async def slow_disk(ground: Ground, dice: random.Random, _: float) -> AsyncIterator[Hurt]:
    """F15: what writes behind PostgreSQL's back stands still."""
    word = dice.choice(("walwriter", "checkpointer", "background writer"))
    async with ground.claim("postgres"):
        found = [each for each in ground.processes["postgres"].family() if _is(each, word)]
        if not found:
            raise Skipped(f"PostgreSQL has no {word} at the moment")
        for each in found:
            each.suspend()
        try:
            yield Hurt(f"PostgreSQL's {word} stands still")
        finally:
            for each in found:
                with suppress(psutil.Error):
                    each.resume()


def _is(process: psutil.Process, word: str) -> bool:
    with suppress(psutil.Error):
        return word in " ".join(process.cmdline())
    return False
