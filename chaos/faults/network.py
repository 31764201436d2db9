"""Faults of the network: what a proxy can do to connections, of one party or of all."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chaos.faults.fault import Hurt
from chaos.ground import Ground
from chaos.layout import SERVICES
from chaos.rules import MODES, Mode, Rule

VALUES: dict[Mode, tuple[float, ...]] = {
    "latency": (0.05, 0.2),
    "slow": (65_536.0,),
    "slicer": (7.0, 64.0),
}
HOLDS: frozenset[Mode] = frozenset(("latency", "slow", "blackhole", "half_open"))
"""What keeps bytes back; the others deliver them, or end the connection, at once."""


@asynccontextmanager
async def disturb(ground: Ground, dice: random.Random, _: float) -> AsyncIterator[Hurt]:
    """F8: slow, late, cut to pieces, silent in both directions or one, or ended."""
    door = dice.choice(("postgres", "kafka", "gateway"))
    mode: Mode = dice.choice(MODES)
    who = ""
    targets: tuple[str, ...] = ()
    if door == "gateway":
        door = dice.choice([each.name for each in ground.instances("gateway")])
        targets = (door,)
    elif dice.random() < 0.5:
        service = dice.choice(SERVICES)
        who = f"ota_{service}_" if door == "postgres" else service
    rule = Rule(mode=mode, door=door, who=who, value=dice.choice(VALUES.get(mode, (0.0,))))
    async with ground.claim(f"network of {door}"), ground.rule(rule):
        yield Hurt(
            f"network: {mode} {rule.value or ''} at {door} {who}".replace("  ", " ").strip(),
            targets,
            holds=f"network: {mode}" if targets and mode in HOLDS else "",
        )
