"""Entry point of `python -m tests.campaign.overload`: five times the load that the ledger can take.

The ledger's partitions are throttled by the test hook OTA_THROTTLE. One product is asked for far
too often; another one, and reads, go on beside it. Before, between and after is usual load. The
books are then held against what each client was told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg

from bench import facts
from bench.http1 import Response, Site
from bench.open_loop import OpenLoop, poisson
from bench.percentiles import summarise
from bench.settings import PARTNER_KEY, PARTNERS
from bench.tally import READ, RESERVE, Request, Tally
from bench.traffic import INVENTORY_PATH, RESERVE_PATH
from deploy import version
from deploy.local.settings import CHECKOUT
from libs.kernel.ids import command_id, reservation_id
from tests.campaign.platform import platform
from tests.campaign.report import write_overload
from tests.support.deciders import Deciders, ops_page

HOT, OTHER = 900, 901
"""Products whose pools have the same numbers, in partitions of their own."""
RECOVERY_S: Final = 5.0
USUAL_PER_S: Final = 50.0
OTHER_PER_S: Final = 20.0
READS_PER_S: Final = 20.0
DRAIN_TIMEOUT_S: Final = 15.0
NORMAL_MS: Final = 100.0
DURATION: Final = "http_server_request_duration_seconds"
HOT_CONNECTIONS: Final = 1_500
EVIDENCE: Final = CHECKOUT / "docs" / "evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long there is usual load, too much, and usual load again."""

    per_s: float
    overload_s: float
    before_s: float = 5.0
    after_s: float = 15.0

    @property
    def end_s(self) -> float:
        """When the overload ends."""
        return self.before_s + self.overload_s

    @property
    def total_s(self) -> float:
        """When all ends."""
        return self.end_s + self.after_s


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer: when its request was due, what it took until the answer, what it said."""

    began_at: float
    took_s: float
    status: int


@dataclass(slots=True)
class Asked:
    """A stream of requests of one kind, and the answers to them; see `bench.traffic.Traffic`."""

    site: Site
    product: int | None
    prefix: str
    samples: list[Sample] = field(default_factory=list)
    keys: dict[int, list[str]] = field(default_factory=dict)
    number: int = 0

    def next(self, client: int) -> Request | None:
        """See `bench.traffic.Traffic`."""
        if self.product is None:
            return Request(READ, self.site.bare("GET", INVENTORY_PATH))
        self.number += 1
        key = f"{self.prefix}-{self.number}"
        body = {"product_id": self.product, "quantity": 1}
        data = self.site.post(RESERVE_PATH, body).request(key)
        return Request(RESERVE, data, self.product, 1, reservation_id=key)

    def answered(self, client: int, request: Request, response: Response) -> None:
        """See `bench.traffic.Traffic`."""
        took_s = time.perf_counter() - request.began_at
        self.samples.append(Sample(request.began_at, took_s, response.status))
        if request.reservation_id is not None:
            self.keys.setdefault(response.status, []).append(request.reservation_id)


def arrivals(plan: Plan) -> list[float]:
    """Return when the hot product is asked for, in seconds from the start."""
    parts = (
        (0.0, plan.before_s, USUAL_PER_S),
        (plan.before_s, plan.overload_s, plan.per_s),
        (plan.end_s, plan.after_s, USUAL_PER_S),
    )
    return [
        begin_s + instant
        for seed, (begin_s, seconds, rate) in enumerate(parts)
        for instant in poisson(per_s=rate, seconds=seconds, seed=seed)
    ]


async def load(site: Site, plan: Plan) -> tuple[dict[str, Asked], int]:
    """Send everything; return it by name, and how many requests have no answer."""
    usual = {
        "hot": (HOT, arrivals(plan), HOT_CONNECTIONS),
        "other": (OTHER, poisson(per_s=OTHER_PER_S, seconds=plan.total_s, seed=8), 40),
        "reads": (None, poisson(per_s=READS_PER_S, seconds=plan.total_s, seed=9), 40),
    }
    asked, loops = {}, []
    for name, (product, instants, connections) in usual.items():
        asked[name] = Asked(site, product, f"overload-{name}")
        tally = Tally(main=RESERVE)
        loop = OpenLoop(site=site, traffic=asked[name], tally=tally, arrivals=instants)
        await loop.connect(connections)
        loops.append((loop, tally, len(instants)))
    began_at = time.perf_counter()
    for loop, _, _ in loops:
        loop.start(window_from_s=0, window_to_s=plan.total_s)
    for loop, _, _ in loops:
        await loop.finish(timeout_s=began_at + plan.total_s + DRAIN_TIMEOUT_S - time.perf_counter())
    for each in asked.values():
        each.samples = [
            Sample(sample.began_at - began_at, sample.took_s, sample.status)
            for sample in each.samples
        ]
    due = sum(number for _, _, number in loops)
    return asked, due - sum(len(each.samples) for each in asked.values())


def span(samples: Sequence[Sample], begin_s: float, end_s: float) -> dict[str, Any]:
    """Return the figures of requests that were due between two instants."""
    within = [each for each in samples if begin_s <= each.began_at < end_s]
    seconds = end_s - begin_s
    found: dict[str, Any] = {"offered_per_s": round(len(within) / seconds, 1)}
    for status, count in sorted(Counter(each.status for each in within).items()):
        latency = summarise([each.took_s for each in within if each.status == status])
        assert latency is not None
        found[str(status)] = {
            "per_s": round(count / seconds, 1),
            **{f"{name}_ms": round(getattr(latency, f"{name}_ms"), 1) for name in NAMES},
        }
    return found


NAMES: Final = ("p50", "p99", "max")


def figures(asked: Mapping[str, Asked], plan: Plan) -> dict[str, Any]:
    """Return the report's figures: by stretch, and second by second for the hot product."""
    stretches = {
        "before": (0.0, plan.before_s),
        "overload": (plan.before_s, plan.end_s),
        "recovery": (plan.end_s, plan.end_s + RECOVERY_S),
        "after": (plan.end_s + RECOVERY_S, plan.total_s),
    }
    hot = asked["hot"].samples
    seconds = []
    for second in range(int(plan.total_s)):
        within = [each for each in hot if second <= each.began_at < second + 1]
        by_status = Counter(each.status for each in within)
        p99 = {
            status: summarise([each.took_s for each in within if each.status == status])
            for status in (201, 503)
        }
        seconds.append(
            {
                "offered": len(within),
                "done": by_status[201],
                "refused": by_status[503],
                "other": len(within) - by_status[201] - by_status[503],
                "done_p99_ms": p99[201].p99_ms if p99[201] else None,
                "refused_p99_ms": p99[503].p99_ms if p99[503] else None,
            }
        )
    return {
        "stretches": {
            name: {kind: span(each.samples, *bounds) for kind, each in asked.items()}
            for name, bounds in stretches.items()
        },
        "slowest_ms": round(max(s.took_s for each in asked.values() for s in each.samples) * 1000),
        "seconds": seconds,
    }


async def held_by_key(deciders: Deciders) -> set[str]:
    """Return the reservation ids that the ledger has."""
    connection = await asyncpg.connect(deciders.env["OTA_INVENTORY_DSN"])
    try:
        rows = await connection.fetch("SELECT reservation_id FROM hold")
        return {row["reservation_id"] for row in rows}
    finally:
        await connection.close()


def disagreements(asked: Mapping[str, Asked], held: set[str]) -> dict[str, int]:
    """Count clients told 201 without a hold, and clients told 503 that have one (I3, I4)."""
    found: Counter[str] = Counter(lost=0, executed=0)
    for each in asked.values():
        for status, keys in each.keys.items():
            for key in keys:
                id = command_id(
                    partner_id=PARTNERS[0], method="POST", path=RESERVE_PATH, idempotency_key=key
                )
                is_held = reservation_id(command_id=id, pool_no=each.product or 0) in held
                found["lost"] += status == 201 and not is_held
                found["executed"] += status == 503 and is_held
    return dict(found)


def cpu_s(deciders: Deciders) -> dict[str, float]:
    """Return the CPU seconds that each service has used."""
    found = {}
    for name, process in deciders.processes.items():
        text = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
        found[name] = sum(map(int, text.split()[11:13])) / 100
    return found


async def measure(deciders: Deciders, plan: Plan) -> dict[str, Any]:
    """Run the load and return the result without what is known beforehand."""
    partner = deciders.processes["gateway"].partner
    assert partner is not None
    site = Site(host=partner.host, port=partner.port, api_key=PARTNER_KEY)
    before = cpu_s(deciders)
    asked, unanswered = await load(site, plan)
    after = cpu_s(deciders)
    told = disagreements(asked, await held_by_key(deciders))
    metrics = await ops_page(deciders.processes["gateway"], "/metrics")
    return {
        **figures(asked, plan),
        "unanswered": unanswered,
        "told_201_without_hold": told["lost"],
        "told_503_with_hold": told["executed"],
        "commands_shed": summed(metrics, "ota_commands_shed_total"),
        "requests_shed": summed(metrics, "ota_requests_shed_total"),
        "slow_by_the_gateways_clock": summed(metrics, f"{DURATION}_count")
        - summed(metrics, f"{DURATION}_bucket", 'le="2.0"'),
        "cpu_s": {name: round(after[name] - used, 1) for name, used in before.items()},
    }


def summed(metrics: str, name: str, label: str = "") -> int:
    """Return the sum of a metric over its labels, or over those with *label*."""
    return sum(
        int(float(line.split()[-1]))
        for line in metrics.splitlines()
        if line.startswith((f"{name} ", f"{name}{{")) and label in line
    )


def shortfalls(result: Mapping[str, Any], *, throttle: int) -> list[str]:
    """Return what is not as it must be."""
    stretches = result["stretches"]
    overload, after = stretches["overload"]["hot"], stretches["after"]["hot"]
    goodput = overload.get("201", {}).get("per_s", 0.0)
    found = []
    if goodput < 0.8 * throttle:
        found.append(f"goodput of {goodput:g}/s is below 80 % of {throttle}/s")
    if "503" not in overload:
        found.append("nothing was refused, so this was no overload")
    if set(overload) - {"offered_per_s", "201", "503"}:
        found.append(f"other answers than 201 and 503: {sorted(overload)}")
    if set(after) != {"offered_per_s", "201"} or after["201"]["p99_ms"] > NORMAL_MS:
        found.append(f"not back to normal {RECOVERY_S:g} s after the load: {after}")
    for name in ("other", "reads"):
        statuses = set(stretches["overload"][name]) - {"offered_per_s", "201", "200"}
        if statuses:
            found.append(f"{name} suffered: {sorted(statuses)}")
    if result["slowest_ms"] >= 2_000:
        found.append(f"an answer took {result['slowest_ms']} ms")
    for name in ("unanswered", "told_201_without_hold", "told_503_with_hold"):
        if result[name]:
            found.append(f"{result[name]} {name}")
    return found


def main() -> int:
    """Run it; return 1 if anything is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the overload lasts")
    parser.add_argument("--throttle", type=int, default=800, help="commands a second a partition")
    parser.add_argument("--times", type=float, default=5.0, help="load in times of the throttle")
    parser.add_argument("--without-shedding", action="store_true", help="the control")
    parser.add_argument("--report", help="name of the report in docs/evidence/ that is written")
    arguments = parser.parse_args()
    plan = Plan(per_s=arguments.times * arguments.throttle, overload_s=arguments.seconds)
    sheds = not arguments.without_shedding
    with platform(throttle=arguments.throttle, sheds=sheds) as deciders:
        found = asyncio.run(measure(deciders, plan))
    result = {
        "command": f"python -m {parser.prog.rpartition(' ')[2]} --seconds {arguments.seconds:g}"
        f" --throttle {arguments.throttle} --times {arguments.times:g}"
        f"{'' if sheds else ' --without-shedding'}",
        "machine": facts.machine(),
        "commit": version.commit(),
        "throttle_per_s": arguments.throttle,
        "times": arguments.times,
        "overload_s": arguments.seconds,
        **found,
        "shortfalls": shortfalls(found, throttle=arguments.throttle),
    }
    if arguments.report:
        write_overload(EVIDENCE, name=arguments.report, result=result)
    shown = {name: value for name, value in result.items() if name != "seconds"}
    print(json.dumps(shown, indent=1))
    return 1 if result["shortfalls"] else 0


if __name__ == "__main__":
    sys.exit(main())
