"""What every scenario stands on: stack, settings, one way to run load, the account of units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bench.generator import Plan
from bench.progress import Screen
from bench.row import Row
from bench.scrape import Scraper
from bench.seed import Inventory
from bench.settings import PARTNER_KEY, RunSettings
from bench.stack import Stack
from bench.workload import Step, run


@dataclass(slots=True)
class Account:
    """Units and requests of the whole run, as the clients saw them."""

    taken: Counter[int] = field(default_factory=Counter)
    given_back: Counter[int] = field(default_factory=Counter)
    accepted: int = 0
    activated: int = 0
    unresolved: int = 0

    def add(self, step: Step) -> None:
        """Take a step's units in."""
        self.taken.update(step.taken)
        self.given_back.update(step.given_back)
        self.accepted += step.accepted
        self.activated += step.activated
        self.unresolved += step.unresolved


@dataclass(slots=True, kw_only=True)
class Ground:
    """A running stack and how it is to be measured."""

    stack: Stack
    inventory: Inventory
    settings: RunSettings
    screen: Screen
    scraper: Scraper
    run_id: str
    account: Account = field(default_factory=Account)
    _plans: int = 0

    def plan(self, *, bodies: tuple[dict[str, Any], ...], **more: Any) -> Plan:
        """Return a plan with keys of its own: a repeated key would only measure replays."""
        self._plans += 1
        given: dict[str, Any] = {
            "host": self.stack.partner.connect_host,
            "port": self.stack.partner.port,
            "api_key": PARTNER_KEY,
            "key_prefix": f"bench-{self.run_id}-{self._plans}",
            "warm_up_s": self.settings.warm_up_s,
            "seconds": self.settings.seconds,
        }
        return Plan(bodies=bodies, **{**given, **more})

    async def load(self, plan: Plan, *, pids: Mapping[str, int] | None = None) -> list[Step]:
        """Run a plan against the gateway and account for it; raises WorkloadError."""
        steps = await run(
            plan=plan,
            pids=self.stack.pids if pids is None else pids,
            progress=self.screen.progress,
            scraper=self.scraper,
        )
        for step in steps:
            self.account.add(step)
        return steps


class Scenario(Protocol):
    """One thing to measure."""

    @property
    def name(self) -> str:
        """The name that --only takes."""

    @property
    def about(self) -> str:
        """One sentence for its table's title."""

    @property
    def once(self) -> bool:
        """Whether further rounds leave it out."""

    async def measure(self, ground: Ground) -> list[Row]:
        """Measure once; raises WorkloadError, StackMissing."""
