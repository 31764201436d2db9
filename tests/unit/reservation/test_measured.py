"""What the reservation service shows of partners' holds: made, ended, held now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from prometheus_client import CollectorRegistry

from libs.events.envelope import Envelope
from libs.events.hashing import GENESIS
from libs.events.ports import Head
from libs.kernel.state import State
from libs.runtime.metrics import Metrics
from services.reservation.domain.hold import Reservation
from services.reservation.main import HoldMetrics, MeasuredReservations
from tests.support import examples
from tests.support.catalogues import KeptCatalogues

HEAD = Head(
    partition=0, epoch=1, generation=1, seq=0, decided_at=examples.NOW, hash=GENESIS, inputs={}
)
HOLD = examples.RESERVATION
WHOSE = (HOLD.partner_id, HOLD.product_id, HOLD.channel)
LABELS = {
    "partner_id": HOLD.partner_id,
    "product_id": str(HOLD.product_id),
    "channel": HOLD.channel,
}


class Nothing:
    """A look-up that finds nothing."""

    async def ended(self, partition: int, reservation_ids: Sequence[str]) -> Sequence[Reservation]:
        """See `HoldsLookup`."""
        return ()

    async def held(self, partition: int, reservation_ids: Sequence[str]) -> Sequence[Envelope]:
        """See `HoldsLookup`."""
        return ()

    async def opened_after(self, partition: int, ledger_seq: int) -> Mapping[str, int]:
        """See `HoldsLookup`."""
        return {}


class Partition:
    """A measured partition, and its metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry, service="reservation", version="1")
        self.metrics = HoldMetrics(metrics)
        self.behaviour = MeasuredReservations(
            numbers=examples.NUMBERS,
            lookup=Nothing(),
            catalogues=KeptCatalogues(),
            metrics=self.metrics,
        )
        self.state = State(partition=0)

    def write(self, *holds: Reservation) -> None:
        """Commit a batch in which these holds have become what they are now."""
        for hold in holds:
            self.state.put(hold)
        changes = self.state.staged()
        self.state.commit()
        self.behaviour.committed(self.state, changes, (), HEAD)

    def value(self, name: str, **labels: str) -> float | None:
        """Return what is shown."""
        return self.registry.get_sample_value(name, labels)


def ended(status: str, *, after: timedelta = timedelta(hours=2)) -> Reservation:
    """Return the hold at its end."""
    return replace(HOLD, status=status, ended_at=HOLD.held_at + after)  # type: ignore[arg-type]


def test_a_hold_is_counted_at_its_making_and_at_its_end() -> None:
    """Its units are held in between, and how long it took is observed."""
    partition = Partition()
    partition.write(HOLD)
    assert 1 == partition.value("ota_holds_opened_total", **LABELS)
    assert 0 == partition.value("ota_holds_ended_total", **LABELS, ending="expired")
    assert (HOLD.quantity, 1) == (
        partition.behaviour.held_units[WHOSE],
        partition.behaviour.open_holds(),
    )
    partition.write(ended("activated"))
    assert (0, 0) == (partition.behaviour.held_units[WHOSE], partition.behaviour.open_holds())
    assert 1 == partition.value("ota_holds_opened_total", **LABELS)
    assert 1 == partition.value("ota_holds_ended_total", **LABELS, ending="activated")
    assert 7200 == partition.value("ota_hold_duration_seconds_sum", ending="activated")


def test_a_hold_that_begins_and_ends_in_one_batch_holds_nothing() -> None:
    """It is counted twice all the same."""
    partition = Partition()
    partition.write(HOLD, ended("cancelled"))
    assert 0 == partition.behaviour.held_units[WHOSE]
    assert 1 == partition.value("ota_holds_opened_total", **LABELS)
    assert 1 == partition.value("ota_holds_ended_total", **LABELS, ending="cancelled")


async def test_a_new_owner_knows_what_is_held() -> None:
    """It is summed up from the rows; nothing of it is counted as made anew."""
    partition = Partition()
    partition.state.load(HOLD)
    partition.state.put(HOLD)
    partition.state.commit()
    await partition.behaviour.start(partition.state, HEAD)
    assert HOLD.quantity == partition.behaviour.held_units[WHOSE]
    assert partition.value("ota_holds_opened_total", **LABELS) is None


async def test_what_is_due_stays_due_while_writing_it_down_fails() -> None:
    """A batch that never commits leaves its holds open, overdue, and longer so at each look."""
    partition = Partition()
    partition.write(HOLD)
    late = timedelta(seconds=40)
    for behind in (late, 2 * late):
        now = HOLD.expires_at + behind
        assert partition.behaviour.due(partition.state, now, 10)
        partition.state.put(ended("expired"))  # decided, and then the write fails
        partition.metrics.show(now, [partition.behaviour])
        assert (1, 1, behind.total_seconds()) == (
            partition.value("ota_holds_open"),
            partition.value("ota_holds_due"),
            partition.value("ota_hold_overdue_seconds"),
        )
        partition.state.rollback()
