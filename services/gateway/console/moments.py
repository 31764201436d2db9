"""Times, spans and numbers as the console writes them: Hong Kong time, UTC beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from markupsafe import Markup

HONG_KONG = ZoneInfo("Asia/Hong_Kong")


def hong_kong(at: datetime) -> str:
    """Return an instant in Hong Kong time, to the millisecond."""
    local = at.astimezone(HONG_KONG)
    return f"{local:%d %b %H:%M:%S}.{local.microsecond // 1000:03d}"


def utc(at: datetime) -> str:
    """Return an instant in UTC, to the microsecond."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC"


def moment(at: datetime | None) -> Markup:
    """Return a time for a page: Hong Kong's, with UTC for whoever points at it."""
    if at is None:
        return Markup('<span class="none">–</span>')
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.astimezone(UTC).isoformat(), utc(at), hong_kong(at)
    )


def countdown(at: datetime) -> Markup:
    """Return the time that is left until an instant; the page counts on by itself."""
    return Markup('<time class="left" data-until="{}" datetime="{}" title="{}">{}</time>').format(
        round(at.timestamp() * 1000), at.astimezone(UTC).isoformat(), utc(at), hong_kong(at)
    )


def span(seconds: float | None) -> str:
    """Return a length of time in the two units that matter."""
    if seconds is None:
        return "–"
    if seconds < 0:
        return f"−{span(-seconds)}"
    if seconds < 0.001:
        return f"{seconds * 1_000_000:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    for unit_s, unit, smaller_s, smaller in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= unit_s:
            whole, rest = divmod(int(seconds), unit_s)
            return f"{whole} {unit} {rest // smaller_s} {smaller}"
    raise AssertionError("every span has a unit")


def count(number: int | float | None) -> str:
    """Return a number with thin gaps between thousands."""
    return "–" if number is None else f"{number:,.0f}".replace(",", "\u202f")


def money(minor: int, currency: str) -> str:
    """Return an amount."""
    return f"{currency} {minor / 100:,.2f}"
