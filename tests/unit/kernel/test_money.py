"""Money: what answers print and what files may say."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from libs.kernel.money import amount, minor_units


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("0", 0),
        ("288", 28_800),
        ("318.5", 31_850),
        ("318.55", 31_855),
        ("0.01", 1),
        ("0.1", 10),
        ("1.1", 110),
        ("-100", -10_000),
        ("-0.5", -50),
        ("88800", 8_880_000),
        ("99999999999.99", 9_999_999_999_999),
    ],
)
def test_amount_is_printed_with_at_most_two_decimals(text: str, minor: int) -> None:
    """A whole amount has no decimal point, any other no more digits than it needs."""
    assert text == json.dumps(amount(minor))


@pytest.mark.parametrize(
    ("minor", "number"),
    [
        (28_800, 288),
        (28_800, Decimal("288.00")),
        (28_800, Decimal("288." + "0" * 40)),
        (31_850, Decimal("318.5")),
        (31_810, Decimal("318.10")),
        (1, Decimal("0.01")),
        (-50, Decimal("-0.5")),
        (0, 0),
    ],
)
def test_minor_units_are_exact(minor: int, number: Decimal | int) -> None:
    """Files write dollars, the system counts cents, and nothing is lost between."""
    assert minor == minor_units(number)


@pytest.mark.parametrize("text", ["318.505", "0.001", "1." + "0" * 40 + "1", "1e-30"])
def test_minor_units_refuse_fractions_of_a_cent(text: str) -> None:
    """What cannot be said in cents is an error, however small."""
    with pytest.raises(ValueError, match="more than 2 decimals"):
        minor_units(Decimal(text))


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e13", "1e999999"])
def test_minor_units_refuse_what_is_no_amount(text: str) -> None:
    """Infinities and absurd sums are errors, not long calculations."""
    with pytest.raises(ValueError, match="not an amount"):
        minor_units(Decimal(text))
