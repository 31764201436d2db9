"""Entity tables: how entities become rows and rows entities.

An entity is a frozen dataclass; its fields are the columns, by name. Since they are
written with the events, in the same statement, they are the snapshot of the
partition at its head (ADR 5) and what the read views show.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Protocol, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter

from libs.kernel.state import Entity

_SQL_TYPES: dict[Any, str] = {
    int: "bigint",
    str: "text",
    bool: "boolean",
    datetime: "timestamptz",
    date: "date",
    bytes: "bytea",
}

SHARED_MAX = 1_000


class Row(Protocol):
    """A row by column name; asyncpg's records and dicts are."""

    def __getitem__(self, key: str, /) -> Any:
        """Return a column's value."""
        ...


class Table:
    """The table of one kind of entity; what is no plain column is kept as JSON, in text.

    *key* is its primary key column, *kept_where* the SQL condition of rows that
    belong into memory; entities whose key column is named otherwise than in their
    class are not supported.
    """

    def __init__(self, *, name: str, kind: type, key: str, kept_where: str) -> None:
        self.name = name
        self.kind: type[Entity] = kind
        self.key = key
        self.kept_where = kept_where
        hints = get_type_hints(kind)
        self.columns = tuple(field.name for field in dataclasses.fields(kind))
        self._json: dict[str, TypeAdapter[Any]] = {}
        self._shared: dict[tuple[str, str], Any] = {}
        self.types: list[str] = []
        for column in self.columns:
            sql = _SQL_TYPES.get(_bare(hints[column]))
            if sql is None:
                self._json[column] = TypeAdapter(hints[column])
            self.types.append(sql or "text")

    def arrays(self, entities: Sequence[Entity]) -> list[list[Any]]:
        """Return one list a column, for ``unnest``."""
        lists: list[list[Any]] = []
        for column in self.columns:
            adapter = self._json.get(column)
            if adapter is None:
                lists.append([getattr(entity, column) for entity in entities])
            else:
                lists.append(_texts(adapter, [getattr(entity, column) for entity in entities]))
        return lists

    def entity(self, row: Row) -> Entity:
        """Return the entity of a row; raises pydantic.ValidationError for JSON of another shape."""
        return self.kind(**{column: self._value(column, row[column]) for column in self.columns})

    def _value(self, column: str, stored: Any) -> Any:
        """Equal JSON becomes one shared value: entities are frozen, and many have the same."""
        if stored is None or column not in self._json:
            return stored
        known = self._shared.get((column, stored))
        if known is None:
            known = self._json[column].validate_json(stored)
            if len(self._shared) < SHARED_MAX:
                self._shared[column, stored] = known
        return known

    @property
    def select(self) -> str:
        """The SELECT of all columns, without a WHERE."""
        return f"SELECT {', '.join(self.columns)} FROM {self.name}"


def _bare(hint: Any) -> Any:
    """Return X for ``X | None``, the hint itself otherwise."""
    if get_origin(hint) in (Union, types.UnionType):
        others = [arg for arg in get_args(hint) if arg is not type(None)]
        if len(others) == 1:
            hint = others[0]
    if get_origin(hint) is not None and str(get_origin(hint)) == "typing.Literal":
        return str
    return hint


def _texts(adapter: TypeAdapter[Any], values: Sequence[object]) -> list[str | None]:
    """Return values as JSON; a batch often has one and the same value in each row."""
    texts: list[str | None] = []
    last: object = None
    text: str | None = None
    for value in values:
        if value is not last:
            text = None if value is None else adapter.dump_json(value).decode()
            last = value
        texts.append(text)
    return texts
