"""Faults from the callers' side: rushes, races, many ends at once, bad manners, too much."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chaos.faults.fault import Hurt
from chaos.ground import Ground

RUSH_CLIENTS = 300
RACES = 60
MASS_HOLDS = 2_500
MASS_DUE_IN_S = 14.0
OVERLOAD = 5.0
IDLE_CONNECTIONS = 400
BACK_TIMEOUT_S = 60.0


@asynccontextmanager
async def hot_keys(ground: Ground, _: random.Random, __: float) -> AsyncIterator[Hurt]:
    """F19: many clients want one product at the same moment, some of them under one key."""
    ground.order(op="hot", clients=RUSH_CLIENTS)
    yield Hurt(f"{RUSH_CLIENTS} reserves of one product at once, {RUSH_CLIENTS // 5} under one key")


@asynccontextmanager
async def mass_expiry(ground: Ground, dice: random.Random, _: float) -> AsyncIterator[Hurt]:
    """F20: many holds end in the same second, with the reservation service down around it."""
    names = [each.name for each in ground.instances("reservation")]
    async with ground.claim("mass expiry"):
        ground.order(op="mass", holds=MASS_HOLDS, due_in_s=MASS_DUE_IN_S)
        if dice.random() < 0.5:
            yield Hurt(f"up to {MASS_HOLDS:,} holds end in one second")
            return
        async with ground.claim(*names):
            for name in names:
                ground.processes[name].kill()
            yield Hurt(
                f"up to {MASS_HOLDS:,} holds end in one second, kill -9 of reservation",
                tuple(names),
            )
            for name in names:
                await ground.processes[name].until_ready(timeout_s=BACK_TIMEOUT_S)


@asynccontextmanager
async def races(ground: Ground, _: random.Random, __: float) -> AsyncIterator[Hurt]:
    """F21: activations in the moment of the hold's end."""
    ground.order(op="race", count=RACES)
    yield Hurt(f"{RACES} activations within 50 ms of their hold's end")


@asynccontextmanager
async def bad_manners(ground: Ground, dice: random.Random, length_s: float) -> AsyncIterator[Hurt]:
    """F22: clients that leave, dawdle or sit."""
    ground.order(op="hostile", seconds=length_s, idle=IDLE_CONNECTIONS, seed=dice.getrandbits(32))
    yield Hurt(f"hostile clients, {IDLE_CONNECTIONS} idle connections")


@asynccontextmanager
async def overload(ground: Ground, _: random.Random, length_s: float) -> AsyncIterator[Hurt]:
    """F25: five times as many calls."""
    ground.order(op="rate", factor=OVERLOAD, seconds=length_s)
    yield Hurt(f"{OVERLOAD:g} times the load")
