"""Prices: rules + visit date + customer types -> lines and total. Pure, in integer minor units.

One code prices quotes, holds and orders (contract, sections 3 and 7). Which
rules hold is the caller's business: a hold carries the rules that were frozen
into it, a quote takes the current ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from libs.kernel.catalogue import AddOn, PriceRules
from libs.kernel.money import MINOR_PER_UNIT

CustomerType = Literal["adult", "child", "elderly"]
DayClass = Literal["weekday", "weekend", "special"]
CUSTOMER_TYPES: tuple[CustomerType, ...] = ("adult", "child", "elderly")

COUNT_MAX = 100
"""Most customers or add-ons in one entry of a quote; the same as units of a hold."""

_SATURDAY = 5
_NO_HOLIDAYS: frozenset[date] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLine:
    """What the units of one customer type cost together."""

    customer_type: str
    count: int
    unit_price_minor: int
    subtotal_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerCount:
    """An entry of a quote's question: so many customers of a type."""

    customer_type: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOnCount:
    """An entry of a quote's question: so many of an add-on."""

    addon_id: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOnLine:
    """What the asked quantity of one add-on costs."""

    addon_id: str
    name: str
    quantity: int
    unit_price_minor: int
    subtotal_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DayAdjustment:
    """How much a date adds to the weekday price of all customers; part of the base price."""

    on: date
    day_class: DayClass
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A price that binds nobody, with the way it came about.

    *customer_lines* and *addon_lines* have one row for each entry asked, in that
    order. A line's unit price is that of one customer over all dates together.
    """

    currency: str
    rule_version: int
    customer_lines: tuple[PriceLine, ...]
    day_adjustments: tuple[DayAdjustment, ...]
    addon_lines: tuple[AddOnLine, ...]
    base_minor: int
    addons_minor: int
    final_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteRefused:
    """Nothing was priced; *entry* counts from 0 in the list that the reason names."""

    reason: Literal[
        "customer_type_unknown",
        "customer_count_out_of_range",
        "addon_unknown",
        "addon_quantity_out_of_range",
    ]
    entry: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRule:
    """A day of the week that changes a customer type's price; the premium is over weekdays."""

    day_class: DayClass
    customer_type: CustomerType
    unit_price_minor: int
    premium_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerRule:
    """A customer type's weekday price, and how much less than the adult's that is."""

    customer_type: CustomerType
    unit_price_minor: int
    discount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialPrice:
    """What an adult pays on a special date."""

    on: date
    multiplier_permille: int
    adult_price_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSheet:
    """A product's price rules, spelled out for a reader (contract, section 7)."""

    currency: str
    rule_version: int
    time_rules: tuple[TimeRule, ...]
    customer_rules: tuple[CustomerRule, ...]
    special_prices: tuple[SpecialPrice, ...]


def hong_kong_date(instant: datetime) -> date:
    """Return the date in Hong Kong at *instant*; raises ValueError for a naive time."""
    if instant.utcoffset() is None:
        raise ValueError("an instant needs a time zone")
    return instant.astimezone(ZoneInfo("Asia/Hong_Kong")).date()


def day_class(
    *, rules: PriceRules, on: date | None, holidays: frozenset[date] = _NO_HOLIDAYS
) -> DayClass:
    """Say what kind of day *on* is; special wins over weekend, no date is a weekday."""
    if on is None:
        return "weekday"
    if _multiplier_permille(rules=rules, on=on) is not None:
        return "special"
    return "weekend" if _is_weekend(rules=rules, on=on, holidays=holidays) else "weekday"


def unit_price_minor(
    *,
    rules: PriceRules,
    customer_type: str,
    on: date | None,
    holidays: frozenset[date] = _NO_HOLIDAYS,
) -> int:
    """Return what one unit costs a customer of that type on that date.

    Weekends and special dates are for adults only. A special date multiplies the
    price of its own day, rounded half up to whole dollars (contract, section 3).
    Raises ValueError for an unknown customer type.
    """
    match customer_type:
        case "child":
            return rules.child_minor
        case "elderly":
            return rules.elderly_minor
        case "adult":
            return _adult_minor(rules=rules, on=on, holidays=holidays)
        case _:
            raise ValueError(f"unknown customer type {customer_type!r}")


def price_lines(
    *,
    rules: PriceRules,
    customer_types: Sequence[str],
    on: date | None,
    holidays: frozenset[date] = _NO_HOLIDAYS,
) -> tuple[PriceLine, ...]:
    """Price one unit for each word of *customer_types*, grouped in the order of CUSTOMER_TYPES.

    Raises ValueError for an unknown customer type.
    """
    counts = Counter(customer_types)
    if unknown := counts.keys() - set(CUSTOMER_TYPES):
        raise ValueError(f"unknown customer types {sorted(unknown)}")
    return tuple(
        _line(
            customer_type=customer_type,
            count=counts[customer_type],
            unit_minor=unit_price_minor(
                rules=rules, customer_type=customer_type, on=on, holidays=holidays
            ),
        )
        for customer_type in CUSTOMER_TYPES
        if customer_type in counts
    )


def total_minor(lines: Sequence[PriceLine]) -> int:
    """Return what all lines cost together."""
    return sum(line.subtotal_minor for line in lines)


def quote(
    *,
    rules: PriceRules,
    known_addons: Sequence[AddOn],
    booking_dates: Sequence[date],
    customers: Sequence[CustomerCount],
    addons: Sequence[AddOnCount] = (),
    holidays: frozenset[date] = _NO_HOLIDAYS,
) -> Quote | QuoteRefused:
    """Price customers and add-ons; several dates are summed, add-ons are counted once.

    Without any date the visit is open-dated, at the weekday price. There are no
    adjustments beside the base price today, so the final price is base + add-ons.
    """
    prices = {addon.addon_id: addon for addon in known_addons}
    if refused := _refusal(customers=customers, addons=addons, known=prices):
        return refused

    counts: Counter[str] = Counter()
    for entry in customers:
        counts[entry.customer_type] += entry.count
    days: Sequence[date | None] = booking_dates or (None,)
    # Each type once for each day, however many entries name it.
    unit_minor = {
        (customer_type, on): unit_price_minor(
            rules=rules, customer_type=customer_type, on=on, holidays=holidays
        )
        for customer_type in counts
        for on in {*days, None}
    }
    visit_minor = {
        customer_type: sum(unit_minor[customer_type, on] for on in days) for customer_type in counts
    }
    customer_lines = tuple(
        _line(
            customer_type=entry.customer_type,
            count=entry.count,
            unit_minor=visit_minor[entry.customer_type],
        )
        for entry in customers
    )
    day_adjustments = tuple(
        DayAdjustment(
            on=on,
            day_class=day_class(rules=rules, on=on, holidays=holidays),
            amount_minor=sum(
                count * (unit_minor[customer_type, on] - unit_minor[customer_type, None])
                for customer_type, count in counts.items()
            ),
        )
        for on in booking_dates
    )
    addon_lines = tuple(_addon_line(prices[entry.addon_id], entry.quantity) for entry in addons)
    base_minor = total_minor(customer_lines)
    addons_minor = sum(line.subtotal_minor for line in addon_lines)
    return Quote(
        currency=rules.currency,
        rule_version=rules.rule_version,
        customer_lines=customer_lines,
        day_adjustments=day_adjustments,
        addon_lines=addon_lines,
        base_minor=base_minor,
        addons_minor=addons_minor,
        final_minor=base_minor + addons_minor,
    )


def rule_sheet(*, rules: PriceRules) -> RuleSheet:
    """Spell out *rules*; a day that changes no price has no time rule."""
    premium_minor = rules.adult_weekend_minor - rules.adult_weekday_minor
    weekend = TimeRule(
        day_class="weekend",
        customer_type="adult",
        unit_price_minor=rules.adult_weekend_minor,
        premium_minor=premium_minor,
    )
    weekday_minor = {
        customer_type: unit_price_minor(rules=rules, customer_type=customer_type, on=None)
        for customer_type in CUSTOMER_TYPES
    }
    return RuleSheet(
        currency=rules.currency,
        rule_version=rules.rule_version,
        time_rules=(weekend,) if premium_minor else (),
        customer_rules=tuple(
            CustomerRule(
                customer_type=customer_type,
                unit_price_minor=minor,
                discount_minor=rules.adult_weekday_minor - minor,
            )
            for customer_type, minor in weekday_minor.items()
        ),
        special_prices=tuple(
            SpecialPrice(
                on=special.on,
                multiplier_permille=special.multiplier_permille,
                adult_price_minor=unit_price_minor(
                    rules=rules, customer_type="adult", on=special.on
                ),
            )
            for special in rules.special_dates
        ),
    )


def _refusal(
    *, customers: Sequence[CustomerCount], addons: Sequence[AddOnCount], known: dict[str, AddOn]
) -> QuoteRefused | None:
    for index, customer in enumerate(customers):
        if customer.customer_type not in CUSTOMER_TYPES:
            return QuoteRefused(reason="customer_type_unknown", entry=index)
        if not 1 <= customer.count <= COUNT_MAX:
            return QuoteRefused(reason="customer_count_out_of_range", entry=index)
    for index, addon in enumerate(addons):
        if addon.addon_id not in known:
            return QuoteRefused(reason="addon_unknown", entry=index)
        if not 1 <= addon.quantity <= COUNT_MAX:
            return QuoteRefused(reason="addon_quantity_out_of_range", entry=index)
    return None


def _line(*, customer_type: str, count: int, unit_minor: int) -> PriceLine:
    return PriceLine(
        customer_type=customer_type,
        count=count,
        unit_price_minor=unit_minor,
        subtotal_minor=count * unit_minor,
    )


def _addon_line(addon: AddOn, quantity: int) -> AddOnLine:
    return AddOnLine(
        addon_id=addon.addon_id,
        name=addon.name,
        quantity=quantity,
        unit_price_minor=addon.unit_price_minor,
        subtotal_minor=quantity * addon.unit_price_minor,
    )


def _adult_minor(*, rules: PriceRules, on: date | None, holidays: frozenset[date]) -> int:
    if on is None:
        return rules.adult_weekday_minor
    weekend = _is_weekend(rules=rules, on=on, holidays=holidays)
    minor = rules.adult_weekend_minor if weekend else rules.adult_weekday_minor
    permille = _multiplier_permille(rules=rules, on=on)
    return minor if permille is None else _whole_dollars_half_up(minor * permille)


def _whole_dollars_half_up(minor_permille: int) -> int:
    """Round thousandths of minor units to whole dollars; back in minor units."""
    dollar = 1000 * MINOR_PER_UNIT
    return (minor_permille + dollar // 2) // dollar * MINOR_PER_UNIT


def _is_weekend(*, rules: PriceRules, on: date, holidays: frozenset[date]) -> bool:
    return on.weekday() >= _SATURDAY or (rules.holidays_are_weekend and on in holidays)


def _multiplier_permille(*, rules: PriceRules, on: date) -> int | None:
    return next((s.multiplier_permille for s in rules.special_dates if s.on == on), None)
