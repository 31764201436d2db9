"""Sampling the hash chain: what was changed in the log is found, what was not is not."""

from __future__ import annotations

from typing import Any

import pytest

from libs.events.envelope import Position
from libs.events.hashing import GENESIS, chain_hash
from libs.events.postgres.chain import broken_links
from tests.support import examples


def log(length: int = 4) -> list[dict[str, Any]]:
    """Return stored events, each with its hash."""
    rows: list[dict[str, Any]] = []
    previous = GENESIS
    for seq in range(1, length + 1):
        row = {
            "type": "ota.inventory.units_held",
            "version": 1,
            "subject": f"res_{seq}",
            "decided_at": examples.NOW,
            "meta": "{}",
            "data": f'{{"quantity":{seq}}}',
        }
        hash = chain_hash(
            previous=previous, source="inventory", position=Position(1, 0, seq), **row
        )
        place = {"generation": 1, "partition": 0, "seq": seq}
        rows.append({**row, **place, "previous_hash": previous, "hash": hash})
        previous = hash
    return rows


def broken(rows: list[dict[str, Any]]) -> list[str]:
    """Return the positions that are found to be wrong."""
    found: list[Any] = rows
    return broken_links(found, source="inventory")


def test_an_untouched_log_is_whole() -> None:
    """From its beginning, and from any place in it."""
    assert [] == broken(log())
    assert [] == broken(log()[2:])


@pytest.mark.parametrize(
    ("field", "value"),
    [("data", '{"quantity":9}'), ("subject", "res_9"), ("meta", '{"a":1}'), ("version", 2)],
)
def test_a_changed_event_is_found(field: str, value: object) -> None:
    """Whatever was changed in it."""
    rows = log()
    rows[2][field] = value
    assert ["1-0-3"] == broken(rows)


def test_a_forged_event_breaks_the_chain_behind_it() -> None:
    """Its own hash fits, but the next event was written after another one."""
    rows = log()
    forged = {**rows[2], "data": '{"quantity":9}'}
    fields = {
        key: forged[key]
        for key in rows[2]
        if key in {"type", "version", "subject", "decided_at", "meta", "data"}
    }
    forged["hash"] = chain_hash(
        previous=forged["previous_hash"], source="inventory", position=Position(1, 0, 3), **fields
    )
    rows[2] = forged
    assert ["1-0-4"] == broken(rows)


def test_two_samples_need_not_touch() -> None:
    """Between the pages of a sample there is no link to look at."""
    rows = log(6)
    assert [] == broken([*rows[:2], *rows[4:]])
