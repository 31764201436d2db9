"""Bodies for people: short, true to what was sent, images left out."""

from __future__ import annotations

import json

from deploy.demo.shortening import LINE_LENGTH_MAX, pretty, pretty_body, shorten

EMPTY: tuple[object, ...] = ([], {}, None)
IMAGE = "data:image/png;base64," + "A" * 1000


def test_what_fits_stays_on_one_line() -> None:
    """A small object is one line of JSON, other scripts readable."""
    assert '{"name": "陳大文", "units": [1, 2]}' == pretty({"name": "陳大文", "units": [1, 2]})


def test_what_does_not_fit_is_indented() -> None:
    """A larger one has a line for each name, and is the same JSON still."""
    value = {f"name_{number}": {"units": [number] * 3} for number in range(6)}
    text = pretty(value)
    assert '  "name_0": {"units": [0, 0, 0]},' == text.splitlines()[1]
    assert value == json.loads(text)


def test_no_line_is_too_long_when_it_can_be_broken() -> None:
    """The name before a value counts as well."""
    value = {"x" * 30: {"a": "b" * 30, "c": "d" * 30}, "y": 1}
    assert max(map(len, pretty(value).splitlines())) <= LINE_LENGTH_MAX


def test_empty_things() -> None:
    """Empty lists and objects are never broken."""
    assert ["[]", "{}", "null"] == [pretty(value, indent=200) for value in EMPTY]


def test_images_are_elided() -> None:
    """Of an image only its kind and length are shown."""
    assert '{"qr_code": "data:image/png;base64,…" (1,022 characters)}' == pretty(
        shorten({"qr_code": IMAGE})
    )


def test_long_texts_are_cut() -> None:
    """A long text shows its beginning and its length."""
    assert f'"{"x" * 72}…" (100 characters)' == pretty(shorten("x" * 100))


def test_short_rows_are_kept_and_long_ones_cut() -> None:
    """Rows that fit on a line are shown up to four, of longer ones the first."""
    short, long = {"a": 1}, {"a": "x" * 70, "b": "y" * 70}
    assert [short] * 4 == shorten([short] * 4)
    assert [short] * 4 + ["… and 2 more"] == shorten([short] * 6)
    assert [long, "… and 2 more"] == shorten([long] * 3)


def test_numbers_in_a_list_are_all_kept() -> None:
    """Only lists of objects are cut."""
    assert list(range(9)) == shorten(list(range(9)))


def test_the_second_name_of_a_list_is_not_shown_twice() -> None:
    """`items` stands for the list's own name."""
    rows = [{"order_id": "ORD-1"}]
    text = pretty(shorten({"orders": rows, "items": rows}))
    assert '{"orders": [{"order_id": "ORD-1"}], "items": … the same rows as "orders"}' == text


def test_items_that_differ_are_shown() -> None:
    """A list that only happens to be called items is shown."""
    assert {"orders": [{"a": 1}], "items": [{"a": 2}]} == shorten(
        {"orders": [{"a": 1}], "items": [{"a": 2}]}
    )


def test_a_body_that_is_no_json() -> None:
    """What is no JSON is shown as it came."""
    assert "<html>" == pretty_body(b"<html>")
