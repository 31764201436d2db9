"""Quotas over several gateways: exact, without waiting in ordinary load, and through faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from services.gateway.app import quotas as module
from services.gateway.app.quotas import Quotas
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.partner import Caller
from tests.support.quota_table import QuotaRows

CALLER = Caller(
    key_id="k",
    partner_id="p",
    name="P",
    channel="ota",
    permissions=frozenset(),
    calls_per_minute=100,
    expires_at=None,
)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls wait long enough for a machine that stands still for a while."""
    monkeypatch.setattr(module, "WAIT_S", 30.0)


@dataclass
class Setting:
    """A database, a clock, and what the gateways know of the partners."""

    now: float = 1000.0
    callers: Mapping[bytes, Caller] = field(default_factory=lambda: {b"k": CALLER})
    starts: int = 0
    table: QuotaRows = field(init=False)

    def __post_init__(self) -> None:
        self.table = QuotaRows(now_ms=lambda: int(self.now * 1000))

    def gateway(self, instance: int = 0) -> Quotas:
        """Start a gateway."""
        self.starts += 1
        return Quotas(
            table=self.table,
            callers=lambda: self.callers,
            instance=instance,
            incarnation=str(self.starts),
            monotonic=lambda: self.now,
        )

    def limit(self, calls_per_minute: int) -> Caller:
        """Change the partner's limit; gateways learn of it at their next tick."""
        caller = replace(CALLER, calls_per_minute=calls_per_minute)
        self.callers = {b"k": caller}
        return caller


async def passes(quotas: Quotas, caller: Caller = CALLER) -> bool:
    """Make a call and say whether it may pass."""
    account = quotas.account(caller)
    return quotas.take(account, quotas._monotonic()) or await quotas.wait(account)


async def passed(quotas: Quotas, number: int, caller: Caller = CALLER) -> int:
    """Make calls one after another and return how many pass."""
    return sum([await passes(quotas, caller) for _ in range(number)])


@asynccontextmanager
async def running(*gateways: Quotas) -> AsyncIterator[None]:
    """Let gateways lease in the background."""
    tasks = [asyncio.ensure_future(each.run()) for each in gateways]  # noqa: TID251
    yield
    for task in tasks:
        task.cancel()


async def tick(*gateways: Quotas) -> None:
    """Let half a second be over at each gateway."""
    for each in gateways:
        each.tick()
        await each.settle_due()


async def test_the_whole_limit_may_come_at_once() -> None:
    """Of 130 calls in one moment 100 pass, no more and no fewer."""
    gateway = Setting().gateway()
    async with running(gateway), asyncio.TaskGroup() as group:
        calls = [group.create_task(passes(gateway)) for _ in range(130)]
    assert 100 == sum(call.result() for call in calls)


async def test_one_after_another_as_well_and_all_again_after_the_window() -> None:
    """The 101st is refused, until the first ones are a minute old."""
    setting = Setting()
    gateway = setting.gateway()
    async with running(gateway):
        assert 100 == await passed(gateway, 130)
        setting.now += 59.9
        assert 0 == await passed(gateway, 1)
        setting.now += 1.2
        assert 100 == await passed(gateway, 130)


async def test_the_window_slides() -> None:
    """What was used half a minute ago is still used; what was used first comes back first."""
    setting = Setting()
    gateway = setting.gateway()
    async with running(gateway):
        assert 40 == await passed(gateway, 40)
        setting.now += 30
        assert 60 == await passed(gateway, 80)
        setting.now += 31
        assert 40 == await passed(gateway, 80)


async def test_in_ordinary_load_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices are leased ahead of need, also before the first call of a partner."""
    setting = Setting()
    caller = setting.limit(6000)
    gateway = setting.gateway()
    await tick(gateway)
    for _ in range(200):  # 100 seconds, 5,520 calls in each minute of them
        for _ in range(46):
            account = gateway.account(caller)
            assert gateway.take(account, setting.now)
        await gateway.settle_due()
        setting.now += 0.5
        await tick(gateway)
    assert setting.table.reads < 600


async def test_a_call_that_comes_before_any_lease_waits_for_one() -> None:
    """Right after the start, or of a partner that was just made."""
    gateway = Setting().gateway()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(passes(gateway))
        await asyncio.sleep(0)
        async with running(gateway):
            assert await first


@pytest.mark.parametrize("others", [1, 2, 4])
async def test_of_several_gateways_one_can_use_nearly_all(others: int) -> None:
    """What idle gateways hold comes to 5 % at most; together they never exceed the limit."""
    setting = Setting()
    gateways = [setting.gateway(number) for number in range(others + 1)]
    await tick(*gateways)
    setting.now += 10  # each learns how many there are
    await tick(*gateways)
    async with running(*gateways):
        alone = await passed(gateways[0], 130)
        assert 95 <= alone <= 100
        rest = [await passed(each, 20) for each in gateways[1:]]
        assert 100 == alone + sum(rest)


async def test_calls_that_take_turns_use_all() -> None:
    """A load balancer spreads a burst; the sum is the limit."""
    setting = Setting()
    gateways = [setting.gateway(number) for number in range(3)]
    async with running(*gateways):
        found = [await passes(gateways[number % 3]) for number in range(150)]
    assert 100 == sum(found)


async def test_what_a_burst_has_leased_too_much_is_found_by_another() -> None:
    """A quiet second later a gateway holds only its small share."""
    setting = Setting()
    first, second = setting.gateway(0), setting.gateway(1)
    await tick(first, second)
    async with running(first):
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(passes(first)) for _ in range(40)]
        assert all(call.result() for call in calls)
    for _ in range(3):
        await tick(first, second)
    async with running(second):
        assert 55 <= await passed(second, 100) <= 60


async def test_a_killed_gateway_gets_no_fresh_quota() -> None:
    """What it had leased and not reported counts as used; the rest is there at once."""
    setting = Setting()
    before = setting.gateway()
    async with running(before):
        assert 60 == await passed(before, 60)
    after = setting.gateway()
    async with running(after):
        rest = await passed(after, 100)
        assert 0 <= rest <= 40
        setting.now += 62
        assert 100 == await passed(after, 130)


async def test_a_killed_idle_gateway_strands_its_slice_and_no_more() -> None:
    """A tenth of the limit."""
    setting = Setting()
    before = setting.gateway()
    await tick(before)
    for _ in range(20):
        assert before.take(before.account(CALLER), setting.now)
        await tick(before)
    setting.now += 2
    for _ in range(4):
        await tick(before)
    after = setting.gateway()
    async with running(after):
        assert 70 == await passed(after, 100)


async def test_a_gateway_that_leaves_gives_everything_back() -> None:
    """A restart in good order strands nothing."""
    setting = Setting()
    before = setting.gateway()
    async with running(before):
        assert 60 == await passed(before, 60)
    await before.leave()
    after = setting.gateway(1)
    async with running(after):
        assert 40 == await passed(after, 100)


async def test_leaving_without_a_database_ends_all_the_same() -> None:
    """Nothing can keep a gateway from stopping."""
    setting = Setting()
    gateway = setting.gateway()
    await tick(gateway)
    setting.table.away = True
    await gateway.leave()


async def test_without_the_database_what_is_leased_goes_on() -> None:
    """Then a call is not executed, at once and without asking; a known end stays a refusal."""
    setting = Setting()
    gateway = setting.gateway()
    await tick(gateway)
    setting.table.away = True
    assert all(gateway.take(gateway.account(CALLER), setting.now) for _ in range(10))
    await gateway.settle_due()
    reads = setting.table.reads
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            await passes(gateway)
    assert reads == setting.table.reads
    setting.table.away = False
    await gateway.settle_due()
    async with running(gateway):
        assert 90 == await passed(gateway, 130)
        setting.table.away = True
        await gateway.settle_due()
        assert 0 == await passed(gateway, 1)


async def test_a_database_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call waits for a bounded time; the next ones do not wait at all."""
    monkeypatch.setattr(module, "WAIT_S", 0.05)
    setting = Setting()
    gateway = setting.gateway()
    setting.table.gate = asyncio.Event()
    async with running(gateway):
        with pytest.raises(StoreUnavailable):
            await passes(gateway)
        monkeypatch.setattr(module, "WAIT_S", 30.0)
        async with asyncio.timeout(10):
            with pytest.raises(StoreUnavailable):
                await passes(gateway)
        setting.table.gate.set()
        account = gateway.account(CALLER)
        while not account.granted:  # noqa: ASYNC110  # the account tells nobody
            await asyncio.sleep(0)
        assert 100 == await passed(gateway, 130)


async def test_a_lost_answer_costs_nothing() -> None:
    """What was stored is found at the next look: nothing is counted twice or lost."""
    setting = Setting()
    gateway = setting.gateway()
    await tick(gateway)
    for _ in range(5):
        assert gateway.take(gateway.account(CALLER), setting.now)
    setting.table.forgetful = True
    setting.now += 1
    await gateway.settle_due()
    setting.table.forgetful = False
    await gateway.settle_due()
    async with running(gateway):
        assert 95 == await passed(gateway, 130)


@pytest.mark.parametrize("limit, more", [(150, 50), (120, 20), (60, 0), (100, 0)])
async def test_another_limit_holds_at_once(limit: int, more: int) -> None:
    """Up or down, what was used before counts."""
    setting = Setting()
    gateway = setting.gateway()
    async with running(gateway):
        assert 100 == await passed(gateway, 130)
        caller = setting.limit(limit)
        assert more == await passed(gateway, 130, caller)


async def test_a_lowered_limit_takes_back_what_is_leased() -> None:
    """Also from a gateway that nobody calls."""
    setting = Setting()
    idle, busy = setting.gateway(0), setting.gateway(1)
    await tick(idle, busy)
    setting.now += 10
    await tick(idle, busy)
    caller = setting.limit(5)
    await tick(idle, busy)
    async with running(busy):
        assert 5 == await passed(busy, 20, caller)


async def test_who_may_call_no_more_holds_nothing() -> None:
    """And finds its limit again when it may."""
    setting = Setting()
    gateway = setting.gateway()
    await tick(gateway)
    setting.callers = {}
    await tick(gateway)
    assert 0 == sum(lease.open for lease in setting.table.rows["p"][1].leases)
    setting.limit(100)
    await tick(gateway)
    assert 10 == sum(lease.open for lease in setting.table.rows["p"][1].leases)


async def test_a_paused_gateway_uses_nothing_of_what_it_had() -> None:
    """After a minute its lease has gone to others."""
    setting = Setting()
    paused, other = setting.gateway(0), setting.gateway(1)
    await tick(paused)
    account = paused.account(CALLER)
    assert paused.take(account, setting.now)
    setting.now += 58.5
    assert not paused.take(account, setting.now)
    setting.now += 70
    async with running(other):
        assert 100 == await passed(other, 130)


async def test_refused_calls_do_not_ask_the_database() -> None:
    """A flood over the limit is refused from memory."""
    gateway = Setting().gateway()
    async with running(gateway):
        assert 100 == await passed(gateway, 100)
        await gateway.settle_due()
        assert 0 == await passed(gateway, 1)
        reads = gateway._table.reads  # type: ignore[attr-defined]  # the rows in memory
        assert 0 == await passed(gateway, 1000)
        assert gateway._table.reads - reads < 5  # type: ignore[attr-defined]  # likewise


async def test_caller_that_goes_away_does_not_take_others_with_it() -> None:
    """All who wait share one round: it goes on when one of them is cancelled."""
    quotas = Setting().gateway()
    account = quotas.account(CALLER)
    leaving, staying = (
        asyncio.ensure_future(quotas.wait(account))  # noqa: TID251
        for _ in range(2)
    )
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    async with running(quotas):
        assert await staying
    assert leaving.cancelled()
