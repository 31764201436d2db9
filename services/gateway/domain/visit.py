"""Dates of a visit: how they are written, and which ones may be booked."""

from __future__ import annotations

from datetime import date, datetime

from libs.kernel.pricing import hong_kong_date


def parse_date(text: str) -> date | None:
    """Return the date written as YYYY-MM-DD, None for anything else.

    The standard library also reads other forms of ISO 8601, which the contract has not.
    """
    if len(text) != 10 or text[4] != "-" or text[7] != "-" or not text.isascii():
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def bookable(*, on: date, now: datetime) -> bool:
    """Say whether a visit may be booked at *now*: today or later, up to a year ahead.

    Today is that of Hong Kong (contract, sections 1 and 4).
    """
    today = hong_kong_date(now)
    return today <= on <= _year_after(today)


def bookable_since(*, on: date, then: datetime, now: datetime) -> bool:
    """Say whether a visit could be booked at some time from *then* to *now*.

    A repeat gets its first answer again also when the visit has meanwhile passed.
    """
    return hong_kong_date(then) <= on <= _year_after(hong_kong_date(now))


def _year_after(day: date) -> date:
    """The same day of the next year; 28 February for 29 February."""
    if (day.month, day.day) == (2, 29):
        day = day.replace(day=28)
    return day.replace(year=day.year + 1)
