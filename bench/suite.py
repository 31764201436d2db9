"""Runs the chosen scenarios round by round, shows each, and proves the run at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.ground import Ground, Scenario
from bench.idle import memory_mib
from bench.ledger import Ledger
from bench.proof import Check, checks
from bench.row import Row, medians
from bench.tables import show

GROWING = ("inventory", "reservation", "fulfillment", "gateway", "postgres")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Everything that a run has found."""

    rounds: tuple[tuple[Row, ...], ...]
    rows: tuple[Row, ...]
    checks: tuple[Check, ...]
    memory: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Say whether every answer was right and every check holds."""
        return all(check.passed for check in self.checks) and not self.faults

    @property
    def faults(self) -> list[str]:
        """Return what went wrong, with where."""
        return [f"{row.scenario}, {row.label}: {text}" for row in self.rows for text in row.faults]


async def run(*, ground: Ground, scenarios: Sequence[Scenario]) -> Outcome:
    """Run everything; raises WorkloadError, StackMissing."""
    ledger = Ledger(ground.stack.admin_dsn)
    before = await ledger.standing()
    memory_before = memory_mib(ground.stack.pids)
    rounds: list[tuple[Row, ...]] = []
    for number in range(ground.settings.rounds):
        if ground.settings.rounds > 1:
            ground.screen.line(f"Round {number + 1} of {ground.settings.rounds}")
            ground.screen.line()
        found: list[Row] = []
        for scenario in scenarios:
            if number and scenario.once:
                continue
            ground.screen.progress(scenario.name)
            rows = await scenario.measure(ground)
            show(ground.screen, scenario, rows)
            found.extend(rows)
        rounds.append(tuple(found))
    ground.screen.progress("comparing the ledger with what clients were told")
    after = await ledger.standing()
    seen = await ground.inventory.available()
    since = await ledger.since(before)
    rows = medians([row for each in rounds for row in each])
    return Outcome(
        rounds=tuple(rounds),
        rows=tuple(rows),
        checks=tuple(
            checks(account=ground.account, before=before, after=after, since=since, seen=seen)
        ),
        memory=_memory(
            before=memory_before, after=memory_mib(ground.stack.pids), holds=since.holds
        ),
    )


def _memory(*, before: dict[str, float], after: dict[str, float], holds: int) -> tuple[str, ...]:
    """Say how memory grew with the holds of the run, which last a day."""
    if not holds:
        return ()
    return tuple(
        f"{name}: {before[name]:.0f} -> {after[name]:.0f} MiB, "
        f"{(after[name] - before[name]) * 2**20 / holds:,.0f} bytes a hold of this run"
        for name in GROWING
        if name in before and name in after
    )
