"""Entry point of `python -m bench`: arguments in, tables and a JSON file out."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp

from bench import facts, load, rush, seed
from bench.hot_row import SCRIPT
from bench.progress import Screen
from bench.settings import DEFAULTS, LoadSettings, SettingsError, parse
from bench.stack import Stack, StackMissing, find
from bench.workload import WorkloadError
from deploy.local.settings import SettingsError as LauncherSettingsError

EXIT_OFF, EXIT_UNABLE = 1, 2
INTERRUPTED = 130

DESCRIPTION = """\
Measure the running stack (make up) with one canonical workload, and check every answer.

load (default)
  Closed loop: so many keep-alive connections, each sends POST /api/ota/reserve for 1 unit of
  one hot product and goes on when it is answered. Beside it in the same run: a bare aiohttp
  echo, and pgbench updating one hot row on the same PostgreSQL. At the end the stock must have
  fallen by exactly the accepted units.
rush
  400 clients at once, 10 units each, 2000 units: exactly 200 may win. Once per `make reset`.
"""
EPILOG = f"""\
The figures: req/s and latency as clients see them inside the measured window (warm-up left
out); CPU is what each process used per request, from /proc. Generator and stack share the
machine, so look at CPU per request first: it is what a larger machine scales by.

SQL compared with: {SCRIPT.strip()}

The first run loads deploy/seed/bench.toml (a partner whose limit is above any load) and
deploy/seed/bench_catalogue.toml (products 900-903 and 910 in a channel of their own). Holds of a
run last a day; `make reset` removes all of it. Results are kept in bench/results/ as JSON. Ends
with 1 when an answer was wrong or a unit is missing, with 2 when it could not be run.
"""


def arguments() -> argparse.Namespace:
    """Parse the command line; flags win over variables."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", nargs="?", choices=("load", "rush"), default="load")
    for name, text in (
        ("clients", "numbers of clients, one step each"),
        ("seconds", "length of a step's measured window"),
        ("warm-up-seconds", "time before it"),
        ("products", "products that take turns, such as 900,901,902,903 for all partitions"),
    ):
        variable = f"BENCH_{name.replace('-', '_').upper()}"
        parser.add_argument(
            f"--{name}",
            metavar=name[0].upper(),
            default=os.environ.get(variable, ""),
            help=f"{text} ({variable}, default {DEFAULTS[variable]})",
        )
    return parser.parse_args()


async def bench(*, kind: str, settings: LoadSettings, screen: Screen) -> int:
    """Prepare, measure, report; return the exit code. Raises StackMissing, WorkloadError."""
    started_at = datetime.now(UTC)
    machine, commit = facts.machine(), facts.commit()
    stack = await find()
    timeout = aiohttp.ClientTimeout(total=seed.REQUEST_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        inventory = seed.Inventory(http=http, base_url=f"http://{stack.partner}")
        screen.progress("looking for the benchmark's partner and products")
        if await seed.ensure(stack=stack, inventory=inventory):
            screen.line("Loaded the benchmark's partner and products.")
        screen.line(headline(machine=machine, commit=commit))
        screen.line()
        passed, figures = await _measure(
            kind=kind, stack=stack, inventory=inventory, settings=settings, screen=screen
        )
    result = {
        "kind": kind,
        "started_at": started_at.isoformat(timespec="seconds"),
        "commit": commit,
        "machine": machine,
        **figures,
    }
    path = facts.save(result=result, kind=kind, at=started_at)
    verdict = "✓ all right" if passed else "✗ NOT all right"
    screen.line(f"{verdict}; written to {facts.shown(path)}")
    return 0 if passed else EXIT_OFF


async def _measure(
    *, kind: str, stack: Stack, inventory: seed.Inventory, settings: LoadSettings, screen: Screen
) -> tuple[bool, dict[str, Any]]:
    # Fresh idempotency keys each run: a repeated one would only measure replays.
    run_id = secrets.token_hex(4)
    if kind == "rush":
        rushed = await rush.measure(stack=stack, inventory=inventory, screen=screen, run_id=run_id)
        load.show(screen, [rushed.step], names=load.COLUMNS)
        for text, passed in rushed.checks():
            screen.line(f"{'✓' if passed else '✗'} {text}")
        return rushed.passed, rush.as_json(rushed)
    loaded = await load.measure(
        stack=stack, inventory=inventory, settings=settings, screen=screen, run_id=run_id
    )
    for line in load.remarks(loaded):
        screen.line(line)
    return loaded.passed, load.as_json(loaded, settings=settings)


def headline(*, machine: Mapping[str, Any], commit: Mapping[str, Any]) -> str:
    """Say on what the figures were measured."""
    changed = " with changes" if commit["changed_files"] else ""
    return (
        f"{machine['cores']} cores, {machine['processor']}, {machine['memory_gib']} GiB, "
        f"Python {machine['python']}, commit {(commit['id'] or 'unknown')[:12]}{changed}"
    )


def main() -> int:
    """Run the benchmark; return the process's exit code."""
    given = arguments()
    screen = Screen(out=sys.stdout, terminal=sys.stdout.isatty())
    try:
        settings = parse({name: getattr(given, _attribute(name)) for name in DEFAULTS})
        return asyncio.run(bench(kind=given.kind, settings=settings, screen=screen))
    except (SettingsError, LauncherSettingsError, StackMissing, WorkloadError) as error:
        screen.line(f"✗ {error}")
        return EXIT_UNABLE
    except KeyboardInterrupt:
        return INTERRUPTED


def _attribute(variable: str) -> str:
    return variable.removeprefix("BENCH_").lower()


if __name__ == "__main__":
    sys.exit(main())
