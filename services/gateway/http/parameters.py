"""Query parameters: known ones are checked, the others are named in ``OTA-Ignored``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from multidict import MultiMapping

from services.gateway.domain.paging import PAGE_MAX, SIZE_MAX, AskedPage
from services.gateway.domain.refusal import Refusal, invalid_parameter
from services.gateway.domain.visit import parse_date

IDS_MAX = 100
TEXT_LENGTH_MAX = 100
_DIGITS_MAX = 18
_CURSOR_LENGTH_MAX = 512
_HONG_KONG = ZoneInfo("Asia/Hong_Kong")


class Parameters:
    """A request's query. The first parameter that is wrong is kept in *refusal*.

    What is asked for counts as known; what was given and never asked for is *ignored*.
    """

    __slots__ = ("_asked", "_given", "refusal")

    def __init__(self, given: Mapping[str, Sequence[str]]) -> None:
        self._given = given
        self._asked: set[str] = set()
        self.refusal: Refusal | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names that were given."""
        return tuple(self._given)

    @property
    def ignored(self) -> list[str]:
        """The names that were given and never asked for."""
        return [name for name in self._given if name not in self._asked]

    def refuse(self, name: str, rule: str) -> None:
        """Keep a refusal, unless there is one already."""
        if self.refusal is None:
            self.refusal = invalid_parameter(name, rule)

    def text(self, name: str, *, length_max: int = TEXT_LENGTH_MAX) -> str | None:
        """Return a text of 1 to *length_max* characters, None if it is not given."""
        self._asked.add(name)
        values = self._given.get(name)
        if values is None:
            return None
        if len(values) > 1:
            self.refuse(name, "must be given once")
        elif not 1 <= len(values[0]) <= length_max:
            self.refuse(name, f"must have 1 to {length_max} characters")
        elif not values[0].isprintable():
            self.refuse(name, "must have no control characters")
        else:
            return values[0]
        return None

    def choice(self, name: str, options: Sequence[str]) -> str | None:
        """Return one of *options*, None if none is given."""
        value = self.text(name)
        if value is not None and value not in options:
            self.refuse(name, f"must be one of {', '.join(options)}")
            return None
        return value

    def whole(self, name: str, *, low: int, high: int) -> int | None:
        """Return a whole number from *low* to *high*, None if it is not given."""
        value = self.text(name)
        if value is None:
            return None
        number = _whole(value)
        if number is None or not low <= number <= high:
            self.refuse(name, f"must be a whole number from {low} to {high}")
            return None
        return number

    def instant(self, name: str) -> datetime | None:
        """Return an instant in UTC, None if it is not given.

        A date stands for its first moment in Hong Kong, a time without offset is UTC
        (contract, section 1). A plus sign that became a space is read as it was meant.
        """
        value = self.text(name)
        if value is None:
            return None
        at = parse_instant(value.replace(" ", "+"))
        if at is None:
            self.refuse(name, "must be a date or an ISO 8601 time such as 2026-01-31T08:00:00Z")
        return at

    def product_ids(self) -> list[int] | Refusal | None:
        """Return ``product_ids``, each once and in order; None if it is not given."""
        self._asked.add("product_ids")
        values = self._given.get("product_ids")
        if values is None:
            return None
        ids = [_whole(part.strip()) for value in values for part in value.split(",")]
        wanted = dict.fromkeys(each for each in ids if each is not None and each > 0)
        if len(wanted) > IDS_MAX or any(each is None or each <= 0 for each in ids):
            return Refusal(
                word="INVALID_PRODUCT_IDS",
                detail=f"product_ids must be up to {IDS_MAX} positive whole numbers,"
                " separated by commas.",
                extra={"parameter": "product_ids"},
            )
        return list(wanted)

    def page(self) -> AskedPage:
        """Return which page of a list is asked for; ``limit`` is an alias of ``page_size``."""
        page = self.whole("page", low=1, high=PAGE_MAX)
        size = self.whole("page_size", low=1, high=SIZE_MAX)
        limit = self.whole("limit", low=1, high=SIZE_MAX)
        cursor = self.text("cursor", length_max=_CURSOR_LENGTH_MAX)
        if size is not None and limit is not None and size != limit:
            self.refuse("limit", "must not differ from page_size")
        if cursor is not None and page is not None:
            self.refuse("cursor", "must not be given together with page")
        return AskedPage(page=page or 1, size=size or limit, cursor=cursor)


NO_PARAMETERS: Mapping[str, Sequence[str]] = {}


def read_query(query: MultiMapping[str]) -> dict[str, Sequence[str]]:
    """Return all values of each name."""
    return {name: query.getall(name) for name in query}


def parse_instant(text: str) -> datetime | None:
    """Return the instant that a date or an ISO 8601 time names, in UTC; None if it is none."""
    if (day := parse_date(text)) is not None:
        return datetime(day.year, day.month, day.day, tzinfo=_HONG_KONG).astimezone(UTC)
    if len(text) <= 10 or text[10] not in "Tt":
        return None
    try:
        at = datetime.fromisoformat(text.upper())
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _whole(text: str) -> int | None:
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > _DIGITS_MAX:
        return None
    return int(text)
