"""What is measured of stock, holds and orders."""

from __future__ import annotations

from libs.runtime.metric_group import FULFILLMENT, INVENTORY, RESERVATION, MetricGroup

EXPIRY_BUCKETS_S = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 60.0)
HOLD_BUCKETS_S = (60.0, 300.0, 900.0, 3600.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0, 172_800.0)


class BusinessMetrics(MetricGroup):
    """The business's part of the catalogue."""

    def _register_stock(self) -> None:
        pool = ("product_id", "channel")
        self.inventory_allotted_units = self._gauge(
            "ota_inventory_allotted_units",
            "Units of a pool in all.",
            labels=pool,
            services=INVENTORY,
        )
        self.inventory_available_units = self._gauge(
            "ota_inventory_available_units",
            "Units of a pool that can be held.",
            labels=pool,
            services=INVENTORY,
        )
        self.inventory_held_units = self._gauge(
            "ota_inventory_held_units",
            "Units of a pool in open holds.",
            labels=pool,
            services=INVENTORY,
        )
        self.inventory_sold_units = self._gauge(
            "ota_inventory_sold_units",
            "Units of a pool that were sold.",
            labels=pool,
            services=INVENTORY,
        )
        self.inventory_selling = self._gauge(
            "ota_inventory_selling",
            "1 while a pool accepts holds, 0 while its sales are stopped.",
            labels=pool,
            unit="state",
            services=INVENTORY,
        )
        self.oversell_incidents = self._counter(
            "ota_oversell_incidents_total",
            "Pools found with more held and sold than allotted.",
            unit="incidents",
            services=INVENTORY,
        )
        self.ledger_conflicts = self._counter(
            "ota_ledger_conflicts_total",
            "Terminal events that the ledger could not apply.",
            unit="events",
            services=INVENTORY,
        )

    def _register_holds(self) -> None:
        whose = ("partner_id", "product_id", "channel")
        self.holds_open = self._gauge(
            "ota_holds_open",
            "Holds that are neither ended nor sold.",
            unit="holds",
            services=(*INVENTORY, *RESERVATION),
        )
        self.holds_due = self._gauge(
            "ota_holds_due",
            "Holds past their deadline that are not expired yet; counted up to 1000.",
            unit="holds",
            services=RESERVATION,
        )
        self.hold_overdue_seconds = self._gauge(
            "ota_hold_overdue_seconds",
            "How long the oldest of them is past its deadline.",
            services=RESERVATION,
        )
        self.hold_expiry_delay_seconds = self._histogram(
            "ota_hold_expiry_delay_seconds",
            "Time from a hold's deadline to the decision that it has expired.",
            buckets=EXPIRY_BUCKETS_S,
            services=RESERVATION,
        )
        self.holds_opened = self._counter(
            "ota_holds_opened_total",
            "Holds made.",
            labels=whose,
            unit="holds",
            services=RESERVATION,
        )
        self.holds_ended = self._counter(
            "ota_holds_ended_total",
            "Holds by how they ended: activated, cancelled or expired.",
            labels=(*whose, "ending"),
            unit="holds",
            services=RESERVATION,
        )
        self.hold_duration_seconds = self._histogram(
            "ota_hold_duration_seconds",
            "Time from a hold's making to its end.",
            labels=("ending",),
            buckets=HOLD_BUCKETS_S,
            services=RESERVATION,
        )
        self.partner_held_units = self._gauge(
            "ota_partner_held_units",
            "Units in a partner's open holds.",
            labels=whose,
            services=RESERVATION,
        )

    def _register_orders(self) -> None:
        self.orders = self._counter(
            "ota_orders_total",
            "Orders confirmed.",
            labels=("partner_id", "product_id", "channel"),
            unit="orders",
            services=FULFILLMENT,
        )
        self.revenue = self._counter(
            "ota_revenue_total",
            "Money of confirmed orders, in whole units of the currency (HKD 288.00 is 288).",
            labels=("partner_id", "product_id", "channel", "currency"),
            unit="currency",
            services=FULFILLMENT,
        )
        self.tickets_issued = self._counter(
            "ota_tickets_issued_total", "Tickets signed.", unit="tickets", services=FULFILLMENT
        )
        self.price_checks = self._counter(
            "ota_price_checks_total",
            "Price lines of orders that were held against what others paid for the same.",
            unit="lines",
            services=FULFILLMENT,
        )
        self.price_mismatches = self._counter(
            "ota_price_mismatches_total",
            "Price lines that differ from what others paid for the same, or add up wrongly.",
            unit="lines",
            services=FULFILLMENT,
        )
