"""Many tickets: 100 QR images in one answer, and what other partners notice of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from bench.generator import Plan
from bench.ground import Ground
from bench.row import Row, row_of
from bench.settings import HOT_PRODUCT, SECOND_PARTNER_KEY, SPREAD_PRODUCTS
from bench.tally import CREATED
from bench.workload import Step

UNITS = 100
ALONE_FULL, ALONE_QUICK = 60, 12
OTHERS = 8
PER_S_MAX = 12
"""More activations of this size a second are not to be expected."""
ANSWERS = frozenset({CREATED, "reserve 201"})


@dataclass(frozen=True, slots=True)
class ManyTickets:
    """Activates holds of 100 units one after another, alone and beside other partners."""

    name: str = "many-tickets"
    about: str = (
        f"Activate {UNITS} units with {UNITS} QR images, one client; "
        f"reserves of another partner ({OTHERS} connections) without and with it."
    )
    once: bool = False

    async def measure(self, ground: Ground) -> list[Row]:
        """See `bench.ground.Scenario`."""
        settings = ground.settings
        count = ALONE_FULL if settings.full else ALONE_QUICK
        (alone,) = await ground.load(self._activations(ground, prepare=count, requests=count))
        (quiet,) = await ground.load(self._reserves(ground))
        lasting_s = settings.seconds + settings.warm_up_s + 2
        beside = self._activations(ground, prepare=lasting_s * PER_S_MAX, seconds=lasting_s)
        async with asyncio.TaskGroup() as group:
            tickets = group.create_task(ground.load(beside), name="tickets")
            # The activations' holds have to be made first.
            others = group.create_task(ground.load(self._reserves(ground)), name="others")
        return [
            self._row(alone, "alone", counted="activations"),
            self._row(quiet, "others' reserves, without", counted="reserves"),
            _without_cpu(
                self._row(others.result()[0], "others' reserves, with", counted="reserves")
            ),
            _without_cpu(self._row(tickets.result()[0], "beside them", counted="activations")),
        ]

    def _activations(
        self, ground: Ground, *, prepare: int, requests: int | None = None, seconds: float = 0
    ) -> Plan:
        return ground.plan(
            bodies=({"product_id": SPREAD_PRODUCTS[1], "quantity": UNITS},),
            traffic="activate",
            images=True,
            clients=(1,),
            prepare=prepare,
            requests=requests,
            warm_up_s=0,
            seconds=seconds,
        )

    def _reserves(self, ground: Ground) -> Plan:
        return ground.plan(
            bodies=({"product_id": HOT_PRODUCT, "quantity": 1},),
            clients=(OTHERS,),
            api_key=SECOND_PARTNER_KEY,
        )

    def _row(self, step: Step, label: str, *, counted: str) -> Row:
        return row_of(step, scenario=self.name, label=label, counted=counted, expected=ANSWERS)


def _without_cpu(row: Row) -> Row:
    """Two loads at once: nobody can say whose CPU time it was."""
    return replace(row, cpu_us={}, figures={}, hops={})
