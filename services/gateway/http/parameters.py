"""Query parameters: each is declared once, for checking requests and for describing them.

Known ones are checked, the others are named in ``OTA-Ignored``.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from multidict import MultiMapping

from services.gateway.domain.paging import (
    CURSOR_LENGTH_MAX,
    PAGE_MAX,
    SIZE_DEFAULT,
    SIZE_MAX,
    AskedPage,
)
from services.gateway.domain.refusal import Refusal, invalid_parameter
from services.gateway.domain.visit import parse_date
from services.gateway.http import openapi_schema as schema
from services.gateway.http.openapi_schema import Schema

IDS_MAX = 100
TEXT_LENGTH_MAX = 100
_DIGITS_MAX = 18
_HONG_KONG = ZoneInfo("Asia/Hong_Kong")
_CONTROLS = re.compile("[\u0000-\u001f\u007f-\u009f\ud800-\udfff]")
# The same for readers of the document, whose texts hold no lone surrogates.
_NO_CONTROLS = r"^[^\u0000-\u001f\u007f-\u009f]*$"

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Misfit:
    """A value that a parameter cannot have; *rule* says what it must be."""

    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter(ABC, Generic[Value]):
    """A query parameter: its name, what it means, and which values it takes.

    It has no example and no default in the document: the page that tries calls out would send
    them all.
    """

    name: str
    description: str

    @abstractmethod
    def read(self, values: Sequence[str]) -> Value | Misfit:
        """Return the value that was given, perhaps more than once."""

    @abstractmethod
    def schema(self) -> Schema:
        """Return the same rule for readers of the document."""

    def refusal(self, misfit: Misfit) -> Refusal:
        """Refuse a value."""
        return invalid_parameter(self.name, misfit.rule)

    def described(self) -> Schema:
        """Return the parameter as OpenAPI has it."""
        return {
            "name": self.name,
            "in": "query",
            "description": self.description,
            "schema": self.schema(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Parameter[str]):
    """A text of 1 to *length_max* characters, none of them a control character."""

    length_max: int = TEXT_LENGTH_MAX

    def read(self, values: Sequence[str]) -> str | Misfit:
        """See `Parameter.read`."""
        text = _once(values)
        if isinstance(text, Misfit):
            return text
        if not 1 <= len(text) <= self.length_max:
            return Misfit(f"must have 1 to {self.length_max} characters")
        return Misfit("must have no control characters") if _CONTROLS.search(text) else text

    def schema(self) -> Schema:
        """See `Parameter.schema`."""
        return schema.text(minLength=1, maxLength=self.length_max, pattern=_NO_CONTROLS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Parameter[str]):
    """One of a few words; the first is meant where none is given."""

    options: tuple[str, ...]

    def read(self, values: Sequence[str]) -> str | Misfit:
        """See `Parameter.read`."""
        word = _once(values)
        if isinstance(word, Misfit) or word in self.options:
            return word
        return Misfit(f"must be one of {', '.join(self.options)}")

    def schema(self) -> Schema:
        """See `Parameter.schema`."""
        return {"type": "string", "enum": list(self.options)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole(Parameter[int]):
    """A whole number from *low* to *high*."""

    low: int
    high: int

    def read(self, values: Sequence[str]) -> int | Misfit:
        """See `Parameter.read`."""
        text = _once(values)
        if isinstance(text, Misfit):
            return text
        number = _whole(text)
        if number is None or not self.low <= number <= self.high:
            return Misfit(f"must be a whole number from {self.low} to {self.high}")
        return number

    def schema(self) -> Schema:
        """See `Parameter.schema`."""
        return schema.whole(minimum=self.low, maximum=self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant(Parameter[datetime]):
    """A date, which stands for its first moment in Hong Kong, or a time; without offset UTC.

    A plus sign that became a space is read as it was meant (contract, section 1).
    """

    def read(self, values: Sequence[str]) -> datetime | Misfit:
        """See `Parameter.read`."""
        text = _once(values)
        if isinstance(text, Misfit):
            return text
        at = parse_instant(text.replace(" ", "+"))
        return at or Misfit("must be a date or an ISO 8601 time such as 2026-01-31T08:00:00Z")

    def schema(self) -> Schema:
        """See `Parameter.schema`."""
        return {"anyOf": [schema.text(format="date-time"), schema.text(format="date")]}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductIds(Parameter[list[int]]):
    """Product ids, separated by commas or repeated, each taken once and in order."""

    def read(self, values: Sequence[str]) -> list[int] | Misfit:
        """See `Parameter.read`."""
        ids = [_whole(part.strip()) for value in values for part in value.split(",")]
        wanted = dict.fromkeys(each for each in ids if each is not None and each > 0)
        if len(ids) > IDS_MAX or any(each is None or each <= 0 for each in ids):
            return Misfit(f"must be up to {IDS_MAX} positive whole numbers, separated by commas.")
        return list(wanted)

    def refusal(self, misfit: Misfit) -> Refusal:
        """See `Parameter.refusal`; these have a word of their own."""
        return Refusal(
            word="INVALID_PRODUCT_IDS",
            detail=f"{self.name} {misfit.rule}",
            extra={"parameter": self.name},
        )

    def schema(self) -> Schema:
        """See `Parameter.schema`."""
        number = schema.whole(minimum=1, maximum=10**_DIGITS_MAX - 1)
        return {**schema.rows(number), "minItems": 1, "maxItems": IDS_MAX}

    def described(self) -> Schema:
        """See `Parameter.described`."""
        # Not super(): a dataclass with slots is another class than the one that super() means.
        return {**Parameter.described(self), "style": "form", "explode": False}


PAGE = Whole(
    name="page",
    description="Number of the page, from 1. For a walk through a list that grows, use `cursor`.",
    low=1,
    high=PAGE_MAX,
)
PAGE_SIZE = Whole(
    name="page_size",
    description=f"Rows on a page. Without it {SIZE_MAX} of products and tickets, {SIZE_DEFAULT} of"
    " reservations and orders.",
    low=1,
    high=SIZE_MAX,
)
LIMIT = Whole(name="limit", description="Another name of `page_size`.", low=1, high=SIZE_MAX)
CURSOR = Text(
    name="cursor",
    description="The `next_cursor` of the page before, with the same filters; not together with"
    " `page`. Skips and repeats no row, whatever is added meanwhile.",
    length_max=CURSOR_LENGTH_MAX,
)
PAGING: tuple[Parameter[Any], ...] = (PAGE, PAGE_SIZE, LIMIT, CURSOR)


class Parameters:
    """A request's query. The first parameter that is wrong is kept in *refusal*.

    Only parameters that the endpoint *declares* may be read; what was given beside them
    is *ignored*.
    """

    __slots__ = ("_declared", "_given", "refusal")

    def __init__(
        self, given: Mapping[str, Sequence[str]], declared: frozenset[str] = frozenset()
    ) -> None:
        self._given = given
        self._declared = declared
        self.refusal: Refusal | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names that were given."""
        return tuple(self._given)

    @property
    def ignored(self) -> list[str]:
        """The names that were given and that the endpoint does not know."""
        if not self._given:
            return []
        return [name for name in self._given if name not in self._declared]

    def refuse(self, refusal: Refusal) -> None:
        """Keep a refusal, unless there is one already."""
        if self.refusal is None:
            self.refusal = refusal

    def get(self, parameter: Parameter[Value]) -> Value | None:
        """Return a parameter's value; None if it is not given, or refused."""
        assert parameter.name in self._declared, f"{parameter.name} is not declared"
        values = self._given.get(parameter.name)
        if values is None:
            return None
        value = parameter.read(values)
        if isinstance(value, Misfit):
            self.refuse(parameter.refusal(value))
            return None
        return value

    def page(self) -> AskedPage:
        """Return which page of a list is asked for; ``limit`` is an alias of ``page_size``."""
        page, size, limit = self.get(PAGE), self.get(PAGE_SIZE), self.get(LIMIT)
        cursor = self.get(CURSOR)
        if size is not None and limit is not None and size != limit:
            self.refuse(invalid_parameter("limit", "must not differ from page_size"))
        if cursor is not None and page is not None:
            self.refuse(invalid_parameter("cursor", "must not be given together with page"))
        return AskedPage(page=page or 1, size=size or limit, cursor=cursor)


NO_PARAMETERS: Mapping[str, Sequence[str]] = {}


def names_of(parameters: Iterable[Parameter[Any]]) -> frozenset[str]:
    """Return what parameters are called."""
    return frozenset(parameter.name for parameter in parameters)


def read_query(query: MultiMapping[str]) -> dict[str, Sequence[str]]:
    """Return all values of each name."""
    return {name: query.getall(name) for name in query}


def parse_instant(text: str) -> datetime | None:
    """Return the instant that a date or an ISO 8601 time names, in UTC; None if it is none."""
    try:
        if (day := parse_date(text)) is not None:
            return datetime(day.year, day.month, day.day, tzinfo=_HONG_KONG).astimezone(UTC)
        if len(text) <= 10 or text[10] not in "Tt":
            return None
        at = datetime.fromisoformat(text.upper())
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _once(values: Sequence[str]) -> str | Misfit:
    return values[0] if len(values) == 1 else Misfit("must be given once")


def _whole(text: str) -> int | None:
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > _DIGITS_MAX:
        return None
    return int(text)
