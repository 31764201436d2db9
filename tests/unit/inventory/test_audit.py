"""The ledger's invariants name what is wrong, and only that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.inventory.domain.audit import violations
from services.inventory.domain.ledger import Hold, Pool
from tests.support import examples


def test_a_right_ledger_has_no_violations() -> None:
    """Held units are those of the open holds; closed holds don't count."""
    closed = replace(examples.HOLD, reservation_id="res_closed", status="sold")
    assert [] == violations([examples.POOL], [examples.HOLD, closed])
    assert [] == violations([], [])


@pytest.mark.parametrize(
    "pool, holds, expected",
    [
        (
            replace(examples.POOL, allotted=2),
            [examples.HOLD],
            ["pool 1 is oversold by 1"],
        ),
        (
            replace(examples.POOL, sold=1998),
            [examples.HOLD],
            ["pool 1 is oversold by 1"],
        ),
        (
            examples.POOL,
            [],
            ["pool 1 counts 3 held, its open holds have 0"],
        ),
        (
            examples.POOL,
            [examples.HOLD, replace(examples.HOLD, quantity=1)],
            ["pool 1 counts 3 held, its open holds have 4"],
        ),
        (
            replace(examples.POOL, held=0, sold=-1),
            [],
            ["pool 1 has 0 held and -1 sold"],
        ),
    ],
)
def test_each_violation_is_a_sentence(pool: Pool, holds: list[Hold], expected: list[str]) -> None:
    """Oversold, not conserved, below zero."""
    assert expected == violations([pool], holds)


def test_a_cap_counts_what_its_partner_holds() -> None:
    """Above the cap or not; a lifted cap counts nothing, and others' holds are not its own."""
    pools, holds = (
        [replace(examples.POOL, held=6)],
        [
            examples.HOLD,
            replace(examples.HOLD, reservation_id="res_other", partner_id="another"),
        ],
    )
    right = [examples.PARTNER_CAP, replace(examples.PARTNER_CAP, units=1)]
    lifted = replace(examples.PARTNER_CAP, units=None, held=0)
    assert [] == violations(pools, holds, [*right, lifted])
    wrong = [replace(examples.PARTNER_CAP, held=6), replace(lifted, held=3)]
    assert [
        "cap 1/test_partner counts 6 held, its open holds have 3",
        "cap 1/test_partner counts 3 held, its open holds have 0",
    ] == violations(pools, holds, wrong)


def test_holds_of_other_pools_count_for_theirs() -> None:
    """A hold in the wrong pool is seen."""
    stray = replace(examples.HOLD, pool_no=examples.OTHER_POOL_NO)
    other = replace(examples.POOL, pool_no=examples.OTHER_POOL_NO, held=0)
    assert [
        "pool 1 counts 3 held, its open holds have 0",
        "pool 4 counts 0 held, its open holds have 3",
    ] == violations([examples.POOL, other], [stray])
