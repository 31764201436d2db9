"""Money: whole minor units inside, a JSON number with at most two decimals outside.

Every amount of the system is an integer count of minor units (cents) beside a
currency. Only the two edges convert: files people write, and answers.
"""

from __future__ import annotations

from decimal import Decimal

MINOR_PER_UNIT = 100
"""HKD has two decimals (ISO 4217)."""

_MINOR_UNIT = Decimal("0.01")
_LIMIT = 10**13


def amount(minor: int) -> int | float:
    """Return the JSON number for *minor* minor units: 28800 -> 288, 31850 -> 318.5.

    A float here is only ever printed: division gives the nearest one, and its
    shortest text has at most two decimals for anything below 10**13.
    """
    whole, cents = divmod(minor, MINOR_PER_UNIT)
    return minor / MINOR_PER_UNIT if cents else whole


def minor_units(number: Decimal | int) -> int:
    """Return *number* of the currency in minor units, exactly.

    Raises ValueError for a fraction of a minor unit, and from 10**13 on.
    """
    exact = Decimal(number)
    if not exact.is_finite() or not -_LIMIT < exact < _LIMIT:
        raise ValueError(f"{number} is not an amount below {_LIMIT}")
    if exact != exact.quantize(_MINOR_UNIT):
        raise ValueError(f"{number} has more than 2 decimals")
    return int(exact * MINOR_PER_UNIT)
