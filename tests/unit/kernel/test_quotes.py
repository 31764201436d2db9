"""Quotes and the rule sheet of the pricing API (contract, section 7)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from libs.kernel import pricing
from libs.kernel.catalogue import AddOn, PriceRules, SpecialDate
from libs.kernel.pricing import (
    CUSTOMER_TYPES,
    AddOnCount,
    AddOnLine,
    CustomerCount,
    CustomerRule,
    DayAdjustment,
    PriceLine,
    Quote,
    QuoteRefused,
    SpecialPrice,
    TimeRule,
    quote,
    rule_sheet,
    unit_price_minor,
)

WEDNESDAY = date(2026, 1, 7)
SATURDAY = date(2026, 1, 3)
SPECIAL = date(2026, 2, 18)

RULES = PriceRules(
    rule_version=7,
    currency="HKD",
    adult_weekday_minor=28_800,
    adult_weekend_minor=31_800,
    child_minor=18_800,
    elderly_minor=18_800,
    special_dates=(SpecialDate(on=SPECIAL, multiplier_permille=1300),),
)
ADDONS = (
    AddOn(addon_id="tokens-plan-a", name="10 tokens", unit_price_minor=10_000, tokens=10),
    AddOn(addon_id="tokens-plan-b", name="20 tokens", unit_price_minor=18_000, tokens=20),
)


def customer(customer_type: str, count: int) -> CustomerCount:
    return CustomerCount(customer_type=customer_type, count=count)


def addon(addon_id: str, quantity: int) -> AddOnCount:
    return AddOnCount(addon_id=addon_id, quantity=quantity)


def asked(
    *dates: date,
    customers: tuple[CustomerCount, ...] = (CustomerCount(customer_type="adult", count=1),),
    addons: tuple[AddOnCount, ...] = (),
) -> Quote | QuoteRefused:
    return quote(
        rules=RULES,
        known_addons=ADDONS,
        booking_dates=dates,
        customers=customers,
        addons=addons,
    )


def test_quote_of_one_weekend_day() -> None:
    """Every figure of an answer with customers and add-ons."""
    expected = Quote(
        currency="HKD",
        rule_version=7,
        customer_lines=(
            PriceLine(
                customer_type="adult", count=2, unit_price_minor=31_800, subtotal_minor=63_600
            ),
            PriceLine(
                customer_type="child", count=1, unit_price_minor=18_800, subtotal_minor=18_800
            ),
        ),
        day_adjustments=(DayAdjustment(on=SATURDAY, day_class="weekend", amount_minor=6_000),),
        addon_lines=(
            AddOnLine(
                addon_id="tokens-plan-b",
                name="20 tokens",
                quantity=3,
                unit_price_minor=18_000,
                subtotal_minor=54_000,
            ),
        ),
        base_minor=82_400,
        addons_minor=54_000,
        final_minor=136_400,
    )
    assert expected == asked(
        SATURDAY,
        customers=(customer("adult", 2), customer("child", 1)),
        addons=(addon("tokens-plan-b", 3),),
    )


def test_several_dates_are_summed_and_addons_counted_once() -> None:
    """A customer of three days pays each day's price, an add-on is bought once."""
    answer = asked(
        WEDNESDAY,
        SATURDAY,
        SPECIAL,
        customers=(customer("adult", 2),),
        addons=(addon("tokens-plan-a", 1),),
    )
    assert isinstance(answer, Quote)
    # 288 + 318 + 374
    assert [(98_000, 196_000)] == [
        (line.unit_price_minor, line.subtotal_minor) for line in answer.customer_lines
    ]
    assert [("weekday", 0), ("weekend", 6_000), ("special", 17_200)] == [
        (day.day_class, day.amount_minor) for day in answer.day_adjustments
    ]
    assert (196_000, 10_000, 206_000) == (
        answer.base_minor,
        answer.addons_minor,
        answer.final_minor,
    )


def test_rows_are_those_that_were_asked() -> None:
    """The same type or add-on asked twice has two rows, in the order asked."""
    answer = asked(
        WEDNESDAY,
        customers=(customer("child", 1), customer("adult", 1), customer("child", 2)),
        addons=(addon("tokens-plan-b", 1), addon("tokens-plan-a", 1), addon("tokens-plan-b", 2)),
    )
    assert isinstance(answer, Quote)
    assert [("child", 1), ("adult", 1), ("child", 2)] == [
        (line.customer_type, line.count) for line in answer.customer_lines
    ]
    assert [("tokens-plan-b", 1), ("tokens-plan-a", 1), ("tokens-plan-b", 2)] == [
        (line.addon_id, line.quantity) for line in answer.addon_lines
    ]


def test_a_quote_prices_each_type_once_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest quote, 366 dates and 100 entries, is no hundred times the work of one entry."""
    priced: Counter[tuple[str, date | None]] = Counter()

    def counted(*, customer_type: str, on: date | None, **rest: Any) -> int:
        priced[customer_type, on] += 1
        return unit_price_minor(customer_type=customer_type, on=on, **rest)

    monkeypatch.setattr(pricing, "unit_price_minor", counted)
    dates = tuple(WEDNESDAY + timedelta(days=number) for number in range(366))
    entries = tuple(customer(CUSTOMER_TYPES[number % 3], 1 + number) for number in range(100))
    answer = asked(*dates, customers=entries)
    assert isinstance(answer, Quote)
    assert (3 * 367, 1) == (len(priced), max(priced.values()))
    weekdays = asked(*dates[:1], customers=entries)
    assert isinstance(weekdays, Quote)
    added = sum(day.amount_minor for day in answer.day_adjustments)
    assert 366 * weekdays.base_minor + added == answer.base_minor


def test_a_date_asked_twice_is_paid_twice() -> None:
    """Each date of the question has its own row and its own price."""
    answer = asked(SATURDAY, SATURDAY)
    assert isinstance(answer, Quote)
    assert (63_600, 2) == (answer.final_minor, len(answer.day_adjustments))


def test_quote_without_a_date_has_the_weekday_price() -> None:
    """An open-dated visit has no day that could add anything."""
    answer = asked()
    assert isinstance(answer, Quote)
    assert (28_800, ()) == (answer.final_minor, answer.day_adjustments)


@pytest.mark.parametrize("on", [date(1999, 12, 31), date(9999, 12, 31)])
def test_any_calendar_date_is_priced(on: date) -> None:
    """Past dates and far ones have a price as well; both of these are Fridays."""
    answer = asked(on)
    assert isinstance(answer, Quote)
    assert 28_800 == answer.final_minor


@pytest.mark.parametrize(
    ("reason", "entry", "customers", "addons"),
    [
        ("customer_type_unknown", 0, (customer("student", 1),), ()),
        ("customer_type_unknown", 1, (customer("adult", 1), customer("Adult", 1)), ()),
        ("customer_count_out_of_range", 0, (customer("adult", 0),), ()),
        ("customer_count_out_of_range", 0, (customer("adult", -1),), ()),
        ("customer_count_out_of_range", 1, (customer("adult", 100), customer("child", 101)), ()),
        ("addon_unknown", 0, (customer("adult", 1),), (addon("tokens-plan-z", 1),)),
        ("addon_quantity_out_of_range", 0, (customer("adult", 1),), (addon("tokens-plan-a", 0),)),
        ("addon_quantity_out_of_range", 0, (customer("adult", 1),), (addon("tokens-plan-a", 101),)),
        # The first wrong entry is named, customers before add-ons, type before count.
        ("customer_type_unknown", 0, (customer("student", 0),), (addon("tokens-plan-z", 0),)),
        ("addon_unknown", 0, (customer("adult", 1),), (addon("tokens-plan-z", 0),)),
    ],
)
def test_quote_refuses(
    reason: str, entry: int, customers: tuple[CustomerCount, ...], addons: tuple[AddOnCount, ...]
) -> None:
    """A refusal is a value that says why and which entry."""
    refused = asked(WEDNESDAY, customers=customers, addons=addons)
    assert isinstance(refused, QuoteRefused)
    assert (reason, entry) == (refused.reason, refused.entry)


def test_rule_sheet_spells_the_rules_out() -> None:
    """Premium, discounts and special prices are worked out for the reader."""
    sheet = rule_sheet(rules=RULES)
    assert ("HKD", 7) == (sheet.currency, sheet.rule_version)
    weekend = TimeRule(
        day_class="weekend", customer_type="adult", unit_price_minor=31_800, premium_minor=3_000
    )
    assert (weekend,) == sheet.time_rules
    assert (
        CustomerRule(customer_type="adult", unit_price_minor=28_800, discount_minor=0),
        CustomerRule(customer_type="child", unit_price_minor=18_800, discount_minor=10_000),
        CustomerRule(customer_type="elderly", unit_price_minor=18_800, discount_minor=10_000),
    ) == sheet.customer_rules
    special = SpecialPrice(on=SPECIAL, multiplier_permille=1300, adult_price_minor=37_400)
    assert (special,) == sheet.special_prices


def test_rule_sheet_leaves_out_a_weekend_that_changes_nothing() -> None:
    """A product with one price for all days of the week has no time rule."""
    sheet = rule_sheet(rules=replace(RULES, adult_weekend_minor=28_800))
    assert () == sheet.time_rules
