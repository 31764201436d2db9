"""Many holds due in the same second: how late each one's units are available again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.ground import Ground
from bench.ledger import Ledger
from bench.percentiles import summarise
from bench.row import Row
from bench.settings import HOT_PRODUCT

HOLDS = 5_000
CLIENTS = 128
AHEAD_S = 12
GIVE_UP_S = 20


@dataclass(frozen=True, slots=True)
class Due:
    """Reserves with one common end, and reads the releases from the ledger's log."""

    name: str = "due"
    about: str = f"{HOLDS:,} holds end in the same instant; latency is how late each is released."
    once: bool = False

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
                figures={"earliest s": round(late[0], 3)} if late else {},
                faults=tuple(faults(late, accepted=step.accepted)),
            )
        ]


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
