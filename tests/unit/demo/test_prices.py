"""The story's price expectations: the contract's rules, on a day that is always a weekday."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from pathlib import Path

import pytest

from deploy.demo.prices import (
    ADULT_WEEKDAY,
    ADULT_WEEKEND,
    CHILD_OR_ELDERLY,
    expected_lines,
    expected_total,
    unit_price,
    visit_day,
)
from deploy.demo.story import PRODUCT

CATALOGUE = Path(__file__).parents[3] / "deploy" / "catalogue" / "development.toml"
TUESDAY = date(2026, 12, 1)
SATURDAY = date(2026, 12, 5)
SUNDAY = date(2026, 12, 6)
MONDAY = date(2026, 12, 7)


@pytest.mark.parametrize(
    ("customer_type", "day", "expected"),
    [
        ("adult", TUESDAY, 288),
        ("adult", SATURDAY, 318),
        ("adult", SUNDAY, 318),
        ("adult", MONDAY, 288),
        ("child", TUESDAY, 188),
        ("child", SUNDAY, 188),
        ("elderly", SATURDAY, 188),
    ],
)
def test_unit_price(customer_type: str, day: date, expected: int) -> None:
    """Adults pay more at weekends, children and elderly never."""
    assert expected == unit_price(customer_type=customer_type, visit_date=day)


def test_total_and_lines() -> None:
    """Lines count units of a type; the total is their sum."""
    types = ["adult", "child", "adult"]
    assert {"adult": (2, 636), "child": (1, 188)} == expected_lines(
        customer_types=types, visit_date=SATURDAY
    )
    assert 824 == expected_total(customer_types=types, visit_date=SATURDAY)


@pytest.mark.parametrize("days", range(0, 800, 3))
def test_visit_day(days: int) -> None:
    """Whatever today is, the visit is an ordinary Tuesday, one to two weeks ahead."""
    today = date(2025, 12, 1) + timedelta(days=days)
    day = visit_day(today=today)
    assert 1 == day.weekday()
    assert 7 <= (day - today).days <= 13


def test_no_special_date_is_a_tuesday() -> None:
    """The catalogue's special dates never meet the story's visit."""
    document = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))
    assert 1 not in {row["date"].weekday() for row in document["special_dates"]}


def test_the_catalogue_says_the_same() -> None:
    """The literal prices are those of the development catalogue."""
    document = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))
    prices = next(row["prices"] for row in document["products"] if row["id"] == PRODUCT)
    found = [prices[name] for name in ("adult_weekday", "adult_weekend", "child", "elderly")]
    assert [ADULT_WEEKDAY, ADULT_WEEKEND, CHILD_OR_ELDERLY, CHILD_OR_ELDERLY] == found
