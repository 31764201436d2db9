"""`make bench-scale`: one, two and four instances of inventory, one and two gateways.

On a stack of its own with fresh data; all of it on this machine, so the figures say what an
instance costs at least as much as what it brings.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import aiohttp

from bench import facts, probe
from bench.instances import Instances, owners, running
from bench.ledger import Ledger
from bench.own_stack import fresh_stack
from bench.progress import Screen
from bench.seed import Inventory
from bench.settings import HOT_PRODUCT, SPREAD_PRODUCTS
from bench.stack import Stack, StackMissing
from bench.table import Cell, render
from bench.workload import GENERATOR, Step, WorkloadError, run
from deploy import version
from deploy.local.settings import Address, SettingsError

SHAPES = ((1, 1), (2, 1), (4, 1), (1, 2), (2, 2), (4, 2))
LOADS = (("four products", SPREAD_PRODUCTS), ("hot product", (HOT_PRODUCT,)))
CLIENTS = (32, 128)
SPREAD_UNITS = len(SPREAD_PRODUCTS) * 100_000_000  # deploy/seed/bench_catalogue.toml
FIGURES_S = 2.0
EXIT_OFF, EXIT_UNABLE, INTERRUPTED = 1, 2, 130
CREATED = frozenset({"201"})
SHOWN = ("gateway", "inventory", "reservation", "fulfillment", "kafka", "postgres", GENERATOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One load on one shape; latencies are the worst of the gateways', CPU in us a reserve."""

    inventories: int
    gateways: int
    load: str
    clients: int
    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: dict[str, float]

    def us(self, name: str) -> float:
        """Return the CPU of a service, all of its instances together."""
        return sum(
            us
            for each, us in self.cpu_us.items()
            if each == name or each.startswith((f"{name}-", f"{name} "))
        )


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--seconds", type=int, default=6, help="length of a measured window (6)")
    parser.add_argument("--warm-up-seconds", type=int, default=2, help="time before it (2)")
    parser.add_argument(
        "--shapes",
        default=",".join(f"{inventories}x{gateways}" for inventories, gateways in SHAPES),
        help="inventories x gateways, such as 1x1,4x2",
    )
    given = parser.parse_args()
    try:
        given.shapes = [tuple(map(int, each.split("x"))) for each in given.shapes.split(",")]
        if not all(len(each) == 2 and 1 <= min(each) and max(each) <= 4 for each in given.shapes):
            raise ValueError
    except ValueError:
        parser.error("--shapes takes pairs of numbers from 1 to 4, such as 1x1,4x2")
    return given


async def scale(*, given: argparse.Namespace, screen: Screen) -> bool:
    """Measure every shape, show and keep; return whether every answer was right."""
    at = datetime.now(UTC)
    machine, commit = facts.machine(), version.commit()
    figures: list[Figure] = []
    faults: list[str] = []
    accepted = 0
    async with fresh_stack(name="scale", screen=screen) as (_, stack):
        await probe.prepare(stack=stack)
        for inventories, gateways in given.shapes:
            shape = f"{inventories} inventories, {gateways} gateways"
            screen.progress(f"{shape} start")
            async with running(
                stack=stack, inventories=inventories, gateways=gateways
            ) as instances:
                screen.line(f"{shape}: {_ownership(await owners(stack=stack), instances)}")
                for load, products in LOADS:
                    for clients in CLIENTS:
                        steps = await _load(stack, instances, products, clients, given, screen)
                        for word, count in unexpected(steps).items():
                            faults.append(f"{shape}, {load}: {count} answers were {word!r}")
                        figures.append(together(steps, shape=(inventories, gateways), load=load))
                        accepted += sum(step.accepted for step in steps)
                faults += await disagreements(stack, instances, accepted=accepted)
    text = report(figures)
    screen.line()
    screen.line(text)
    for fault in faults:
        screen.line(f"✗ {fault}")
    result = {
        "kind": "scale",
        "started_at": at.isoformat(timespec="seconds"),
        "commit": commit,
        "machine": machine,
        "figures": [asdict(each) for each in figures],
        "faults": faults,
    }
    path = facts.save(result=result, kind="scale", at=at)
    page = path.with_suffix(".md")
    page.write_text(f"# Scale-out\n\n```\n{text}\n```\n", encoding="utf-8")
    screen.line(f"written to {facts.shown(path)} and {facts.shown(page)}")
    return not faults


async def disagreements(stack: Stack, instances: Instances, *, accepted: int) -> list[str]:
    """Return where the ledger is not what clients were told, or a gateway not what it says.

    *accepted* are all units since the data was fresh.
    """
    left = (await Ledger(stack.admin_dsn).standing()).left
    missing = SPREAD_UNITS - sum(left[product] for product in SPREAD_PRODUCTS)
    found = [] if missing == accepted else [f"{missing:,} units are gone, {accepted:,} were taken"]
    await asyncio.sleep(FIGURES_S)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        for partner in instances.partners:
            shown = await Inventory(http=http, base_url=f"http://{partner}").available()
            found += [
                f"the gateway at {partner} shows {shown[product]:,} of product {product}, "
                f"the ledger has {left[product]:,}"
                for product in SPREAD_PRODUCTS
                if shown[product] != left[product]
            ]
    return found


async def _load(
    stack: Stack,
    instances: Instances,
    products: tuple[int, ...],
    clients: int,
    given: argparse.Namespace,
    screen: Screen,
) -> list[Step]:
    """Run one generator for each gateway at the same time, the connections shared out."""
    others = {name: pid for name, pid in stack.pids.items() if name not in ("gateway", "inventory")}

    async def one(partner: Address, *, first: bool) -> Step:
        plan = probe.plan_of(
            stack=stack,
            clients=clients // len(instances.partners),
            warm_up_s=given.warm_up_seconds,
            seconds=given.seconds,
            products=products,
            host=partner.connect_host,
            port=partner.port,
        )
        pids = {**others, **instances.pids} if first else {}
        return (await run(plan=plan, pids=pids, progress=screen.progress))[0]

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(one(partner, first=number == 0), name=f"generator {number + 1}")
            for number, partner in enumerate(instances.partners)
        ]
    return [task.result() for task in tasks]


def together(steps: Sequence[Step], *, shape: tuple[int, int], load: str) -> Figure:
    """Return what simultaneous generators measured as one figure; raises WorkloadError."""
    latencies = [step.latency for step in steps if step.latency is not None]
    if len(latencies) < len(steps):
        raise WorkloadError(f"{load}: nothing was answered: {dict(steps[0].outcomes)}")
    answers = sum(step.answers_in_window for step in steps)
    seconds: Counter[str] = Counter()
    for step in steps:
        seconds.update({name: used for name, used in step.cpu_s.items() if "/" not in name})
    return Figure(
        inventories=shape[0],
        gateways=shape[1],
        load=load,
        clients=sum(step.clients for step in steps),
        per_s=round(sum(step.per_s for step in steps), 1),
        p50_ms=max(each.p50_ms for each in latencies),
        p99_ms=max(each.p99_ms for each in latencies),
        cpu_us={name: round(used / answers * 1e6, 1) for name, used in seconds.items()},
    )


def unexpected(steps: Sequence[Step]) -> dict[str, int]:
    """Return the answers that were not 201."""
    found: Counter[str] = Counter()
    for step in steps:
        found.update(step.unexpected(expected=CREATED))
    return dict(found)


def report(figures: Sequence[Figure]) -> str:
    """Return the table of all shapes."""
    rows: list[list[Cell]] = [
        [
            each.load,
            each.clients,
            each.inventories,
            each.gateways,
            each.per_s,
            each.p50_ms,
            each.p99_ms,
            *(each.us(name) for name in SHOWN),
            sum(each.us(name) for name in SHOWN),
        ]
        for each in sorted(figures, key=lambda each: (each.load, each.clients))
    ]
    names = [f"{name} us" for name in SHOWN]
    header = (
        *("load", "clients", "inventories", "gateways", "a second", "p50 ms", "p99 ms"),
        *names,
        "in all us",
    )
    return render(header=header, rows=rows)


def _ownership(found: dict[int, int], instances: Instances) -> str:
    names = {pid: name for name, pid in instances.pids.items()}
    return ", ".join(
        f"partition {partition} at {names.get(pid, pid)}"
        for partition, pid in sorted(found.items())
    )


def main() -> int:
    """Measure scale-out; return the process's exit code."""
    given = arguments()
    screen = Screen(out=sys.stdout, terminal=sys.stdout.isatty())
    code = 0
    try:
        code = 0 if asyncio.run(scale(given=given, screen=screen)) else EXIT_OFF
    except* (StackMissing, WorkloadError, SettingsError) as group:
        for error in group.exceptions:
            screen.line(f"✗ {error}")
        code = EXIT_UNABLE
    except* KeyboardInterrupt:
        code = INTERRUPTED
    return code


if __name__ == "__main__":
    sys.exit(main())
