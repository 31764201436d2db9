"""What holds for prices under any rules, on any day, for any group."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.kernel.catalogue import PriceRules, SpecialDate
from libs.kernel.money import amount, minor_units
from libs.kernel.pricing import (
    CUSTOMER_TYPES,
    CustomerCount,
    Quote,
    day_class,
    price_lines,
    quote,
    total_minor,
    unit_price_minor,
)

# The same examples in every run, and no time limit that a busy machine could miss.
repeatable = settings(derandomize=True, deadline=None)

prices = st.integers(min_value=0, max_value=1_000_000)
# Few days, so that special dates, holidays and visits meet often.
days = st.dates(min_value=date(2026, 1, 1), max_value=date(2026, 1, 14))
groups = st.lists(st.sampled_from(CUSTOMER_TYPES), max_size=100)
specials = st.dictionaries(days, st.integers(min_value=100, max_value=10_000), max_size=5)


@st.composite
def rules_of(draw: st.DrawFn) -> PriceRules:
    """Any rules that a catalogue can hold."""
    return PriceRules(
        rule_version=1,
        currency="HKD",
        adult_weekday_minor=draw(prices),
        adult_weekend_minor=draw(prices),
        child_minor=draw(prices),
        elderly_minor=draw(prices),
        special_dates=tuple(
            SpecialDate(on=on, multiplier_permille=permille)
            for on, permille in draw(specials).items()
        ),
        holidays_are_weekend=draw(st.booleans()),
    )


@repeatable
@given(rules=rules_of(), group=groups, on=st.none() | days, holidays=st.frozensets(days))
def test_total_is_the_sum_of_what_each_one_pays(
    rules: PriceRules, group: list[str], on: date | None, holidays: frozenset[date]
) -> None:
    """Lines, total and single prices agree, nobody is lost, and nothing is negative."""
    lines = price_lines(rules=rules, customer_types=group, on=on, holidays=holidays)
    single = [
        unit_price_minor(rules=rules, customer_type=word, on=on, holidays=holidays)
        for word in group
    ]
    assert sum(single) == total_minor(lines)
    assert sum(single) == sum(line.subtotal_minor for line in lines)
    assert len(group) == sum(line.count for line in lines)
    assert all(minor >= 0 for minor in single)


@repeatable
@given(rules=rules_of(), group=groups, on=days, data=st.data())
def test_order_of_customers_is_irrelevant(
    rules: PriceRules, group: list[str], on: date, data: st.DataObject
) -> None:
    """The same people in another order get the same lines."""
    shuffled = data.draw(st.permutations(group))
    assert price_lines(rules=rules, customer_types=group, on=on) == price_lines(
        rules=rules, customer_types=shuffled, on=on
    )


@repeatable
@given(rules=rules_of(), on=days)
def test_special_price_is_the_exact_product_to_half_a_dollar(rules: PriceRules, on: date) -> None:
    """Whole dollars, at most half a dollar from the exact product, and half goes up."""
    permille = {special.on: special.multiplier_permille for special in rules.special_dates}.get(on)
    adult = unit_price_minor(rules=rules, customer_type="adult", on=on)
    base = rules.adult_weekend_minor if on.weekday() in (5, 6) else rules.adult_weekday_minor
    if permille is None:
        assert base == adult
    else:
        assert adult % 100 == 0
        assert -50 < adult - Fraction(base * permille, 1000) <= 50


@repeatable
@given(
    dollars=st.integers(min_value=0, max_value=10_000),
    permille=st.integers(min_value=1000, max_value=10_000),
    on=days,
)
def test_special_date_never_makes_a_whole_dollar_price_cheaper(
    dollars: int, permille: int, on: date
) -> None:
    """From a multiplier of 1 on, an adult pays at least the day's own price."""
    rules = PriceRules(
        rule_version=1,
        currency="HKD",
        adult_weekday_minor=dollars * 100,
        adult_weekend_minor=dollars * 100,
        child_minor=0,
        elderly_minor=0,
        special_dates=(SpecialDate(on=on, multiplier_permille=permille),),
    )
    assert unit_price_minor(rules=rules, customer_type="adult", on=on) >= dollars * 100


@repeatable
@given(rules=rules_of(), on=days)
def test_equal_kinds_of_day_cost_the_same(rules: PriceRules, on: date) -> None:
    """Outside special dates the kind of day alone decides the price."""
    adult = unit_price_minor(rules=rules, customer_type="adult", on=on)
    match day_class(rules=rules, on=on):
        case "weekday":
            assert rules.adult_weekday_minor == adult
        case "weekend":
            assert rules.adult_weekend_minor == adult
        case "special":
            assert on in {special.on for special in rules.special_dates}


entries = st.builds(
    CustomerCount, customer_type=st.sampled_from(CUSTOMER_TYPES), count=st.integers(1, 100)
)


@repeatable
@given(
    rules=rules_of(),
    customers=st.lists(entries, max_size=5),
    dates=st.lists(days, min_size=1, max_size=5),
)
def test_quote_agrees_with_the_prices_of_orders(
    rules: PriceRules, customers: list[CustomerCount], dates: list[date]
) -> None:
    """A quote is what orders of the same people on those days cost, day adjustments included."""
    answer = quote(rules=rules, known_addons=(), booking_dates=dates, customers=customers)
    assert isinstance(answer, Quote)
    group = [entry.customer_type for entry in customers for _ in range(entry.count)]
    of_days = [total_minor(price_lines(rules=rules, customer_types=group, on=on)) for on in dates]
    assert sum(of_days) == answer.base_minor == answer.final_minor
    undated = total_minor(price_lines(rules=rules, customer_types=group, on=None))
    assert [total - undated for total in of_days] == [
        day.amount_minor for day in answer.day_adjustments
    ]


@repeatable
@given(minor=st.integers(min_value=-(10**13), max_value=10**13))
def test_printed_amounts_lead_back(minor: int) -> None:
    """No cent is lost on the way into JSON and out of it again."""
    assert minor == minor_units(Decimal(json.dumps(amount(minor))))
