"""What was found: for each invariant how much was looked at, and what broke it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

INVARIANTS = {
    "I1": "no oversell",
    "I2": "conservation",
    "I3": "acknowledged is durable",
    "I4": "no phantom effect",
    "I5": "one key, one effect",
    "I6": "one terminal event",
    "I7": "activation is atomic",
    "I8": "expiry is timely",
    "I9": "release once",
    "I10": "one winner of each race",
    "I11": "tenant isolation",
    "I12": "pool separation",
    "I13": "monotone versions",
    "I14": "real-time order",
    "I15": "reads are states",
    "I16": "projections = replay",
    "I17": "publication complete",
    "I18": "fencing",
    "I19": "every command accounted for",
    "I20": "price",
    "I21": "rate limit",
    "I22": "audit chain",
    "I23": "tickets",
    "I24": "privacy",
}
KEPT_MAX = 50
"""Violations of one invariant that are kept; more of them are counted."""

EventPlace = tuple[str, int, int]
"""Service, partition and sequence number of an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One disagreement, and where its story is to be found.

    *events* are places of events that belong to it, *reservations* ids whose whole story
    does, *pool_no* a pool up to *until* (the place of the first disagreement). *calls* are
    line numbers of the client history.
    """

    invariant: str
    rule: str
    until: EventPlace | None = None
    pool_no: int | None = None
    reservations: tuple[str, ...] = ()
    events: tuple[EventPlace, ...] = ()
    calls: tuple[int, ...] = ()


@dataclass(slots=True)
class Verdicts:
    """Collects what the checks see.

    A check that looked at nothing has judged nothing: *reasons* says why.
    """

    looked: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def look(self, invariant: str, times: int = 1) -> None:
        """Count what a check has looked at."""
        self.looked[invariant] += times

    def violate(
        self,
        invariant: str,
        rule: str,
        *,
        until: EventPlace | None = None,
        pool_no: int | None = None,
        reservations: tuple[str, ...] = (),
        events: tuple[EventPlace, ...] = (),
        calls: tuple[int, ...] = (),
    ) -> None:
        """Record that *rule*, a sentence, was broken."""
        self.found[invariant] += 1
        if self.found[invariant] <= KEPT_MAX:
            self.violations.append(
                Violation(
                    invariant=invariant,
                    rule=rule,
                    until=until,
                    pool_no=pool_no,
                    reservations=reservations,
                    events=events,
                    calls=calls,
                )
            )

    def lack(self, invariant: str, reason: str) -> None:
        """Say why an invariant could not be judged; the first reason is kept."""
        self.reasons.setdefault(invariant, reason)

    def state(self, invariant: str) -> str:
        """Return ``passed``, ``violated`` or ``not judged``."""
        if self.found[invariant]:
            return "violated"
        return "passed" if self.looked[invariant] else "not judged"

    @property
    def violated(self) -> bool:
        """Whether anything was violated."""
        return bool(self.found)
