"""Texts of requests: headers, parameters, JSON."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict, CIMultiDictProxy, MultiDict

from services.gateway.http.bodies import NOT_AN_OBJECT, NOT_JSON, REPEATED_FIELD, read_object
from services.gateway.http.endpoints import PRODUCT_IDS
from services.gateway.http.headers import ignored_names, trace_context
from services.gateway.http.parameters import (
    PAGE,
    PAGING,
    Misfit,
    Parameters,
    names_of,
    parse_instant,
    read_query,
)


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        (b'{"a": {"b": [1, {"c": ":"}]}}', {"a": {"b": [1, {"c": ":"}]}}),
        (b'{"a": "x:y", "b": 1}', {"a": "x:y", "b": 1}),
        (b'{"a": 1, "a": 1}', REPEATED_FIELD),
        (b'{"a": ":", "a": 1}', REPEATED_FIELD),
        (b'{"x": [{"a": 1, "a": 2}]}', REPEATED_FIELD),
        (b'{"\\u0061": 1, "a": 2}', REPEATED_FIELD),
        (b"[1]", NOT_AN_OBJECT),
        (b"7", NOT_AN_OBJECT),
        (b"", NOT_JSON),
        (b"{'a': 1}", NOT_JSON),
        (b'{"a": Infinity}', NOT_JSON),
        (b'{"a": "\\ud800"}', NOT_JSON),
        (b'{"a": 1} x', NOT_JSON),
    ],
)
def test_json_is_read_strictly(raw: bytes, read: object) -> None:
    """An object, once, with each field once."""
    assert read == read_object(raw)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31t08:00:00z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00:00.5+08:00", datetime(2026, 1, 31, 0, 0, 0, 500000, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 30, 16, tzinfo=UTC)),
        ("2026-01-31 08:00:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("0001-01-01T00:00:00+01:00", None),
        ("2026-01-31T", None),
        ("now", None),
    ],
)
def test_instants_are_read_in_utc(text: str, at: datetime | None) -> None:
    """Any offset is taken, none is UTC, a date begins in Hong Kong."""
    assert at == parse_instant(text)


def test_parameters_keep_the_first_that_is_wrong() -> None:
    """All are looked at, the first bad one is told, the unknown ones are listed."""
    query = MultiDict([("page", "0"), ("limit", "x"), ("z", "1")])
    parameters = Parameters(read_query(query), names_of(PAGING))
    parameters.page()
    assert parameters.refusal is not None
    assert "page" == parameters.refusal.extra["parameter"]
    assert ["z"] == parameters.ignored


def test_product_ids_may_be_given_in_several_parts() -> None:
    """Repeated parameters and commas mean the same."""
    query = MultiDict([("product_ids", "107, 106"), ("product_ids", "107,101")])
    assert [107, 106, 101] == PRODUCT_IDS.read(query.getall("product_ids"))
    assert isinstance(PRODUCT_IDS.read([",".join(map(str, range(1, 102)))]), Misfit)


def test_what_an_endpoint_does_not_declare_cannot_be_read() -> None:
    """A parameter that is read and not declared would stand in no document."""
    parameters = Parameters({"page": ["1"]})
    with pytest.raises(AssertionError, match="not declared"):
        parameters.get(PAGE)
    assert ["page"] == parameters.ignored


def test_the_first_year_is_a_time_too_early_to_tell() -> None:
    """A date that Hong Kong's offset moves before the calendar is refused, not an error."""
    assert parse_instant("0001-01-01") is None


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "garbage",
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
        "ff-" + "1" * 32 + "-" + "1" * 16 + "-01",
    ],
)
def test_a_bad_trace_starts_a_new_one(traceparent: str) -> None:
    """An invalid header is never an error (W3C Trace Context)."""
    headers = CIMultiDictProxy(CIMultiDict({"traceparent": traceparent}))
    made = trace_context(headers, random=lambda size: b"\x07" * size)
    assert "00-" + "07" * 16 + "-" + "07" * 8 + "-00" == made


def test_ignored_names_fit_into_a_header() -> None:
    """Few, short, and only in visible characters."""
    text = ignored_names(["a,b", "x" * 99, *map(str, range(30))])
    assert text.startswith("a%2Cb, " + "x" * 64 + ", 0, 1")
    assert 20 == len(text.split(", "))
