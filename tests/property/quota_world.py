"""Several gateways, one database and a clock: who let which call pass when.

The rules of `services.gateway.domain.quota` and `quota_account` with a naive count beside them.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Literal

from services.gateway.domain.quota import UNUSED, Quota, settle
from services.gateway.domain.quota_account import Account

Fault = Literal["none", "answer lost", "not stored"]
WINDOW_S = 60.0


@dataclass(frozen=True)
class Calls:
    """Calls arrive at a gateway."""

    gateway: int
    number: int


@dataclass(frozen=True)
class Sync:
    """A gateway reports and leases.

    Each step takes *step_s*; calls arrive and another gateway may sync between its reading
    and its writing.
    """

    gateway: int
    step_s: float = 0.001
    fault: Fault = "none"
    calls_between: int = 0
    rival: int | None = None
    leaving: bool = False
    waiting: int = 0


@dataclass(frozen=True)
class Wait:
    """Time passes; a gateway that does nothing meanwhile may as well be paused."""

    seconds: float


@dataclass(frozen=True)
class Restart:
    """A gateway dies without a word, and starts again."""

    gateway: int


@dataclass(frozen=True)
class Tick:
    """A gateway's half second is over."""

    gateway: int


Step = Calls | Sync | Wait | Restart | Tick


@dataclass
class QuotaWorld:
    """Runs steps and remembers when calls passed; *skew* is each gateway's own clock."""

    limit: int
    gateways: int
    skew: tuple[float, ...] = (0.0, 5000.25, 77.7, 123.4)
    now: float = 1_000_000.0
    version: int = 0
    quota: Quota = UNUSED
    passed: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    accounts: dict[int, Account] = field(default_factory=dict)
    incarnations: dict[int, int] = field(default_factory=dict)

    def account(self, gateway: int) -> Account:
        """Return a gateway's account."""
        return self.accounts.setdefault(gateway, Account(partner_id="p", limit=self.limit))

    def local(self, gateway: int) -> float:
        """Return a gateway's own clock."""
        return self.now + self.skew[gateway]

    def run(self, *steps: Step) -> None:
        """Take steps, one after another."""
        for step in steps:
            self.step(step)

    def step(self, step: Step) -> None:
        """Take one step."""
        match step:
            case Calls():
                self.call(step.gateway % self.gateways, step.number)
            case Wait():
                self.now += step.seconds
            case Restart():
                gateway = step.gateway % self.gateways
                self.accounts.pop(gateway, None)
                self.incarnations[gateway] = self.incarnations.get(gateway, 0) + 1
            case Tick():
                self.account(step.gateway % self.gateways).tick()
            case Sync():
                self.sync(step)

    def call(self, gateway: int, number: int) -> None:
        """Let calls arrive at a gateway."""
        account = self.account(gateway)
        for _ in range(number):
            if account.take(self.local(gateway)):
                self.passed.append(self.now)
                if account.granted - account.taken <= account.low:
                    account.low, account.hurried = -1, True
            else:
                self.refused.append(self.now)

    def sync(self, step: Sync) -> None:
        """Let a gateway report and lease: read, decide, write."""
        gateway = step.gateway % self.gateways
        account = self.account(gateway)
        asked_at = self.local(gateway)
        report = account.report(
            asked_at, instance=gateway, incarnation=str(self.incarnations.get(gateway, 0))
        )
        self.now += step.step_s
        version, quota, now_ms = self.version, self.quota, int(self.now * 1000)
        self.now += step.step_s
        self.call(gateway, step.calls_between)
        account.waiting = step.waiting
        settlement = settle(
            quota,
            report,
            account.need(report, leaving=step.leaving),
            limit=account.limit,
            now_ms=now_ms,
        )
        account.lower(settlement)
        account.waiting = 0
        if step.rival is not None and step.rival % self.gateways != gateway:
            self.sync(Sync(step.rival))
        self.now += step.step_s
        self.call(gateway, step.calls_between)
        if step.fault == "not stored" or self.version != version:
            account.hurried = True
            return
        self.version, self.quota = version + 1, settlement.quota
        if step.fault == "answer lost":
            account.hurried = True
            return
        account.confirm(
            report,
            settlement,
            asked_at=asked_at,
            answered_at=self.local(gateway),
            now_ms=now_ms,
        )

    def most_in_a_window(self) -> int:
        """Return the most calls that passed within any 60 seconds."""
        return max(
            (
                number + 1 - bisect_right(self.passed, last - WINDOW_S)
                for number, last in enumerate(self.passed)
            ),
            default=0,
        )
