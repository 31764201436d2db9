"""JSON for people: images elided, long texts and lists cut, what fits on a line kept on one."""

from __future__ import annotations

import json
from typing import Any

TEXT_LENGTH_MAX = 72
LINE_LENGTH_MAX = 96
SHORT_ROWS_MAX = 4
"""Rows of a list that are shown when each fits on a line; of longer ones only the first."""

IMAGE_PREFIX = "data:image/png;base64,"


class Cut(str):
    """A remark in place of something left out; printed without quotes."""

    __slots__ = ()


def shorten(value: Any) -> Any:
    """Return *value* (decoded JSON) with images, long texts and long lists cut.

    A list's second name (``items``, contract section 1) is not shown twice.
    """
    if isinstance(value, dict):
        return {name: _twin(value, name) or shorten(item) for name, item in value.items()}
    if isinstance(value, list):
        return _shorten_list(value)
    if isinstance(value, str) and value.startswith(IMAGE_PREFIX):
        return Cut(f'"{IMAGE_PREFIX}…" ({len(value):,} characters)')
    if isinstance(value, str) and len(value) > TEXT_LENGTH_MAX:
        return Cut(f'{_quoted(value[:TEXT_LENGTH_MAX])[:-1]}…" ({len(value):,} characters)')
    return value


def _twin(record: dict[str, Any], name: str) -> Cut | None:
    if name != "items" or not record[name]:
        return None
    other = next((key for key in record if key != name and record[key] == record[name]), None)
    return Cut(f"… the same rows as {_quoted(other)}") if other else None


def _shorten_list(rows: list[Any]) -> list[Any]:
    short = [shorten(row) for row in rows]
    if not any(isinstance(row, dict) for row in rows):
        return short
    fits = all(len(_flat(row)) <= LINE_LENGTH_MAX for row in short)
    kept = short[: SHORT_ROWS_MAX if fits else 1]
    left_out = len(short) - len(kept)
    return [*kept, Cut(f"… and {left_out} more")] if left_out else kept


def pretty(value: Any, *, indent: int = 0, taken: int = 0) -> str:
    """Return *value* as indented JSON text; whatever fits stays on its line.

    *taken* is what the line holds already beside the indentation.
    """
    flat = _flat(value)
    fits = len(flat) + indent + taken <= LINE_LENGTH_MAX
    if fits or not isinstance(value, dict | list) or not value:
        return flat
    inner = indent + 2
    if isinstance(value, dict):
        rows = []
        for name, item in value.items():
            label = f"{_quoted(name)}: "
            rows.append(label + pretty(item, indent=inner, taken=len(label)))
    else:
        rows = [pretty(item, indent=inner) for item in value]
    body = ",\n".join(" " * inner + row for row in rows)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{body}\n{' ' * indent}{closing}"


def pretty_body(body: bytes) -> str:
    """Return a body as readable text; one that is no JSON is shown as text, cut."""
    try:
        value = json.loads(body)
    except ValueError:
        return body[:500].decode(errors="replace")
    return pretty(shorten(value))


def _flat(value: Any) -> str:
    if isinstance(value, Cut):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(n)}: {_flat(item)}" for n, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flat, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
