"""Entry point of `python -m bench`: arguments in, tables, a JSON file and a report out."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import aiohttp

from bench import facts, report, seed, suite
from bench.configuration import configuration, unsafe
from bench.ground import Ground, Scenario
from bench.hot_row import SCRIPT
from bench.progress import Screen
from bench.scenarios import ONLY_BY_NAME, SCENARIOS, chosen
from bench.scrape import Scraper
from bench.settings import DEFAULTS, RunSettings, SettingsError, parse
from bench.stack import StackMissing, find
from bench.table import render
from bench.tables import verdict_table
from bench.verdict import verdicts
from bench.workload import WorkloadError
from deploy import version
from deploy.local.settings import CHECKOUT
from deploy.local.settings import SettingsError as LauncherSettingsError
from deploy.local.settings import load as launcher_settings

EVIDENCE = CHECKOUT / "docs" / "evidence"
EXIT_OFF, EXIT_UNABLE = 1, 2
INTERRUPTED = 130

DESCRIPTION = f"""\
Measure the running stack (make up), every scenario but the last or those of --only, and check
every answer.
--quick takes about 3 minutes, --full about 20 with medians of 3 rounds. Scenarios:

{chr(10).join(f"  {each.name:<15} {each.about}" for each in (*SCENARIOS, *ONLY_BY_NAME))}
"""
EPILOG = f"""\
The figures: a second and latency as clients see them inside the measured window (warm-up left
out); CPU is what each process used per request, from /proc; batches and write times are the
services' own metrics. Generator and stack share the machine, so look at CPU per request first:
it is what a larger machine scales by.

SQL compared with: {SCRIPT.strip()}
The usual way: bench/usual_way.py

The first run loads deploy/seed/bench.toml (partners whose limits are above any load) and
deploy/seed/bench_catalogue.toml (products 900-903 and 910 in a channel of their own). Holds of a
run last a day and stay in memory as long; `make reset` removes all of it. Results are kept in
bench/results/: a JSON file, and a folder with report.md and its plots. Ends with 1 when an answer
was wrong, a unit is missing or a request had two effects, with 2 when it could not be run.
"""


def arguments() -> argparse.Namespace:
    """Parse the command line; flags win over variables."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kind = parser.add_mutually_exclusive_group()
    for name in ("quick", "full"):
        kind.add_argument(
            f"--{name}", dest="bench", action="store_const", const=name, help=f"as BENCH={name}"
        )
    parser.set_defaults(bench=os.environ.get("BENCH", ""))
    for name, text in (
        ("only", "scenarios by name, separated by commas"),
        ("rounds", "how often everything is measured; medians are reported"),
        ("clients", "numbers of connections of `reserve`, one step each"),
        ("products", "products of `reserve` that take turns, such as 900,901,902,903"),
        ("seconds", "length of a step's measured window"),
        ("warm-up-seconds", "time before it"),
    ):
        variable = f"BENCH_{name.replace('-', '_').upper()}"
        parser.add_argument(
            f"--{name}",
            metavar=name[0].upper(),
            default=os.environ.get(variable, ""),
            help=f"{text} ({variable}, default {DEFAULTS[variable]})",
        )
    parser.add_argument(
        "--report",
        metavar="NAME",
        default=os.environ.get("BENCH_REPORT", ""),
        help="also write docs/evidence/NAME.md and .json, as expiry (BENCH_REPORT)",
    )
    return parser.parse_args()


async def bench(*, settings: RunSettings, screen: Screen, evidence: str) -> int:
    """Prepare, measure, report; return the exit code. Raises StackMissing, WorkloadError."""
    scenarios = chosen(settings.only)
    started_at = datetime.now(UTC)
    machine, commit = facts.machine(), version.commit()
    stack, launcher = await find(), launcher_settings(process_environment=os.environ)
    timeout = aiohttp.ClientTimeout(total=seed.REQUEST_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        inventory = seed.Inventory(http=http, base_url=f"http://{stack.partner}")
        screen.progress("looking for the benchmark's partners and products")
        if await seed.ensure(stack=stack, inventory=inventory):
            screen.line("Loaded the benchmark's partners and products.")
        configured = await configuration(stack=stack, settings=launcher)
        show_configuration(screen, configured, machine=machine, commit=commit)
        ops = {name: str(address) for name, address in launcher.ops.items()}
        ground = Ground(
            stack=stack,
            inventory=inventory,
            settings=settings,
            screen=screen,
            scraper=Scraper(ops, http),
            run_id=secrets.token_hex(4),
        )
        outcome = await suite.run(ground=ground, scenarios=scenarios)
    found = verdicts(outcome.rows)
    conclude(screen, outcome, found)
    wrong = unsafe(configured)
    for text in wrong:
        screen.line(f"✗ not the production configuration: {text}")
    kind = "full" if settings.full else "quick"
    result = {
        "kind": kind,
        "passed": outcome.passed and not wrong,
        "started_at": started_at.isoformat(timespec="seconds"),
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "machine": machine,
        "configuration": configured,
        "settings": asdict(settings),
        "rows": [row.as_json() for row in outcome.rows],
        "rounds": [[row.as_json() for row in each] for each in outcome.rounds],
        "checks": [asdict(check) for check in outcome.checks],
        "memory": outcome.memory,
        "verdicts": [
            {"asked": each.asked.what, "measured": each.measured, "verdict": each.word}
            for each in found
        ],
    }
    path = facts.save(result=result, kind=kind, at=started_at)
    written = report.write(
        facts.folder(kind=kind, at=started_at),
        outcome=outcome,
        verdicts=found,
        scenarios=scenarios,
        facts={
            "measured": f"{started_at:%Y-%m-%d %H:%M} UTC, {kind}, rounds: {settings.rounds}",
            "on": headline(machine=machine, commit=commit),
        },
        configuration=configured,
    )
    if evidence:
        leave(evidence, settings=settings, outcome=outcome, scenarios=scenarios, result=result)
    screen.line(
        f"{'✓ all right' if result['passed'] else '✗ NOT all right'}; "
        f"written to {facts.shown(path)} and {facts.shown(written)}"
    )
    return 0 if result["passed"] else EXIT_OFF


def leave(
    name: str,
    *,
    settings: RunSettings,
    outcome: suite.Outcome,
    scenarios: Sequence[Scenario],
    result: Mapping[str, Any],
) -> None:
    """Write a run into docs/evidence under a name."""
    told = command(settings, name)
    report.evidence(
        EVIDENCE,
        name,
        outcome=outcome,
        verdicts=verdicts(outcome.rows),
        scenarios=scenarios,
        result={"command": told, **result},
        facts={
            "command": f"`{told}`, {result['started_at']}",
            "on": headline(machine=result["machine"], commit=result["commit"]),
        },
    )


def show_configuration(
    screen: Screen,
    configured: Mapping[str, Any],
    *,
    machine: Mapping[str, Any],
    commit: Mapping[str, Any],
) -> None:
    """Say on what and with what is measured."""
    screen.line(headline(machine=machine, commit=commit))
    for name, value in configured.items():
        screen.line(f"  {name}: {value}")
    screen.line()


def conclude(screen: Screen, outcome: suite.Outcome, found: list[Any]) -> None:
    """Write what the run says as a whole."""
    header, rows = verdict_table([each for each in found if each.measured is not None])
    if rows:
        screen.line("Asked and measured:")
        screen.line(render(header=header, rows=rows))
        screen.line()
    for text in outcome.memory:
        screen.line(f"  memory, {text}")
    for check in outcome.checks:
        screen.line(f"{'✓' if check.passed else '✗'} {check.text}")
    for fault in outcome.faults:
        screen.line(f"✗ {fault}")


def command(settings: RunSettings, evidence: str) -> str:
    """Return what repeats a run, on a stack that `make up` has started."""
    words = [
        f"BENCH={'full' if settings.full else 'quick'} BENCH_ROUNDS={settings.rounds}",
        *([f"BENCH_ONLY={','.join(settings.only)}"] if settings.only else []),
        f"BENCH_REPORT={evidence} make bench",
    ]
    return " ".join(words)


def headline(*, machine: Mapping[str, Any], commit: Mapping[str, Any]) -> str:
    """Say on what the figures were measured."""
    return (
        f"{machine['cores']} cores, {machine['processor']}, {machine['memory_gib']} GiB, "
        f"Python {machine['python']}, {version.named(commit)}"
    )


def main() -> int:
    """Run the benchmark; return the process's exit code."""
    given = arguments()
    screen = Screen(out=sys.stdout, terminal=sys.stdout.isatty())
    try:
        settings = parse({name: getattr(given, _attribute(name)) for name in DEFAULTS})
        return asyncio.run(bench(settings=settings, screen=screen, evidence=given.report))
    except (SettingsError, LauncherSettingsError, StackMissing, WorkloadError) as error:
        screen.line(f"✗ {error}")
        return EXIT_UNABLE
    except KeyboardInterrupt:
        return INTERRUPTED


def _attribute(variable: str) -> str:
    return variable.removeprefix("BENCH_").lower()


if __name__ == "__main__":
    sys.exit(main())
