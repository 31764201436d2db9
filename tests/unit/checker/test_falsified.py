"""Every invariant's check catches what breaks it, and names it; correct books pass."""

from __future__ import annotations

import json
import pickle
from functools import cache
from pathlib import Path

import pytest

from ota_checker.__main__ import main
from ota_checker.checking import check
from ota_checker.verdicts import INVARIANTS, Verdicts
from tests.support.books import Books
from tests.unit.checker.falsified import ALL, Falsified


@cache
def played() -> bytes:
    """Return books in which everything has happened, pickled: copies are made from it."""
    return pickle.dumps(Books(seed=4, units=30).play(400))


def correct() -> Books:
    """Return a copy of the correct books."""
    books = pickle.loads(played())
    assert isinstance(books, Books)
    return books


def judged(books: Books, folder: Path) -> Verdicts:
    """Write books and let the checker decide."""
    return check(folder=books.write(folder))


def test_correct_books_pass(tmp_path: Path) -> None:
    """All invariants are judged, none is violated."""
    verdicts = judged(correct().derive(), tmp_path)
    assert [] == verdicts.violations
    assert ["passed"] * 24 == [verdicts.state(name) for name in INVARIANTS]


@pytest.mark.parametrize(
    "falsified", ALL, ids=lambda each: f"{each.invariant}-{each.tell.__name__}"
)
def test_falsified_books_are_caught(falsified: Falsified, tmp_path: Path) -> None:
    """The one thing that is wrong is reported under its own invariant, with a story."""
    books = correct()
    if falsified.derived:
        books.derive()
    falsified.tell(books)
    if not falsified.derived:
        books.derive()
    folder = books.write(tmp_path)
    assert 1 == main([str(folder)])
    report = json.loads((folder / "checked.json").read_text(encoding="utf-8"))
    assert falsified.invariant in report["violated"]
    assert falsified.invariant in {story["invariant"] for story in report["stories"]}


def test_every_invariant_has_a_falsehood() -> None:
    """A check that nothing can fail would prove nothing."""
    assert set(INVARIANTS) == {each.invariant for each in ALL}
