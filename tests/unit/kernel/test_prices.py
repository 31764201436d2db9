"""Price rules: kinds of day, unit prices, rounding, lines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from libs.kernel.catalogue import PriceRules, SpecialDate
from libs.kernel.pricing import (
    CUSTOMER_TYPES,
    PriceLine,
    day_class,
    hong_kong_date,
    price_lines,
    total_minor,
    unit_price_minor,
)

FRIDAY = date(2026, 1, 2)
SATURDAY = date(2026, 1, 3)
SUNDAY = date(2026, 1, 4)
MONDAY = date(2026, 1, 5)
SPECIAL_WEDNESDAY = date(2025, 12, 31)
SPECIAL_SATURDAY = date(2027, 2, 6)

RULES = PriceRules(
    rule_version=1,
    currency="HKD",
    adult_weekday_minor=28_800,
    adult_weekend_minor=31_800,
    child_minor=18_800,
    elderly_minor=17_700,
    special_dates=(
        SpecialDate(on=SPECIAL_WEDNESDAY, multiplier_permille=1500),
        SpecialDate(on=SPECIAL_SATURDAY, multiplier_permille=1300),
    ),
)
HOLIDAY_RULES = replace(RULES, holidays_are_weekend=True)


@pytest.mark.parametrize(
    ("expected", "on"),
    [
        ("weekday", None),
        ("weekday", FRIDAY),
        ("weekend", SATURDAY),
        ("weekend", SUNDAY),
        ("weekday", MONDAY),
        ("special", SPECIAL_WEDNESDAY),
        ("special", SPECIAL_SATURDAY),
        ("weekday", date(1, 1, 1)),
        ("weekday", date(9999, 12, 31)),
    ],
)
def test_day_class(expected: str, on: date | None) -> None:
    """Special wins over weekend, and no date counts as a weekday."""
    assert expected == day_class(rules=RULES, on=on)


@pytest.mark.parametrize(
    ("expected", "rules"), [("weekday", RULES), ("weekend", HOLIDAY_RULES)], ids=["no", "yes"]
)
def test_holidays_are_weekend_only_by_rule(expected: str, rules: PriceRules) -> None:
    """A public holiday is a weekend day for a product whose rule says so, for no other."""
    assert expected == day_class(rules=rules, on=FRIDAY, holidays=frozenset({FRIDAY}))


def test_holiday_price_follows_the_rule() -> None:
    """The adult price agrees with the kind of day, on special holidays as well."""
    holidays = frozenset({FRIDAY, SPECIAL_WEDNESDAY})

    def adult(rules: PriceRules, on: date) -> int:
        return unit_price_minor(rules=rules, customer_type="adult", on=on, holidays=holidays)

    assert 28_800 == adult(RULES, FRIDAY)
    assert 31_800 == adult(HOLIDAY_RULES, FRIDAY)
    assert 28_800 == adult(HOLIDAY_RULES, MONDAY)
    assert 43_200 == adult(RULES, SPECIAL_WEDNESDAY)
    assert 47_700 == adult(HOLIDAY_RULES, SPECIAL_WEDNESDAY)
    lines = price_lines(rules=HOLIDAY_RULES, customer_types=["adult"], on=FRIDAY, holidays=holidays)
    assert 31_800 == total_minor(lines)


@pytest.mark.parametrize(
    ("expected_minor", "on"),
    [
        (28_800, None),
        (28_800, FRIDAY),
        (31_800, SATURDAY),
        (31_800, SUNDAY),
        (28_800, MONDAY),
        (43_200, SPECIAL_WEDNESDAY),  # 288 x 1.5
        (41_300, SPECIAL_SATURDAY),  # 318 x 1.3 = 413.40: the weekend price is multiplied
    ],
)
def test_adult_price_depends_on_the_day(expected_minor: int, on: date | None) -> None:
    """Adults pay by the day; a special date multiplies that day's own price."""
    assert expected_minor == unit_price_minor(rules=RULES, customer_type="adult", on=on)


@pytest.mark.parametrize("on", [None, FRIDAY, SATURDAY, SUNDAY, SPECIAL_WEDNESDAY])
def test_child_and_elderly_prices_are_fixed(on: date | None) -> None:
    """Neither weekends nor special dates touch them."""
    assert 18_800 == unit_price_minor(rules=RULES, customer_type="child", on=on)
    assert 17_700 == unit_price_minor(rules=RULES, customer_type="elderly", on=on)


@pytest.mark.parametrize(
    ("expected_minor", "base_minor", "permille"),
    [
        (37_400, 28_800, 1300),  # 374.40
        (47_700, 31_800, 1500),  # 477.00
        (102_400, 78_800, 1300),  # 1024.40
        (115_400, 88_800, 1300),  # 1154.40
        (43_400, 28_900, 1500),  # 433.50, half goes up
        (43_100, 28_700, 1500),  # 430.50, to an odd dollar too
        (37_100, 28_500, 1300),  # 370.50
        (36_800, 28_300, 1300),  # 367.90
        (31_900, 31_850, 1000),  # 318.50
        (31_800, 31_849, 1000),  # 318.49
        (0, 0, 1500),
    ],
)
def test_special_price_is_rounded_half_up_to_dollars(
    expected_minor: int, base_minor: int, permille: int
) -> None:
    """Rounding is to whole dollars, and exactly half a dollar goes up."""
    special = SpecialDate(on=FRIDAY, multiplier_permille=permille)
    rules = replace(RULES, adult_weekday_minor=base_minor, special_dates=(special,))
    assert expected_minor == unit_price_minor(rules=rules, customer_type="adult", on=FRIDAY)


def test_lines_are_grouped_in_the_order_of_customer_types() -> None:
    """One line for each type that occurs, adults first, whatever the order of the units."""
    lines = price_lines(
        rules=RULES, customer_types=["elderly", "adult", "child", "adult"], on=SATURDAY
    )
    expected = (
        PriceLine(customer_type="adult", count=2, unit_price_minor=31_800, subtotal_minor=63_600),
        PriceLine(customer_type="child", count=1, unit_price_minor=18_800, subtotal_minor=18_800),
        PriceLine(customer_type="elderly", count=1, unit_price_minor=17_700, subtotal_minor=17_700),
    )
    assert expected == lines
    assert 100_100 == total_minor(lines)


def test_no_units_cost_nothing() -> None:
    """Nobody has no lines."""
    assert () == price_lines(rules=RULES, customer_types=[], on=SATURDAY)
    assert 0 == total_minor(())


@pytest.mark.parametrize("word", ["", "Adult", "student"])
def test_unknown_customer_type_is_an_error(word: str) -> None:
    """Who prices an order has checked the words before."""
    assert word not in CUSTOMER_TYPES
    with pytest.raises(ValueError, match="unknown customer type"):
        unit_price_minor(rules=RULES, customer_type=word, on=None)
    with pytest.raises(ValueError, match="unknown customer type"):
        price_lines(rules=RULES, customer_types=["adult", word], on=None)


@pytest.mark.parametrize(
    ("expected", "instant"),
    [
        (date(2026, 1, 2), datetime(2026, 1, 2, 15, 59, 59, tzinfo=UTC)),
        (date(2026, 1, 3), datetime(2026, 1, 2, 16, 0, tzinfo=UTC)),
        (date(2026, 7, 1), datetime(2026, 6, 30, 16, 0, tzinfo=UTC)),
        (date(2026, 1, 3), datetime(2026, 1, 3, 0, 0, tzinfo=timezone(timedelta(hours=8)))),
        (date(2026, 1, 3), datetime(2026, 1, 2, 8, 0, tzinfo=timezone(timedelta(hours=-8)))),
    ],
)
def test_hong_kong_date(expected: date, instant: datetime) -> None:
    """A day begins at 16:00 UTC, in summer and winter alike."""
    assert expected == hong_kong_date(instant)


def test_hong_kong_date_needs_a_time_zone() -> None:
    """A naive time is no instant."""
    with pytest.raises(ValueError, match="time zone"):
        hong_kong_date(datetime.fromisoformat("2026-01-02T16:00:00"))
