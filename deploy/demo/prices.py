"""What the story's order must cost, by the contract's rules written out once more.

Deliberately not the product's own price code: an expectation computed by what it
checks would prove nothing. Product 106 only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta

CURRENCY = "HKD"
ADULT_WEEKDAY = 288
ADULT_WEEKEND = 318
CHILD_OR_ELDERLY = 188
SATURDAY, TUESDAY = 5, 1


def unit_price(*, customer_type: str, visit_date: date) -> int:
    """Return what one unit of product 106 costs on an ordinary day, in HKD (contract, section 3).

    Special dates are left out: `visit_day` gives none of them.
    """
    if customer_type != "adult":
        return CHILD_OR_ELDERLY
    return ADULT_WEEKEND if visit_date.weekday() >= SATURDAY else ADULT_WEEKDAY


def expected_lines(
    *, customer_types: Sequence[str], visit_date: date
) -> dict[str, tuple[int, int]]:
    """Return (count, subtotal in HKD) for each customer type."""
    return {
        kind: (count, count * unit_price(customer_type=kind, visit_date=visit_date))
        for kind, count in Counter(customer_types).items()
    }


def expected_total(*, customer_types: Sequence[str], visit_date: date) -> int:
    """Return the order's total in HKD."""
    lines = expected_lines(customer_types=customer_types, visit_date=visit_date)
    return sum(subtotal for _, subtotal in lines.values())


def visit_day(*, today: date) -> date:
    """Return the first Tuesday that is at least a week away.

    A weekday whatever today is, and no special date of the catalogue is a Tuesday.
    """
    earliest = today + timedelta(days=7)
    return earliest + timedelta(days=(TUESDAY - earliest.weekday()) % 7)
