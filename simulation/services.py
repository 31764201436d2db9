"""The deciding services as the simulation runs them, with what they tell counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from libs.events.behaviour import Behaviour
from libs.kernel.catalogue import Product
from services.fulfillment.app.behaviour import FulfillmentBehaviour
from services.inventory.app.behaviour import InventoryBehaviour
from services.inventory.domain.ledger import Pool
from services.reservation.app.behaviour import ReservationBehaviour
from simulation.market import CATALOGUE, NUMBERS
from simulation.views import Databases, HoldsLookup


class _Catalogues:
    async def read(self, version: int) -> None:
        """There is one version, and it is at hand."""

    def product(self, product_id: int, version: int) -> Product:
        product = CATALOGUE.product(product_id)
        assert version == CATALOGUE.version
        assert product is not None
        return product


class Counting:
    """Counts what the services tell their operators."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts

    def decided(
        self, *, events: Sequence[str], answers: Sequence[str], projected: int, replayed: int
    ) -> None:
        """See `libs.events.writer.Watch`."""
        self._counts["answers given again"] += replayed

    def wrote(self, duration_s: float) -> None:
        """See `libs.events.writer.Watch`."""
        self._counts["writes"] += 1

    def dropped_stale(self) -> None:
        """See `libs.events.intake.IntakeWatch`."""
        self._counts["stale commands dropped"] += 1

    def parked(self, topic: str) -> None:
        """See `libs.events.intake.IntakeWatch`."""
        self._counts["dead letters"] += 1

    def filled_gap(self, events: int) -> None:
        """See `libs.events.intake.IntakeWatch`."""
        self._counts["gaps filled"] += 1

    def stock(self, pool: Pool) -> None:
        """The ledger's model has its own figures."""

    def conflict(self, found: object) -> None:
        """The event itself is checked."""

    def expired(self, delay_s: float) -> None:
        """See `services.reservation.app.behaviour.HoldsWatch`."""
        self._counts["holds expired"] += 1


def _sign(**claims: object) -> str:
    return f"token:{claims['ticket_code']}"


def behaviour_of(service: str, *, databases: Databases, watch: Counting) -> Behaviour:
    """Return a service's behaviour, as at the start of a process."""
    if service == "inventory":
        return InventoryBehaviour(watch=watch)
    if service == "reservation":
        return ReservationBehaviour(
            numbers=NUMBERS,
            lookup=HoldsLookup(databases),
            catalogues=_Catalogues(),
            watch=watch,
        )
    return FulfillmentBehaviour(numbers=NUMBERS, sign=_sign, catalogues=_Catalogues())
