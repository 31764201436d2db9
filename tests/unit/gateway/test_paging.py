"""Cursors: readable, but neither made nor moved."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.gateway.domain.keyed_hash import KeyedHashes
from services.gateway.domain.paging import (
    AskedPage,
    PageRequest,
    decode_cursor,
    encode_cursor,
    finish_page,
    start_page,
)
from services.gateway.domain.refusal import Refusal

HASHES = KeyedHashes(b"k" * 32)
PLACE = (datetime(2026, 1, 5, 4, 0, 0, 123456, tzinfo=UTC), "res_1")


def test_a_cursor_leads_back_to_its_place() -> None:
    """Time and id of the last row come back exactly, with the number of the next page."""
    cursor = encode_cursor(hashes=HASHES, scope="a", page=7, after=PLACE)
    assert (7, PLACE) == decode_cursor(hashes=HASHES, scope="a", cursor=cursor)


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "ä", "A" * 600, "A" * 40, "====", "a b"])
def test_what_is_no_cursor_is_none(cursor: str) -> None:
    """Whatever the text, nothing but None comes of it."""
    assert decode_cursor(hashes=HASHES, scope="a", cursor=cursor) is None


def test_a_cursor_belongs_to_scope_and_installation() -> None:
    """Another list, or another secret, does not take it."""
    cursor = encode_cursor(hashes=HASHES, scope="a", page=1, after=PLACE)
    assert decode_cursor(hashes=HASHES, scope="b", cursor=cursor) is None
    other = KeyedHashes(b"o" * 32)
    assert decode_cursor(hashes=other, scope="a", cursor=cursor) is None
    refused = start_page(hashes=HASHES, scope="b", asked=AskedPage(cursor=cursor))
    assert isinstance(refused, Refusal)


def test_one_row_too_many_tells_that_there_are_more() -> None:
    """It is read but not shown."""
    request = PageRequest(page=2, size=2)
    assert (3, 2) == (request.slice.limit, request.slice.offset)

    def page(rows: list[str]) -> tuple[tuple[str, ...], bool, bool]:
        finished = finish_page(
            hashes=HASHES,
            scope="a",
            request=request,
            rows=rows,
            total=9,
            place=lambda row: (PLACE[0], row),
        )
        return finished.rows, finished.has_more, finished.next_cursor is None

    assert (("a", "b"), True, False) == page(["a", "b", "c"])
    assert (("a", "b"), False, True) == page(["a", "b"])
    assert ((), False, True) == page([])
