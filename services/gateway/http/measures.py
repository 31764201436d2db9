"""What the gateway shows of its partners: their calls, their limits, when their keys end."""

from __future__ import annotations

import time
from collections.abc import Callable

from libs.events.requests import CommandClient, OutcomeUnknown, Reply, Request
from libs.runtime.metrics import PARTNERS_MAX, Metrics
from services.gateway.app.directory import Directory
from services.gateway.app.quotas import Quotas

OUTCOMES = ("answered", "refused", "limited", "failed")


class PartnerCalls:
    """Counts calls by partner and how they ended."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counts: dict[tuple[str, str], Callable[[], None]] = {}

    def count(self, partner_id: str, status: int) -> None:
        """Count a call that was answered with *status*."""
        key = (partner_id, outcome_of(status))
        count = self._counts.get(key)
        if count is None:
            self._meet(partner_id)
            count = self._counts[key]
        count()

    def _meet(self, partner_id: str) -> None:
        # All at once: an increase from nothing would not show.
        label = self._metrics.partners.name(partner_id)
        for outcome in OUTCOMES:
            self._counts[partner_id, outcome] = self._metrics.partner_calls.labels(
                label, outcome
            ).inc


def outcome_of(status: int) -> str:
    """Return what a call's status says of who was at fault, if anybody."""
    if status < 400:
        return "answered"
    if status == 429:
        return "limited"
    return "refused" if status < 500 else "failed"


class MeasuredClient:
    """A command client that observes how long answers take; see `CommandClient`."""

    def __init__(
        self, client: CommandClient, *, metrics: Metrics, pending: Callable[[], int]
    ) -> None:
        self._client = client
        self._metrics = metrics
        self._observers: dict[tuple[str, str], Callable[[float], None]] = {}
        metrics.at_scrape(lambda: metrics.commands_pending.set(pending()))

    def check(self, *, topic: str, partition: int) -> None:
        """See `libs.events.requests.CommandClient.check`."""
        self._client.check(topic=topic, partition=partition)

    async def submit(self, request: Request, *, timeout_s: float) -> Reply:
        """See `libs.events.requests.CommandClient.submit`."""
        started, outcome = time.monotonic(), "not_executed"
        try:
            reply = await self._client.submit(request, timeout_s=timeout_s)
            outcome = "answered"
            return reply
        except OutcomeUnknown:
            outcome = "unknown"
            raise
        finally:
            self._observe(request.topic, outcome, time.monotonic() - started)

    def _observe(self, topic: str, outcome: str, duration_s: float) -> None:
        observe = self._observers.get((topic, outcome))
        if observe is None:
            for each in ("answered", "unknown", "not_executed"):
                made = self._metrics.command_round_trip_seconds.labels(topic, each).observe
                self._observers[topic, each] = made
            observe = self._observers[topic, outcome]
        observe(duration_s)


def watch_partners(
    metrics: Metrics, *, directory: Directory, quotas: Quotas, monotonic: Callable[[], float]
) -> None:
    """Have limits, ends of keys and the directory's age shown at each scrape."""

    def show() -> None:
        metrics.directory_version.set(directory.version)
        metrics.directory_unconfirmed_seconds.set(directory.unconfirmed_s)
        metrics.partner_limit_calls.clear()
        metrics.partner_remaining_calls.clear()
        now = monotonic()
        for account in quotas.accounts()[:PARTNERS_MAX]:
            metrics.partner_limit_calls.labels(account.partner_id).set(account.limit)
            metrics.partner_remaining_calls.labels(account.partner_id).set(account.remaining(now))
        metrics.partner_access_ends.clear()
        for partner_id, ends_at in list(_access_ends(directory).items())[:PARTNERS_MAX]:
            metrics.partner_access_ends.labels(partner_id).set(ends_at)

    metrics.at_scrape(show)


def _access_ends(directory: Directory) -> dict[str, float]:
    """Return when the last key of each partner ends; partners with an endless key are left out."""
    ends: dict[str, float] = {}
    endless: set[str] = set()
    for caller in directory.callers.values():
        if caller.expires_at is None or caller.suspended:
            endless.add(caller.partner_id)
        else:
            ends_at = caller.expires_at.timestamp()
            ends[caller.partner_id] = max(ends_at, ends.get(caller.partner_id, 0.0))
    return {partner_id: at for partner_id, at in ends.items() if partner_id not in endless}
