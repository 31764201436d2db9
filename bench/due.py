"""Many holds due in the same second: how late each one's units are available again."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.ground import Ground
from bench.ledger import Ledger
from bench.percentiles import summarise
from bench.restart import restart
from bench.row import Row
from bench.settings import HOT_PRODUCT
from bench.verdict import EARLIEST

HOLDS = 5_000
CLIENTS = 128
AHEAD_S = 12
GIVE_UP_S = 20
KILLED_AHEAD_S = 0.5


@dataclass(frozen=True, slots=True)
class Due:
    """Reserves with one common end, and reads the releases from the ledger's log.

    Processes of *killed* die by -9 just before that end, and their launcher starts them again.
    """

    name: str = "due"
    about: str = f"{HOLDS:,} holds end in the same instant; latency is how late each is released."
    once: bool = False
    killed: tuple[str, ...] = ()

    async def measure(self, ground: Ground) -> list[Row]:
        """See `bench.ground.Scenario`."""
        ledger = Ledger(ground.stack.admin_dsn)
        before = await ledger.standing()
        due_at_s = int(time.time()) + AHEAD_S
        due_at = datetime.fromtimestamp(due_at_s, tz=UTC)
        body = {
            "product_id": HOT_PRODUCT,
            "quantity": 1,
            "reservation_expires_at": due_at.isoformat(),
        }
        (step,) = await ground.load(ground.plan(bodies=(body,), clients=(CLIENTS,), requests=HOLDS))
        ready_s = await self._restarted(ground, due_at_s)
        late: list[float] = []
        while len(late) < step.accepted and time.time() < due_at_s + GIVE_UP_S:
            ground.screen.progress(
                f"due, {max(0.0, due_at_s - time.time()):.0f} s left, {len(late):,} released"
            )
            await asyncio.sleep(1.0)
            if time.time() > due_at_s:
                late = await ledger.lateness_s(before, expires_at=due_at)
        return [
            Row(
                scenario=self.name,
                label=f"{step.accepted:,} holds",
                counted="holds",
                latency=summarise([max(0.0, each) for each in late]),
                outcomes=step.outcomes,
                figures=_figures(late, after_due_s=ready_s - due_at_s if self.killed else None),
                faults=tuple(faults(late, accepted=step.accepted)),
            )
        ]

    async def _restarted(self, ground: Ground, due_at_s: float) -> float:
        """Kill and wait; return the wall-clock second in which all of them were ready again."""
        if self.killed:
            await asyncio.sleep(due_at_s - KILLED_AHEAD_S - time.time())
            async with asyncio.TaskGroup() as group:
                for service in self.killed:
                    group.create_task(
                        restart(stack=ground.stack, service=service, by=signal.SIGKILL)
                    )
        return time.time()


def _figures(late_s: Sequence[float], *, after_due_s: float | None) -> dict[str, float]:
    if not late_s:
        return {}
    found = {EARLIEST: round(late_s[0], 3)}
    if after_due_s is not None:
        found |= {
            "ready again, s after the end": round(after_due_s, 3),
            "last release, s after that": round(late_s[-1] - after_due_s, 3),
        }
    return found


def faults(late_s: Sequence[float], *, accepted: int) -> list[str]:
    """Return what is not as it must be; *late_s* in ascending order."""
    found = []
    if accepted != HOLDS:
        found.append(f"only {accepted:,} of {HOLDS:,} holds were placed in time")
    if len(late_s) != accepted:
        found.append(f"{len(late_s):,} of {accepted:,} holds were released in {GIVE_UP_S} s")
    if late_s and late_s[0] < 0:
        found.append(f"a hold was released {-late_s[0]:.3f} s early")
    return found
