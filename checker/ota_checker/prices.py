"""The contract's prices (its section 3), in whole cents; written from its words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

CENTS = 100
Line = tuple[str, int, int, int]
"""Customer type, count, unit price and subtotal, in cents."""


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices that were frozen into a hold."""

    rule_version: int
    currency: str
    adult_weekday: int
    adult_weekend: int
    child: int
    elderly: int
    special: tuple[tuple[str, int], ...]

    def day_class(self, on: str | None) -> str:
        """Say what a date is; without one the weekday price holds, and special wins."""
        if on is None:
            return "weekday"
        if any(day == on for day, _ in self.special):
            return "special"
        return "weekend" if date.fromisoformat(on).weekday() >= 5 else "weekday"

    def unit(self, customer_type: str, on: str | None) -> int | None:
        """Return what one unit costs; None for a customer type that does not exist."""
        if customer_type in ("child", "elderly"):
            return self.child if customer_type == "child" else self.elderly
        if customer_type != "adult":
            return None
        weekend = on is not None and date.fromisoformat(on).weekday() >= 5
        cents = self.adult_weekend if weekend else self.adult_weekday
        for day, permille in self.special:
            if day == on:  # half up to whole dollars
                return (2 * cents * permille + 1000 * CENTS) // (2000 * CENTS) * CENTS
        return cents

    def lines(self, customer_types: Sequence[str], on: str | None) -> tuple[Line, ...] | None:
        """Return what units of these types cost, by type; None if a type does not exist."""
        found = []
        for customer_type, count in sorted(Counter(customer_types).items()):
            unit = self.unit(customer_type, on)
            if unit is None:
                return None
            found.append((customer_type, count, unit, count * unit))
        return tuple(found)


class PriceBook:
    """Reads prices as events have them; equal ones are one object, for holds share a few."""

    def __init__(self) -> None:
        self._known: dict[Prices, Prices] = {}

    def read(self, body: Mapping[str, Any]) -> Prices:
        """Return the prices in an event or a catalogue; raises KeyError and the like."""
        special = body.get("special_dates") or ()
        found = Prices(
            rule_version=body["rule_version"],
            currency=body["currency"],
            adult_weekday=body["adult_weekday_minor"],
            adult_weekend=body["adult_weekend_minor"],
            child=body["child_minor"],
            elderly=body["elderly_minor"],
            special=tuple((each["on"], each["multiplier_permille"]) for each in special),
        )
        return self._known.setdefault(found, found)


def lines_of(rows: Sequence[Mapping[str, Any]]) -> tuple[Line, ...]:
    """Return the price lines of an event, in the order of their types."""
    return tuple(
        sorted(
            (row["customer_type"], row["count"], row["unit_price_minor"], row["subtotal_minor"])
            for row in rows
        )
    )


def cents(number: object) -> int | None:
    """Return an amount of an answer in cents, exactly; None if it is none."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    hundredfold = round(number * CENTS)
    return hundredfold if hundredfold / CENTS == number else None
