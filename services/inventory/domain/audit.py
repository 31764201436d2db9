"""The ledger's invariants as plain functions, for tests, simulation and self-checks."""

from __future__ import annotations

from collections.abc import Iterable

from services.inventory.domain.ledger import Hold, PartnerCap, Pool


def violations(
    pools: Iterable[Pool], holds: Iterable[Hold], caps: Iterable[PartnerCap] = ()
) -> list[str]:
    """Return what is wrong, one sentence each: I1 no oversell, I2 conservation.

    *holds* are all open holds of the pools; an empty list means that nothing is wrong.
    """
    found = []
    held: dict[int, int] = {}
    by_partner: dict[tuple[int, str], int] = {}
    for hold in holds:
        if hold.status == "held":
            held[hold.pool_no] = held.get(hold.pool_no, 0) + hold.quantity
            theirs = (hold.pool_no, hold.partner_id)
            by_partner[theirs] = by_partner.get(theirs, 0) + hold.quantity
    for pool in pools:
        if pool.held < 0 or pool.sold < 0:
            found.append(f"pool {pool.pool_no} has {pool.held} held and {pool.sold} sold")
        if pool.held + pool.sold > pool.allotted:
            found.append(f"pool {pool.pool_no} is oversold by {-pool.available}")
        if held.get(pool.pool_no, 0) != pool.held:
            found.append(
                f"pool {pool.pool_no} counts {pool.held} held,"
                f" its open holds have {held.get(pool.pool_no, 0)}"
            )
    for cap in caps:
        expected = by_partner.get((cap.pool_no, cap.partner_id), 0) if cap.units is not None else 0
        if cap.held != expected:
            found.append(f"cap {cap.name} counts {cap.held} held, its open holds have {expected}")
    return found
