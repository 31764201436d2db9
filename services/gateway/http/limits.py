"""How often somebody may call: by source address before the key, by partner after it.

The limit by address is coarse: it shields the work of authentication, in memory, and each
gateway has its own. The partner's is exact (`services.gateway.app.quotas`). Every answer
to an authenticated call says how much of it is left.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable

from aiohttp import web

from libs.runtime.metrics import Metrics
from services.gateway.app.quotas import Quotas
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.partner import Caller
from services.gateway.domain.quota_account import Account
from services.gateway.domain.refusal import Refusal
from services.gateway.domain.source_address import client_address, neighbourhood, parse_networks
from services.gateway.http.exchange import Exchange
from services.gateway.http.headers import (
    FORWARDED_FOR,
    RATE_LIMIT,
    RATE_LIMIT_POLICY,
    X_LIMIT,
    X_REMAINING,
    X_RESET,
)

BURST_S = 2.0
"""An address may call for so many seconds' worth at once."""

ADDRESSES_MAX = 10_000
WINDOWS_MAX = 4_096
WINDOW_S = 60.0
PRICING_CALLS_MAX = 120


class Sources:
    """Says which address a request is from; *trusted* are networks of our own proxies."""

    def __init__(self, trusted: str = "") -> None:
        self._trusted = parse_networks(trusted)

    def address(self, request: web.BaseRequest) -> str:
        """Return the address that a request is from; empty if the connection has none."""
        peer = request.remote or ""
        if not self._trusted:
            return peer
        forwarded = request.headers.getall(FORWARDED_FOR, ())
        return client_address(peer, forwarded, trusted=self._trusted)


class AddressRate:
    """So many calls a second from one address, with a burst (GCRA); *monotonic* is in seconds."""

    def __init__(self, *, calls_per_second: int, monotonic: Callable[[], float]) -> None:
        self._interval_s = 1 / calls_per_second
        self._ahead_s_max = BURST_S + self._interval_s / 2  # sums of fractions are not exact
        self._monotonic = monotonic
        # When an address has used up nothing any more; who called last is at the end.
        self._clear_at: OrderedDict[str, float] = OrderedDict()

    def take(self, address: str) -> Refusal | None:
        """Count a call; a refused one is not counted."""
        now = self._monotonic()
        source = neighbourhood(address)
        known = self._clear_at.get(source, now)
        clear_at = (known if known > now else now) + self._interval_s
        if clear_at - now > self._ahead_s_max:
            return _too_many_from_address(1)
        self._clear_at[source] = clear_at
        self._clear_at.move_to_end(source)
        if len(self._clear_at) > ADDRESSES_MAX:
            self._clear_at.popitem(last=False)
        return None


class AddressWindow:
    """So many calls in any 60 seconds from one address; *monotonic* is a clock in seconds."""

    def __init__(
        self, *, monotonic: Callable[[], float], calls_max: int = PRICING_CALLS_MAX
    ) -> None:
        self._calls_max = calls_max
        self._monotonic = monotonic
        self._calls: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, address: str) -> Refusal | None:
        """Count a call; a refused one is not counted."""
        now = self._monotonic()
        source = neighbourhood(address)
        calls = self._calls.setdefault(source, deque())
        while calls and calls[0] <= now - WINDOW_S:
            calls.popleft()
        self._calls.move_to_end(source)
        if len(self._calls) > WINDOWS_MAX:
            self._calls.popitem(last=False)
        if len(calls) >= self._calls_max:
            return _too_many_from_address(math.ceil(calls[0] + WINDOW_S - now), self._calls_max)
        calls.append(now)
        return None


class CallLimits:
    """Both limits of the partner API, and the headers that tell of the partner's."""

    def __init__(
        self,
        *,
        quotas: Quotas,
        sources: Sources,
        addresses: AddressRate,
        pricing: AddressWindow,
        metrics: Metrics,
        monotonic: Callable[[], float],
    ) -> None:
        self._quotas = quotas
        self.source = sources.address
        self._addresses = addresses
        self._pricing = pricing
        self._monotonic = monotonic
        self._refused_by_address = metrics.calls_over_limit.labels("address")
        self._refused_by_pricing = metrics.calls_over_limit.labels("pricing")
        self._refused_by_partner = metrics.calls_over_limit.labels("partner")

    def take_address(self, address: str) -> Refusal | None:
        """Count a call of an address."""
        refusal = self._addresses.take(address)
        if refusal is not None:
            self._refused_by_address.inc()
        return refusal

    def take_pricing(self, exchange: Exchange) -> Refusal | None:
        """Count a call of the public pricing API."""
        refusal = self._pricing.take(exchange.address)
        if refusal is not None:
            self._refused_by_pricing.inc()
        return refusal

    async def take(self, exchange: Exchange, caller: Caller) -> Refusal | None:
        """Count a call of a partner and note what its answer says of the limit.

        Raises StoreUnavailable when nobody can say whether one is left.
        """
        now = self._monotonic()
        account = self._quotas.account(caller)
        if self._quotas.take(account, now):
            exchange.limits = limit_headers(account, now)
            return None
        try:
            passed = await self._quotas.wait(account)
        except StoreUnavailable:
            exchange.limits = limit_headers(account, self._monotonic())
            raise
        now = self._monotonic()
        exchange.limits = limit_headers(account, now)
        if passed:
            return None
        self._refused_by_partner.inc()
        return _used_up(account, now)


def limit_headers(account: Account, now: float) -> dict[str, str]:
    """Return what an answer says of a partner's limit.

    The fields of the IETF's draft (draft-ietf-httpapi-ratelimit-headers-10), and the older
    habit. A sliding window has no end; what is said is when the next call becomes free.
    """
    limit = str(account.limit)
    left = str(account.remaining(now))
    free_in = str(min(60, account.more_in_s(now)))
    return {
        RATE_LIMIT_POLICY: f'"default";q={limit};w=60',
        RATE_LIMIT: f'"default";r={left};t={free_in}',
        X_LIMIT: limit,
        X_REMAINING: left,
        X_RESET: free_in,
    }


def _used_up(account: Account, now: float) -> Refusal:
    seconds = account.more_in_s(now)
    return Refusal(
        word="RATE_LIMIT_EXCEEDED",
        detail=f"Your limit of {account.limit} calls within 60 seconds is used up;"
        f" the next one is free in {seconds} s. Nothing was done.",
        extra={"limit": account.limit, "window_seconds": 60},
        retry_after_s=seconds,
    )


def _too_many_from_address(seconds: int, calls_max: int | None = None) -> Refusal:
    rule = "" if calls_max is None else f": {calls_max} within 60 seconds are the limit"
    return Refusal(
        word="RATE_LIMIT_EXCEEDED",
        detail=f"There are too many calls from your address{rule}. Nothing was done.",
        extra={} if calls_max is None else {"limit": calls_max, "window_seconds": 60},
        retry_after_s=seconds,
    )
