"""The Python client against real processes that die under it."""

from __future__ import annotations

import asyncio

import pytest

from ota_client import Answer, OtaClient, Request, RetryPolicy, Watcher
from tests.support.agency import FULL_KEY
from tests.support.deciders import Deciders
from tests.support.ledger import Books

pytestmark = pytest.mark.e2e

PRODUCT, POOL_NO = 107, 2
CALLS = 40
PATIENCE = RetryPolicy(deadline_s=90.0, try_s=5.0)


class Trials(Watcher):
    """Counts tries, and tells when the first answer is there."""

    def __init__(self) -> None:
        self.sent = 0
        self.retried: set[str | None] = set()
        self.answered_one = asyncio.Event()

    def sending(self, request: Request) -> None:
        """See `ota_client.Watcher`."""
        self.sent += 1

    def answered(self, request: Request, answer: Answer) -> None:
        """See `ota_client.Watcher`."""
        self.answered_one.set()

    def waiting(self, request: Request, *, reason: str, pause_s: float) -> None:
        """See `ota_client.Watcher`."""
        self.retried.add(request.idempotency_key)


def held(books: Books) -> int:
    """Return the units that the product's pool has held."""
    return int(next(row for row in books.rows["pool"] if row["pool_no"] == POOL_NO)["held"])


async def test_a_killed_gateway_is_got_over(deciders: Deciders) -> None:
    """Every call ends well, and has had its effect once, though some were sent again."""
    before = held(await deciders.audit())
    trials = Trials()
    url = deciders.processes["gateway"].url
    async with OtaClient(url, FULL_KEY, retries=PATIENCE, watcher=trials) as ota:

        async def reserve_all() -> list[str]:
            # Two at a time, so that some are still to come when the gateway dies.
            places = asyncio.Semaphore(2)

            async def reserve() -> str:
                async with places:
                    return (await ota.reserve(PRODUCT, 1)).reservation_id

            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(reserve()) for _ in range(CALLS)]
            return [task.result() for task in tasks]

        async with asyncio.TaskGroup() as group:
            reserving = group.create_task(reserve_all())
            await trials.answered_one.wait()
            deciders.kill("gateway")
            deciders.start("gateway")
        ids = reserving.result()
        assert CALLS == len(set(ids))
        assert trials.retried
        assert trials.sent > CALLS
        listed = {hold.reservation_id async for hold in ota.reservations(product_id=PRODUCT)}
        assert set(ids) <= listed
    assert CALLS == held(await deciders.audit()) - before
