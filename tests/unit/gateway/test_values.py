"""The gateway's pure rules: keys, hashes, stock, dates."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from services.gateway.domain.idempotency import parse_key
from services.gateway.domain.keyed_hash import KeyedHashes, api_key_hash
from services.gateway.domain.stock import stock_status
from services.gateway.domain.visit import bookable, bookable_since, parse_date

HASHES = KeyedHashes(b"k" * 32)
OTHER = KeyedHashes(b"o" * 32)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("abc", "abc"),
        ('"abc"', "abc"),
        (r'"a\"b\\c"', 'a"b\\c'),
        ("x" * 255, "x" * 255),
        ("x" * 256, None),
        ("", None),
        ('""', None),
        ('"', None),
        ('"abc', None),
        ('abc"', 'abc"'),
        ('"a"b"', None),
        (r'"a\b"', None),
        ('"a\\"', None),
        ("a b", None),
        ('"a b"', None),
        ("a\tb", None),
        ("é", None),
    ],
)
def test_idempotency_keys_are_read_in_both_forms(text: str, key: str | None) -> None:
    """Quoted and bare keys are the same key; what is not visible is no key."""
    assert key == parse_key(text)


def test_a_fingerprint_is_that_of_what_was_sent() -> None:
    """Order of fields doesn't count; values, types and unknown fields do."""
    sent: dict[str, object] = {"product_id": 106, "quantity": 1}
    assert HASHES.fingerprint(sent) == HASHES.fingerprint({"quantity": 1, "product_id": 106})
    others: list[dict[str, object]] = [
        {"product_id": 106, "quantity": 2},
        {"product_id": 106, "quantity": "1"},
        {"product_id": 106, "quantity": 1, "x": None},
        {},
    ]
    assert 5 == len({HASHES.fingerprint(each) for each in [sent, *others]})
    assert HASHES.fingerprint(sent) != OTHER.fingerprint(sent)


def test_references_are_hashed_by_partner_and_kind() -> None:
    """One partner's reference is not found by another, nor as another kind."""
    hashes = {
        HASHES.reference(kind="payment", partner_id="a", text="bc"),
        HASHES.reference(kind="payment", partner_id="ab", text="c"),
        HASHES.reference(kind="customer", partner_id="a", text="bc"),
    }
    assert 3 == len(hashes)


def test_people_are_found_however_they_are_written() -> None:
    """Case of an address and punctuation of a number do not count."""
    assert HASHES.email(" Tai.Man@Example.com") == HASHES.email("tai.man@example.com")
    assert HASHES.phone("+86 138 0000 0001") == HASHES.phone("0086-138-00000001")
    assert HASHES.phone("٠١٢٣٤٥") == HASHES.phone("012345")
    assert HASHES.phone("13800000001") != HASHES.phone("+86 13800000001")


def test_a_short_secret_is_refused() -> None:
    """A key that is too short to be a secret can't be used by mistake."""
    with pytest.raises(ValueError, match="16 to 64"):
        KeyedHashes(b"short")


def test_api_keys_of_any_bytes_can_be_hashed() -> None:
    """A header may hold what is no UTF-8; it is a wrong key, not an error."""
    assert 32 == len(api_key_hash(pepper=b"p", api_key="\udcff\udc80"))


@pytest.mark.parametrize(
    ("available", "capacity", "status"),
    [
        (0, 100, "sold_out"),
        (-1, 100, "sold_out"),
        (0, 0, "sold_out"),
        (1, 100, "low"),
        (10, 100, "low"),
        (11, 100, "available"),
        (1, 9, "available"),
    ],
)
def test_low_is_a_tenth_or_less(available: int, capacity: int, status: str) -> None:
    """Nothing is sold out, up to a tenth is low."""
    assert status == stock_status(available=available, capacity=capacity)


@pytest.mark.parametrize(
    "text",
    ["20260131", "2026-1-31", "2026-02-30", "2026-01-31T00:00", "٢٠٢٦-٠١-٣١", "", "2026-W05-1"],
)
def test_other_forms_of_dates_are_none(text: str) -> None:
    """Only YYYY-MM-DD is a date."""
    assert parse_date(text) is None
    assert date(2026, 1, 31) == parse_date("2026-01-31")


def test_bookable_days_are_those_of_hong_kong() -> None:
    """From today there until a year ahead."""
    now = datetime(2026, 1, 5, 16, 0, tzinfo=UTC)
    days = [date(2026, 1, 5), date(2026, 1, 6), date(2027, 1, 6), date(2027, 1, 7)]
    assert [False, True, True, False] == [bookable(on=on, now=now) for on in days]


def test_a_day_may_have_been_bookable_when_something_ended() -> None:
    """A repeat is judged by when its first request may have been made."""
    then = datetime(2026, 1, 5, 4, 0, tzinfo=UTC)
    now = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
    assert bookable_since(on=date(2026, 1, 5), then=then, now=now)
    assert not bookable_since(on=date(2026, 1, 4), then=then, now=now)


def test_a_year_after_29_february_is_28_february() -> None:
    """The next year has no such day."""
    now = datetime(2028, 2, 29, 4, 0, tzinfo=UTC)
    assert bookable(on=date(2029, 2, 28), now=now)
    assert not bookable(on=date(2029, 3, 1), now=now)
