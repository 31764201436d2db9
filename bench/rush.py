"""The rush: 10,000 clients at once want one unit each of a pool of 2,000. Exactly 2,000 may win."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, replace

from bench.ground import Ground
from bench.ledger import Ledger
from bench.row import Row, row_of
from bench.settings import CHANNEL, RUSH_POOL_UNITS, RUSH_PRODUCT
from bench.stack import StackMissing
from bench.tally import CREATED
from bench.workload import Step
from deploy.local.settings import CHECKOUT

CLIENTS = 10_000
CONNECTIONS = 4_000
UNITS = RUSH_POOL_UNITS
SOLD_OUT = "409 SOLD_OUT"
SEEN_S = 1.0
COMMAND_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Rush:
    """Sells out a pool that is filled up before, so that it can be run again."""

    name: str = "rush"
    about: str = (
        f"{CLIENTS:,} clients at once over {CONNECTIONS:,} connections, {UNITS:,} units;"
        " latency until a client's final answer, Retry-After followed."
    )
    once: bool = False

    async def measure(self, ground: Ground) -> list[Row]:
        """See `bench.ground.Scenario`."""
        ledger = Ledger(ground.stack.admin_dsn)
        ground.screen.progress(f"rush, filling product {RUSH_PRODUCT} up to {UNITS} units")
        before = await ledger.standing()
        await allot(before.out[RUSH_PRODUCT] + UNITS)
        await asyncio.sleep(SEEN_S)
        plan = ground.plan(
            bodies=({"product_id": RUSH_PRODUCT, "quantity": 1},),
            clients=(CONNECTIONS,),
            requests=CLIENTS,
            rush=True,
        )
        (step,) = await ground.load(plan)
        row = row_of(
            step,
            scenario=self.name,
            label=f"{CLIENTS:,} clients",
            counted="final answers",
            expected=frozenset({CREATED, SOLD_OUT}),
        )
        left = (await ledger.standing()).left[RUSH_PRODUCT]
        figures = {**row.figures, "seconds": step.window_s, "units left": left}
        return [replace(row, figures=figures, faults=(*row.faults, *faults(step, left=left)))]


def faults(step: Step, *, left: int) -> list[str]:
    """Return what is not as it must be after a rush, besides answers of another kind."""
    found = []
    if step.accepted != UNITS:
        found.append(f"{step.accepted:,} clients won instead of {UNITS:,}")
    refused = step.outcomes.get(SOLD_OUT, 0)
    if refused != CLIENTS - UNITS:
        found.append(f"{refused:,} clients were told SOLD_OUT instead of {CLIENTS - UNITS:,}")
    if left:
        found.append(f"{left} units are left instead of none")
    return found


async def allot(units: int) -> None:
    """Set the rush's pool to *units* as an operator does; raises StackMissing."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local.console", "stock", "allot"),
        *(str(RUSH_PRODUCT), CHANNEL, str(units), "--as", "bench"),
        cwd=CHECKOUT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            out, _ = await process.communicate()
    except TimeoutError as error:
        raise StackMissing("ota-admin stock allot did not end") from error
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise StackMissing(f"ota-admin stock allot failed: {out.decode(errors='replace')[-500:]}")
