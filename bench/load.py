"""Scenarios that are nothing but load: so many connections, or so many arrivals a second."""

from __future__ import annotations

from dataclasses import dataclass

from bench.ground import Ground
from bench.row import Row, row_of
from bench.settings import HOT_PRODUCT
from bench.tally import CREATED
from bench.traffic import RESERVE_PATH as RESERVE_PATH  # for callers

OPEN_CONNECTIONS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A load with its steps.

    *clients* or *rates* are the full run's steps, *quick* the quick run's if they are others.
    *prepare_per_s* holds are made for each second before the window. *choosable*: the settings
    say clients and products.
    """

    name: str
    about: str
    counted: str
    traffic: str = "reserve"
    clients: tuple[int, ...] = ()
    rates: tuple[int, ...] = ()
    quick: tuple[int, ...] = ()
    products: tuple[int, ...] = (HOT_PRODUCT,)
    expected: frozenset[str] = frozenset({CREATED})
    images: bool = False
    conditional: bool = False
    prepare_per_s: int = 0
    suffix: str = ""
    choosable: bool = False
    once: bool = False

    async def measure(self, ground: Ground) -> list[Row]:
        """See `bench.ground.Scenario`."""
        settings = ground.settings
        products, steps = self.products, self.rates or self.clients
        if self.quick and not settings.full:
            steps = self.quick
        if self.choosable:
            products, steps = settings.products, settings.clients
        plan = ground.plan(
            bodies=tuple({"product_id": each, "quantity": 1} for each in products),
            traffic=self.traffic,
            images=self.images,
            conditional=self.conditional,
            prepare=self.prepare_per_s * (settings.seconds + settings.warm_up_s),
            clients=(OPEN_CONNECTIONS,) if self.rates else steps,
            rates=steps if self.rates else (),
        )
        measured = await ground.load(plan)
        return [
            row_of(
                step,
                scenario=self.name,
                label=self._label(number),
                counted=self.counted,
                expected=self.expected,
            )
            for step, number in zip(measured, steps, strict=True)
        ]

    def _label(self, number: int) -> str:
        if self.rates:
            return f"{number:,}/s"
        connections = "1 connection" if number == 1 else f"{number} connections"
        return f"{connections}{self.suffix}"
