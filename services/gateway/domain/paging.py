"""Pages and cursors of lists (contract, section 1).

A cursor holds the last row's place and the next page's number. It is readable but
cannot be made or moved to another partner, list or filter: its seal covers all that.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from services.gateway.domain.keyed_hash import KeyedHashes
from services.gateway.domain.records import Slice
from services.gateway.domain.refusal import Refusal, invalid_parameter

SIZE_DEFAULT = 20
SIZE_MAX = 100
PAGE_MAX = 1_000_000
CURSOR_LENGTH_MAX = 512
_SEAL_BYTES = 12

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedPage:
    """What a client asked for, before its cursor was looked at; None is not given."""

    page: int = 1
    size: int | None = None
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Which page to read; *after* is set when the client walks with a cursor."""

    page: int
    size: int
    after: tuple[datetime, str] | None = None

    @property
    def slice(self) -> Slice:
        """The rows to read: one more than shown, to know whether there are more."""
        offset = 0 if self.after else (self.page - 1) * self.size
        return Slice(limit=self.size + 1, offset=offset, after=self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """A page of rows, how many there are in all, and the cursor of the next page."""

    rows: tuple[Row, ...]
    total: int
    request: PageRequest
    has_more: bool
    next_cursor: str | None


Place = tuple[datetime, str]
"""What lists are ordered by: a row's time, newest first, then its id."""


def start_page(
    *, hashes: KeyedHashes, scope: str, asked: AskedPage, size_default: int = SIZE_DEFAULT
) -> PageRequest | Refusal:
    """Return which page to read, or refuse a cursor that is not of this list."""
    size = asked.size or size_default
    if asked.cursor is None:
        return PageRequest(page=asked.page, size=size)
    decoded = decode_cursor(hashes=hashes, scope=scope, cursor=asked.cursor)
    if decoded is None:
        return invalid_parameter(
            "cursor", "must be a next_cursor of this list, with the same filters"
        )
    page, after = decoded
    return PageRequest(page=page, size=size, after=after)


def finish_page(
    *,
    hashes: KeyedHashes,
    scope: str,
    request: PageRequest,
    rows: Sequence[Row],
    total: int,
    place: Callable[[Row], Place],
) -> Page[Row]:
    """Return the page that *rows* make, which were read by the request's slice."""
    shown = tuple(rows[: request.size])
    has_more = len(rows) > request.size
    return Page(
        rows=shown,
        total=total,
        request=request,
        has_more=has_more,
        next_cursor=encode_cursor(
            hashes=hashes, scope=scope, page=request.page + 1, after=place(shown[-1])
        )
        if has_more
        else None,
    )


def rows_of(
    *, request: PageRequest, rows: Sequence[Row], row_id: Callable[[Row], str]
) -> Sequence[Row]:
    """Return the rows of a whole list that a page shows, and one more if there is one.

    A walk goes on after the row that its cursor names, whatever the size of this page.
    """
    first = (request.page - 1) * request.size
    if request.after is not None:
        ids = [row_id(row) for row in rows]
        last_shown = request.after[1]
        first = ids.index(last_shown) + 1 if last_shown in ids else first
    return rows[first : first + request.size + 1]


def encode_cursor(*, hashes: KeyedHashes, scope: str, page: int, after: Place) -> str:
    """Return the cursor of page number *page*, which follows the row *after*."""
    at, row_id = after
    payload = json.dumps([page, at.isoformat(), row_id], separators=(",", ":")).encode()
    sealed = hashes.seal_of(_scoped(scope, payload)) + payload
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def decode_cursor(*, hashes: KeyedHashes, scope: str, cursor: str) -> tuple[int, Place] | None:
    """Return page number and last row of a cursor, None if it is not ours for this *scope*."""
    if not 0 < len(cursor) <= CURSOR_LENGTH_MAX or not cursor.isascii():
        return None
    try:
        sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    seal, payload = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
    if not hmac.compare_digest(seal, hashes.seal_of(_scoped(scope, payload))):
        return None
    page, at, row_id = json.loads(payload)
    return page, (datetime.fromisoformat(at), row_id)


def _scoped(scope: str, payload: bytes) -> bytes:
    return scope.encode() + b"\0" + payload
