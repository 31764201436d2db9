"""The checker's own arithmetic agrees with the product's, and correct histories always pass."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.contracts.reservation import ExpireReservation
from libs.events.messages import COMMANDS, EVENTS
from libs.kernel import ids
from libs.kernel.catalogue import PriceRules, SpecialDate
from libs.kernel.money import amount
from libs.kernel.pricing import day_class, price_lines, total_minor
from ota_checker.checking import check
from ota_checker.identity import command_id, pool_in
from ota_checker.ledger import Ledger
from ota_checker.lives import Lives
from ota_checker.model import Model, Windows
from ota_checker.prices import PriceBook, cents, lines_of
from ota_checker.privacy import Needles, forms
from ota_checker.publication import COMMAND_TYPES
from ota_checker.verdicts import INVARIANTS, Verdicts
from tests.support.books import Books

TYPES = st.lists(st.sampled_from(["adult", "child", "elderly"]), min_size=1, max_size=100)
DAYS = st.one_of(st.none(), st.dates(date(2026, 1, 1), date(2027, 12, 31)))
MINOR = st.integers(0, 200_000)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**9), units=st.integers(1, 80), steps=st.integers(150, 300))
def test_correct_histories_pass(seed: int, units: int, steps: int) -> None:
    """Whatever happens in correct books, nothing is reported, and most is judged."""
    with TemporaryDirectory() as folder:
        books = Books(seed=seed, units=units).play(steps).derive()
        verdicts = check(folder=books.write(Path(folder)))
    assert [] == verdicts.violations
    unjudged = {name for name in INVARIANTS if verdicts.state(name) == "not judged"}
    assert unjudged <= {"I7", "I9", "I10", "I14", "I23", "I24"}  # small stock may never be sold


@given(
    minors=st.tuples(MINOR, MINOR, MINOR, MINOR),
    special=st.lists(
        st.tuples(st.dates(date(2026, 1, 1), date(2027, 12, 31)), st.integers(100, 3000)),
        max_size=3,
        unique_by=lambda each: each[0],
    ),
    types=TYPES,
    day=DAYS,
    chosen=st.booleans(),
)
def test_prices_are_the_products(
    minors: tuple[int, int, int, int],
    special: list[tuple[date, int]],
    types: list[str],
    day: date | None,
    chosen: bool,
) -> None:
    """Two functions, written apart from one contract, agree to the cent."""
    rules = PriceRules(
        rule_version=1,
        currency="HKD",
        adult_weekday_minor=minors[0],
        adult_weekend_minor=minors[1],
        child_minor=minors[2],
        elderly_minor=minors[3],
        special_dates=tuple(SpecialDate(on=on, multiplier_permille=by) for on, by in special),
    )
    on = special[0][0] if chosen and special else day
    written = {
        "rule_version": 1,
        "currency": "HKD",
        "adult_weekday_minor": minors[0],
        "adult_weekend_minor": minors[1],
        "child_minor": minors[2],
        "elderly_minor": minors[3],
        "special_dates": [
            {"on": each.isoformat(), "multiplier_permille": by} for each, by in special
        ],
    }
    prices = PriceBook().read(written)
    text = on.isoformat() if on else None
    lines = price_lines(rules=rules, customer_types=types, on=on)
    expected = lines_of(
        [
            {
                "customer_type": line.customer_type,
                "count": line.count,
                "unit_price_minor": line.unit_price_minor,
                "subtotal_minor": line.subtotal_minor,
            }
            for line in lines
        ]
    )
    assert expected == prices.lines(types, text)
    assert day_class(rules=rules, on=on) == prices.day_class(text)
    assert total_minor(lines) == cents(amount(total_minor(lines)))


@given(parts=st.tuples(st.text(), st.text(), st.text(), st.text()), pool_no=st.integers(1, 65_535))
def test_ids_are_the_products(parts: tuple[str, str, str, str], pool_no: int) -> None:
    """Command ids are derived alike, and reservation ids name their pool."""
    partner, method, path, key = parts
    expected = ids.command_id(partner_id=partner, method=method, path=path, idempotency_key=key)
    assert expected == command_id(partner_id=partner, method=method, path=path, key=key)
    assert pool_no == pool_in(ids.reservation_id(command_id=expected, pool_no=pool_no))


@given(
    word=st.text(
        st.characters(codec="utf-8", exclude_characters='"\\\n\r', exclude_categories=("Cc",)),
        min_size=12,
        max_size=40,
    ),
    before=st.text(max_size=5),
)
def test_words_are_found_in_every_form(word: str, before: str) -> None:
    """Whatever stands before them, and however they are written down."""
    needles = Needles([word])
    assert word in set(needles.plain(before + word))
    for form in forms(word):
        assert [form] == [each for each in needles.encoded(f"{before}|{form}|") if each == form]


@given(micros=st.integers(0, 10**9))
def test_windows_leave_out_what_lies_in_them(micros: int) -> None:
    """A stretch has what is inside of windows and what is outside."""
    windows = Windows([(100, 300), (200, 400), (1_000, 2_000)])
    inside = sum(max(0, min(micros, end) - start) for start, end in ((100, 400), (1_000, 2_000)))
    assert micros - max(0, min(inside, 1_300)) == windows.outside(0, micros)
    assert timedelta(0) == timedelta(microseconds=windows.outside(150, 250))


def test_the_checker_knows_every_message() -> None:
    """A new type of event or command must be taught to the independent model too."""
    model, verdicts = Model(), Verdicts()
    known = {
        *Ledger(model=model, verdicts=verdicts).kinds,
        *Lives(model=model, verdicts=verdicts).kinds,
        "ota.fulfillment.order_created",
    }
    assert {event.name for event in EVENTS} == known
    asked = {command.name for command in COMMANDS if command.shape is not ExpireReservation}
    assert asked == {name for names in COMMAND_TYPES.values() for name in names}
