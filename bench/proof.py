"""The proof at the end of a run: no unit lost or made up, and each request had one effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.ground import Account
from bench.ledger import Since, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that must be true, in words with its figures."""

    text: str
    passed: bool


def checks(
    *,
    account: Account,
    before: Standing,
    after: Standing,
    since: Since,
    seen: Mapping[int, int],
) -> list[Check]:
    """Compare what clients were told with what stands in the ledger and the logs.

    *seen* is what partners are shown of each product when nothing happens any more.
    Requests without a known outcome leave room for themselves only.
    """
    return [
        *_conservation(account=account, before=before, after=after, since=since),
        _within(
            f"exactly once: the ledger has {since.holds:,} holds of {since.hold_ids:,} reservations"
            f" from {since.hold_commands:,} requests; clients were told of {account.accepted:,}",
            since.holds - account.accepted,
            room=account.unresolved,
            also=since.holds == since.hold_ids == since.hold_commands,
        ),
        _within(
            f"one order each: the log has {since.orders:,} orders of {since.order_ids:,}"
            f" reservations; clients were told of {account.activated:,}",
            since.orders - account.activated,
            room=account.unresolved,
            also=since.orders == since.order_ids,
        ),
        Check(
            text="partners see what the ledger has left of each product",
            passed=all(after.left.get(product) == units for product, units in seen.items()),
        ),
    ]


def _conservation(
    *, account: Account, before: Standing, after: Standing, since: Since
) -> list[Check]:
    found = []
    for product in sorted(after.out):
        fell = after.out[product] - before.out.get(product, 0)
        taken, given = account.taken[product], account.given_back[product]
        expired = since.expired.get(product, 0)
        if not (fell or taken):
            continue
        found.append(
            _within(
                f"conservation, product {product}: {fell:,} units are gone; {taken:,} were taken,"
                f" {given:,} cancelled, {expired:,} expired",
                fell - (taken - given - expired),
                room=account.unresolved,
                also=after.left[product] >= 0,
            )
        )
    return found


def _within(text: str, difference: int, *, room: int, also: bool) -> Check:
    return Check(text=text, passed=abs(difference) <= room and also)
