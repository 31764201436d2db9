"""What is counted of orders, and how prices that differ are noticed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from prometheus_client import CollectorRegistry

from libs.events.contracts.fulfillment import OrderCreated
from libs.runtime.metrics import Metrics
from services.fulfillment.main import OrderMetrics
from tests.support import examples

ORDER = examples.ORDER_CREATED
LABELS = {
    "partner_id": ORDER.partner_id,
    "product_id": str(ORDER.product_id),
    "channel": ORDER.channel,
}


def mismatches(*orders: OrderCreated) -> float | None:
    """Return how many price lines of these orders differ."""
    registry = CollectorRegistry()
    subject = OrderMetrics(Metrics(registry, service="fulfillment", version="1"))
    for order in orders:
        subject.created(order)
    return registry.get_sample_value("ota_price_mismatches_total")


def dearer(order: OrderCreated) -> OrderCreated:
    """Return an order whose first line costs a dollar more for each unit, and adds up."""
    first, *rest = order.lines
    more = 100 * first.count
    line = replace(
        first,
        unit_price_minor=first.unit_price_minor + 100,
        subtotal_minor=first.subtotal_minor + more,
    )
    return replace(order, lines=(line, *rest), total_minor=order.total_minor + more)


def test_orders_and_money_are_counted_by_partner() -> None:
    """Money in whole units of its currency."""
    registry = CollectorRegistry()
    subject = OrderMetrics(Metrics(registry, service="fulfillment", version="1"))
    subject.created(ORDER)
    subject.created(ORDER)
    value = registry.get_sample_value
    assert 2 == value("ota_orders_total", LABELS)
    revenue = value("ota_revenue_total", {**LABELS, "currency": ORDER.currency})
    assert pytest.approx(2 * ORDER.total_minor / 100) == revenue
    assert 2 * len(ORDER.tickets) == value("ota_tickets_issued_total")
    assert 2 * len(ORDER.lines) == value("ota_price_checks_total")


def test_the_same_price_in_every_channel_is_no_mismatch() -> None:
    """Partner, channel and quantity make no difference."""
    assert 0 == mismatches(ORDER, replace(ORDER, channel="direct", partner_id="another"))


def test_another_price_for_the_same_is_a_mismatch() -> None:
    """Each line that differs counts."""
    assert 1 == mismatches(ORDER, dearer(ORDER))


def test_other_prices_for_something_else_are_none() -> None:
    """A newer version of the rules, and another special day, have prices of their own."""
    assert 0 == mismatches(ORDER, replace(dearer(ORDER), rule_version=ORDER.rule_version + 1))
    special = replace(ORDER, day_class="special", visit_date=date(2026, 12, 31))
    other = replace(dearer(special), visit_date=date(2027, 2, 6))
    assert 0 == mismatches(special, other)
    assert 1 == mismatches(special, replace(other, visit_date=special.visit_date))


def test_a_total_that_is_not_the_sum_is_a_mismatch() -> None:
    """Even of the first order."""
    assert 1 == mismatches(replace(ORDER, total_minor=ORDER.total_minor + 1))
