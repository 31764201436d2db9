"""The reservation service's process: composition and console commands."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import prometheus_client

from libs.events.console import deciding_service
from libs.events.host import Host
from libs.events.ports import Catalogues, Head
from libs.events.postgres.catalogues import ViewCatalogues
from libs.events.topics import INVENTORY_EVENTS
from libs.kernel.ids import Numbers
from libs.kernel.state import Change, State
from libs.runtime.metrics import Metrics
from services.reservation.app.behaviour import HoldsLookup, ReservationBehaviour
from services.reservation.domain.hold import Reservation
from services.reservation.settings import MigrationSettings, Settings
from services.reservation.store.lookup import PostgresHoldsLookup
from services.reservation.store.tables import MIGRATIONS, TABLES

DUE_SHOWN_MAX = 1_000
ENDINGS = ("activated", "cancelled", "expired")

Whose = tuple[str, int, str]
"""Partner, product and channel of a hold."""


@dataclass(slots=True)
class _Series:
    """The counters of one partner's holds, found once."""

    opened: prometheus_client.Counter
    ended: Mapping[str, prometheus_client.Counter]


class HoldMetrics:
    """Shows holds and lateness as metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._series: dict[Whose, _Series] = {}
        self._durations = {
            ending: metrics.hold_duration_seconds.labels(ending) for ending in ENDINGS
        }

    def expired(self, delay_s: float) -> None:
        """See `services.reservation.app.behaviour.HoldsWatch`."""
        self._metrics.hold_expiry_delay_seconds.observe(delay_s)

    def opened(self, whose: Whose) -> None:
        """Count a hold that was made."""
        self._of(whose).opened.inc()

    def ended(self, whose: Whose, ending: str, *, after_s: float) -> None:
        """Count a hold that has ended."""
        self._of(whose).ended[ending].inc()
        self._durations[ending].observe(after_s)

    def _of(self, whose: Whose) -> _Series:
        series = self._series.get(whose)
        if series is None:
            labels = self._labels(whose)
            series = self._series[whose] = _Series(
                opened=self._metrics.holds_opened.labels(*labels),
                # All at once: an increase from nothing would not show.
                ended={
                    ending: self._metrics.holds_ended.labels(*labels, ending) for ending in ENDINGS
                },
            )
        return series

    def _labels(self, whose: Whose) -> tuple[str, str, str]:
        partner_id, product_id, channel = whose
        return (self._metrics.partners.name(partner_id), str(product_id), channel)

    def show(self, now: datetime, known: Iterable[MeasuredReservations]) -> None:
        """Bring up to date what is a state, at a scrape, from the partitions that we know best."""
        open_holds = due = 0
        overdue_s = 0.0
        held: Counter[tuple[str, str, str]] = Counter()
        for behaviour in known:
            open_holds += behaviour.open_holds()
            due += behaviour.overdue(now, limit=DUE_SHOWN_MAX)
            if (next_due := behaviour.next_due()) is not None:
                overdue_s = max(overdue_s, (now - next_due).total_seconds())
            for whose, units in behaviour.held_units.items():
                held[self._labels(whose)] += units
        metrics = self._metrics
        metrics.holds_open.set(open_holds)
        metrics.holds_due.set(due)
        metrics.hold_overdue_seconds.set(overdue_s)
        metrics.partner_held_units.clear()
        for labels, units in held.items():
            metrics.partner_held_units.labels(*labels).set(units)


class MeasuredReservations(ReservationBehaviour):
    """One partition of holds that also tells what its commits mean for partners."""

    def __init__(
        self,
        *,
        numbers: Numbers,
        lookup: HoldsLookup,
        catalogues: Catalogues,
        metrics: HoldMetrics,
    ) -> None:
        super().__init__(numbers=numbers, lookup=lookup, catalogues=catalogues, watch=metrics)
        self._metrics = metrics
        self.held_units: Counter[Whose] = Counter()

    async def start(self, state: State, head: Head) -> None:
        """See `libs.events.behaviour.Behaviour.start`."""
        await super().start(state, head)
        self.held_units = Counter()
        for hold in state.all(Reservation):
            self.held_units[hold.partner_id, hold.product_id, hold.channel] += hold.quantity

    def committed(
        self, state: State, changes: Sequence[Change], events: Sequence[object], head: Head
    ) -> None:
        """See `libs.events.behaviour.Behaviour.committed`."""
        super().committed(state, changes, events, head)
        for change in changes:
            hold = change.entity
            if not isinstance(hold, Reservation):
                continue
            whose = (hold.partner_id, hold.product_id, hold.channel)
            active = hold.status == "active"
            if change.new:
                self._metrics.opened(whose)
                if active:
                    self.held_units[whose] += hold.quantity
            elif not active:
                self.held_units[whose] -= hold.quantity
            if hold.ended_at is not None:
                after_s = (hold.ended_at - hold.held_at).total_seconds()
                self._metrics.ended(whose, hold.status, after_s=after_s)


async def serve(settings: Settings, metrics: Metrics, stop: asyncio.Event) -> None:
    """Run the service until *stop*."""
    host = Host(
        service="reservation",
        settings=settings,
        dsn=settings.reservation_dsn,
        ops_port=settings.reservation_ops_port,
        metrics=metrics,
        tables=TABLES,
        sources={"inventory": (INVENTORY_EVENTS, settings.inventory_read_dsn)},
        lazy_topics=(INVENTORY_EVENTS,),
    )
    behaviours: dict[int, MeasuredReservations] = {}
    holds = HoldMetrics(metrics)
    metrics.at_scrape(
        # While a partition fails, its holds stay due: that is when somebody looks.
        lambda: holds.show(
            host.now(),
            [each for partition, each in behaviours.items() if partition in host.served_last],
        )
    )
    async with host:
        lookup = PostgresHoldsLookup(own=host.pool("reservation"), inventory=host.pool("inventory"))
        catalogues = ViewCatalogues(host.pool("inventory"))
        numbers = Numbers(settings.numbering_key)

        def behaviour(partition: int) -> MeasuredReservations:
            made = MeasuredReservations(
                numbers=numbers, lookup=lookup, catalogues=catalogues, metrics=holds
            )
            return behaviours.setdefault(partition, made)

        await host.serve(stop=stop, behaviours=behaviour)


def cli() -> None:
    """Run the console command ``ota-reservation``."""
    deciding_service(
        service="reservation",
        description="The life of holds and their deadlines.",
        settings=Settings,
        serve=serve,
        migration_settings=MigrationSettings,
        migrations=MIGRATIONS,
    )
