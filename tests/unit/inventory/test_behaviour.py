"""What the ledger reports beside its decisions: figures, availability, alarms."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from libs.events.contracts.inventory import PoolFigures
from libs.events.envelope import Position
from libs.events.hashing import GENESIS
from libs.events.messages import MESSAGES
from libs.events.ports import Head
from libs.kernel.state import State
from services.inventory.app.behaviour import InventoryBehaviour
from services.inventory.domain.ledger import Pool
from tests.support import examples


@dataclass
class Seen:
    """A watch that remembers what it was told."""

    available: dict[int, int] = field(default_factory=dict)
    conflicts: int = 0

    def stock(self, pool: Pool) -> None:
        """See `StockWatch`."""
        self.available[pool.pool_no] = pool.available

    def conflict(self, found: object) -> None:
        """See `StockWatch`."""
        self.conflicts += 1


class Partition:
    """A partition of the ledger without the loop: decide, evolve, commit."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.behaviour = InventoryBehaviour(watch=self.seen)
        self.state = State(partition=0)
        self.head = Head(
            partition=0,
            epoch=1,
            generation=1,
            seq=0,
            decided_at=examples.HELD_AT,
            hash=GENESIS,
            inputs={},
        )

    def write(self, *messages: object) -> None:
        """Decide messages in one batch and write it."""
        happened: list[object] = []
        for data in messages:
            message = replace(examples.envelope_of(data), id="message-1")
            for event in self.behaviour.decide(self.state, message, examples.HELD_AT).events:
                seq = self.head.seq + 1
                position = Position(1, 0, seq)
                self.behaviour.evolve(self.state, event, position, examples.HELD_AT)
                self.head = replace(self.head, seq=seq)
                happened.append(event)
        changes = self.state.staged()
        self.state.commit()
        self.behaviour.committed(self.state, changes, happened, self.head)

    def figures(self, data: object) -> PoolFigures | None:
        """Return the figures that go with an answer to *data*."""
        message = examples.envelope_of(data)
        return self.behaviour.figures(self.state, message, self.head)


OTHER = replace(examples.SET_ALLOTMENT, pool_no=4, channel="direct", units=5)
FIGURES = replace(examples.FIGURES, seq=3)


def stocked() -> Partition:
    """Return a partition with two pools and a hold in the first."""
    partition = Partition()
    partition.write(examples.SET_ALLOTMENT, OTHER)
    partition.write(examples.PLACE_HOLD)
    return partition


def test_an_answer_carries_the_figures_of_its_pool() -> None:
    """Of a command that names the pool, and of one that names a reservation only."""
    partition = stocked()
    assert FIGURES == partition.figures(examples.PLACE_HOLD)
    assert FIGURES == partition.figures(examples.CANCEL)
    assert FIGURES == partition.figures(examples.RESERVATION_CANCELLED)


def test_what_has_no_pool_has_no_figures() -> None:
    """A catalogue is nobody's stock, and neither is an unknown pool or a repeated question."""
    partition = stocked()
    assert partition.figures(examples.PUBLISH_CATALOGUE) is None
    assert partition.figures(replace(examples.STOP_SALES, pool_no=999)) is None
    assert partition.figures(examples.ANSWER_REQUESTED) is None


def test_a_pool_that_does_not_sell_shows_nothing_available() -> None:
    """The gateway's picture of a stopped pool is an empty one."""
    partition = stocked()
    partition.write(examples.STOP_SALES)
    expected = replace(FIGURES, available=0, selling=False, seq=4)
    assert expected == partition.figures(examples.PLACE_HOLD)


def test_a_report_has_what_changed_since_the_last_one() -> None:
    """Every pool at first, then the changed ones, then nothing; all of them when asked for."""
    partition = stocked()
    report = partition.behaviour.report(full=False)
    assert report is not None
    assert [1, 4] == sorted(pool.pool_no for pool in report.pools)
    assert partition.behaviour.report(full=False) is None

    partition.write(replace(OTHER, units=6))
    report = partition.behaviour.report(full=False)
    assert report is not None
    assert [(4, 6)] == [(pool.pool_no, pool.available) for pool in report.pools]
    assert (1, 0, 4, False) == (report.generation, report.partition, report.seq, report.full)

    report = partition.behaviour.report(full=True)
    assert report is not None
    assert report.full
    assert [1, 4] == sorted(pool.pool_no for pool in report.pools)


def test_a_report_names_the_current_catalogue() -> None:
    """Gateways learn from it that there is a newer one; 0 means none."""
    partition = stocked()
    report = partition.behaviour.report(full=True)
    assert report is not None
    assert 0 == report.catalogue_version
    partition.write(examples.PUBLISH_CATALOGUE)
    report = partition.behaviour.report(full=True)
    assert report is not None
    assert 7 == report.catalogue_version


def test_there_is_nothing_to_report_before_the_partition_is_owned() -> None:
    """A standby publishes no figures."""
    assert InventoryBehaviour(watch=Seen()).report(full=True) is None
    assert 0 == InventoryBehaviour(watch=Seen()).open_holds()


def test_a_partition_that_is_lost_is_not_reported_any_more() -> None:
    """Neither to gateways nor to operators: its figures are another process's now."""
    partition = stocked()
    partition.behaviour.forget()
    assert partition.behaviour.report(full=True) is None
    assert () == partition.behaviour.pools()
    assert 0 == partition.behaviour.open_holds()
    partition.behaviour.forget()


def test_operators_see_stock_and_open_holds_and_are_told_of_conflicts() -> None:
    """Figures follow every write; a conflict counts once it is written."""
    partition = stocked()
    assert {1: 1997, 4: 5} == partition.seen.available
    assert 1 == partition.behaviour.open_holds()
    partition.write(examples.RESERVATION_ACTIVATED)
    assert 0 == partition.behaviour.open_holds()
    assert 0 == partition.seen.conflicts
    partition.write(examples.RESERVATION_EXPIRED)
    assert 1 == partition.seen.conflicts


def test_the_ledger_reads_the_messages_that_it_decides() -> None:
    """Every name of its interests is registered; time alone moves nothing here."""
    behaviour = InventoryBehaviour(watch=Seen())
    assert set(behaviour.interests) <= {message.name for message in MESSAGES}
    assert () == behaviour.due(State(partition=0), examples.NOW, 10)
    assert behaviour.next_due() is None
