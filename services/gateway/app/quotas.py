"""The partners' limits of calls a minute, kept over all gateways off the path of requests.

Calls pass from slices that a background task leases from the database ahead of need, for
all partners at once. Only when a burst outruns its slice a request waits for the next one.
While the database is away, what is leased goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import structlog

from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.partner import Caller
from services.gateway.domain.quota import Settlement, StoredQuota, settle
from services.gateway.domain.quota_account import Account

TICK_S = 0.5
WAIT_S = 0.25
LEAVE_S = 1.0
BATCH_MAX = 200

log = structlog.get_logger()


class QuotaTable(Protocol):
    """The table that all gateways share."""

    async def read_quotas(self, partner_ids: Sequence[str]) -> Sequence[StoredQuota]:
        """Return what is stored, with the database's clock; raises StoreUnavailable."""
        ...

    async def write_quotas(self, changed: Sequence[StoredQuota]) -> frozenset[str]:
        """Store those whose version is still the one that was read, and return their partners.

        Committed when it returns; after StoreUnavailable each may have been stored or not.
        """
        ...


class Quotas:
    """The accounts of all partners; *monotonic* is a clock in seconds.

    *callers* returns who may call, the same object until it changes: an account is ready before
    its first call.
    """

    def __init__(
        self,
        *,
        table: QuotaTable,
        callers: Callable[[], Mapping[bytes, Caller]],
        instance: int,
        incarnation: str,
        monotonic: Callable[[], float],
    ) -> None:
        self._table = table
        self._callers = callers
        self._known: Mapping[bytes, Caller] = {}
        self._instance = instance
        self._incarnation = incarnation
        self._monotonic = monotonic
        self._accounts: dict[str, Account] = {}
        self._wake = asyncio.Event()
        self._settling = asyncio.Lock()
        self._round: asyncio.Future[None] | None = None
        self._away = False
        self._late = False
        self._left = False

    def accounts(self) -> list[Account]:
        """Return every partner's account."""
        return list(self._accounts.values())

    def account(self, caller: Caller) -> Account:
        """Return the account of a caller's partner, at the limit that holds now."""
        account = self._accounts.get(caller.partner_id)
        if account is None:
            account = self._open(caller.partner_id, caller.calls_per_minute)
        elif account.limit != caller.calls_per_minute:
            account.change_limit(caller.calls_per_minute)
            self._wake.set()
        return account

    def take(self, account: Account, now: float) -> bool:
        """Let a call pass if a leased one is left; wakes the task when the next slice is wanted."""
        if not account.take(now):
            return False
        if account.granted - account.taken <= account.low:
            account.low = -1
            account.hurried = True
            self._wake.set()
        return True

    async def wait(self, account: Account) -> bool:
        """Let a call pass from the slice under way; False: the limit is used up.

        Raises StoreUnavailable when there is none within 250 ms.
        """
        if self._monotonic() < account.more_from:
            return False
        if self._away or self._late:
            raise StoreUnavailable("the quota can't be leased")
        account.waiting += 1
        try:
            async with asyncio.timeout(WAIT_S):
                while True:
                    self._wake.set()
                    await self._next_round()
                    now = self._monotonic()
                    if self.take(account, now):
                        return True
                    if now < account.more_from:
                        return False
                    if self._away:
                        raise StoreUnavailable("the quota can't be leased")
        except TimeoutError as error:
            self._late = True  # until it answers, nobody else waits for it
            raise StoreUnavailable("the quota could not be leased in time") from error
        finally:
            account.waiting -= 1

    async def run(self) -> None:
        """Lease and report for ever: each 0.5 s, and at once when a slice is half used."""
        clock = asyncio.get_running_loop().time
        next_tick = clock()
        while True:
            if clock() >= next_tick:
                next_tick = clock() + TICK_S
                self.tick()
            await self.settle_due()
            if self._away:  # requests must not make us ask faster
                await asyncio.sleep(TICK_S)
                continue
            try:
                async with asyncio.timeout_at(next_tick):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def tick(self) -> None:
        """Follow the partners and their limits, and let the pace of each fall to what it needs."""
        self._follow_directory()
        for account in self._accounts.values():
            account.tick()

    async def leave(self) -> None:
        """Give back what is leased, before this process ends; never fails."""
        self._left = True
        try:
            async with asyncio.timeout(LEAVE_S), self._settling:
                staying = list(self._accounts.values())
                while staying:
                    for batch in _batches(staying):
                        await self._settle(batch)
                    staying = [account for account in staying if account.hurried]
        except (StoreUnavailable, TimeoutError):
            log.warning("gateway.quotas.not_returned", hint="they count as used for a minute")

    def _open(self, partner_id: str, limit: int) -> Account:
        account = self._accounts[partner_id] = Account(partner_id=partner_id, limit=limit)
        self._wake.set()
        return account

    def _follow_directory(self) -> None:
        callers = self._callers()
        if callers is self._known:
            return
        self._known = callers
        limits = {each.partner_id: each.calls_per_minute for each in callers.values()}
        for partner_id, limit in limits.items():
            if partner_id not in self._accounts:
                self._open(partner_id, limit)
        for partner_id, account in self._accounts.items():
            # Who can't call any more holds nothing.
            if account.limit != (limit := limits.get(partner_id, 0)):
                account.change_limit(limit)

    async def _next_round(self) -> None:
        if self._round is None:
            self._round = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._round)

    async def settle_due(self) -> None:
        """Report and lease for whom there is something to report or to ask for; never fails."""
        self._wake.clear()
        if self._left:
            return
        now = self._monotonic()
        due = [account for account in self._accounts.values() if account.due(now)]
        try:
            async with self._settling:
                for batch in _batches(due):
                    await self._settle(batch)
        except StoreUnavailable as error:
            if not self._away:
                log.warning("gateway.quotas.unreachable", reason=str(error))
            self._away = True
        else:
            if due and self._away:
                log.info("gateway.quotas.reachable")
            if due:
                self._away = False
        finally:
            self._late = False
            ended, self._round = self._round, None
            if ended is not None and not ended.done():
                ended.set_result(None)

    async def _settle(self, accounts: Sequence[Account]) -> None:
        """Report and lease for some partners: read, decide, store unless another was faster."""
        asked_at = self._monotonic()
        by_partner = {account.partner_id: account for account in accounts}
        reports = {
            account.partner_id: account.report(
                asked_at, instance=self._instance, incarnation=self._incarnation
            )
            for account in accounts
        }
        settled: dict[str, Settlement] = {}
        changed: list[StoredQuota] = []
        for stored in await self._table.read_quotas(list(by_partner)):
            account, report = by_partner[stored.partner_id], reports[stored.partner_id]
            settlement = settle(
                stored.quota,
                report,
                account.need(report, leaving=self._left),
                limit=account.limit,
                now_ms=stored.now_ms,
            )
            account.lower(settlement)
            settled[stored.partner_id] = settlement
            changed.append(
                StoredQuota(
                    partner_id=stored.partner_id,
                    version=stored.version,
                    quota=settlement.quota,
                    now_ms=stored.now_ms,
                )
            )
        written = await self._table.write_quotas(changed)
        answered_at = self._monotonic()
        for stored in changed:
            account = by_partner[stored.partner_id]
            if stored.partner_id in written:
                account.confirm(
                    reports[stored.partner_id],
                    settled[stored.partner_id],
                    asked_at=asked_at,
                    answered_at=answered_at,
                    now_ms=stored.now_ms,
                )
            else:  # another gateway was faster: look again
                account.hurried = True
                self._wake.set()


def _batches(accounts: Iterable[Account]) -> list[list[Account]]:
    ordered = list(accounts)
    return [ordered[at : at + BATCH_MAX] for at in range(0, len(ordered), BATCH_MAX)]
