"""The fulfillment service's process: composition and console commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date

import structlog

from libs.events.console import deciding_service
from libs.events.contracts.fulfillment import OrderCreated
from libs.events.host import Host
from libs.events.ports import Catalogues, Head
from libs.events.postgres.catalogues import ViewCatalogues
from libs.events.topics import RESERVATION_EVENTS
from libs.kernel.ids import Numbers
from libs.kernel.state import Change, State
from libs.runtime.metrics import Metrics
from services.fulfillment.app.behaviour import FulfillmentBehaviour
from services.fulfillment.domain.decisions import SignTicket
from services.fulfillment.settings import MigrationSettings, Settings
from services.fulfillment.store.tables import MIGRATIONS, TABLES
from services.fulfillment.tickets import TicketSigning

log = structlog.get_logger()

PRICES_MAX = 10_000
MINOR_UNITS = 100


class OrderMetrics:
    """Counts orders, and holds their prices against what others paid for the same.

    Prices are the same in every channel (contract, section 3): a unit of a product, of one
    version of its prices, for one type of customer on one kind of day costs what it did the
    first time.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._count: dict[tuple[str, int, str, str], tuple[Callable[..., None], ...]] = {}
        self._prices: dict[tuple[int, int, str, date | None, str], int] = {}

    def created(self, order: OrderCreated) -> None:
        """Count an order."""
        of = (order.partner_id, order.product_id, order.channel, order.currency)
        count = self._count.get(of)
        if count is None:
            labels = (self._metrics.partners.name(of[0]), str(of[1]), of[2])
            count = self._count[of] = (
                self._metrics.orders.labels(*labels).inc,
                self._metrics.revenue.labels(*labels, order.currency).inc,
            )
        count_order, add_money = count
        count_order()
        add_money(order.total_minor / MINOR_UNITS)
        self._metrics.tickets_issued.inc(len(order.tickets))
        self._check_prices(order)

    def _check_prices(self, order: OrderCreated) -> None:
        wrong = int(sum(line.subtotal_minor for line in order.lines) != order.total_minor)
        day = order.visit_date if order.day_class == "special" else None
        if len(self._prices) >= PRICES_MAX:
            self._prices.clear()
        for line in order.lines:
            sold = (
                order.product_id,
                order.rule_version,
                order.day_class,
                day,
                line.customer_type,
            )
            usual = self._prices.setdefault(sold, line.unit_price_minor)
            wrong += line.unit_price_minor != usual
        self._metrics.price_checks.inc(len(order.lines))
        if wrong:
            self._metrics.price_mismatches.inc(wrong)
            log.error("order.price_differs", order_id=order.order_id, prices=wrong)


class MeasuredFulfillment(FulfillmentBehaviour):
    """One partition of orders that also tells what its commits mean for the business."""

    def __init__(
        self, *, numbers: Numbers, sign: SignTicket, catalogues: Catalogues, metrics: OrderMetrics
    ) -> None:
        super().__init__(numbers=numbers, sign=sign, catalogues=catalogues)
        self._metrics = metrics

    def committed(
        self, state: State, changes: Sequence[Change], events: Sequence[object], head: Head
    ) -> None:
        """See `libs.events.behaviour.Behaviour.committed`."""
        super().committed(state, changes, events, head)
        for event in events:
            if isinstance(event, OrderCreated):
                self._metrics.created(event)


async def serve(settings: Settings, metrics: Metrics, stop: asyncio.Event) -> None:
    """Run the service until *stop*."""
    signing = TicketSigning(settings.ticket_signing_key)
    host = Host(
        service="fulfillment",
        settings=settings,
        dsn=settings.fulfillment_dsn,
        ops_port=settings.fulfillment_ops_port,
        metrics=metrics,
        tables=TABLES,
        sources={"reservation": (RESERVATION_EVENTS, settings.reservation_read_dsn)},
        views={"inventory": settings.inventory_read_dsn},
        ops_routes=signing.routes(),
    )
    async with host:
        catalogues = ViewCatalogues(host.pool("inventory"))
        numbers = Numbers(settings.numbering_key)
        orders = OrderMetrics(metrics)
        await host.serve(
            stop=stop,
            behaviours=lambda _: MeasuredFulfillment(
                numbers=numbers, sign=signing, catalogues=catalogues, metrics=orders
            ),
        )


def cli() -> None:
    """Run the console command ``ota-fulfillment``."""
    deciding_service(
        service="fulfillment",
        description="Orders and signed tickets.",
        settings=Settings,
        serve=serve,
        migration_settings=MigrationSettings,
        migrations=MIGRATIONS,
    )
