"""What a campaign leaves behind: figures as JSON, tables to read, and a plot that loads nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy import version
from deploy.plotting import library, svg


def write_overload(folder: Path, *, name: str, result: Mapping[str, Any]) -> None:
    """Write an overload's result into *folder*: ``name.md``, ``name.json`` and ``name.svg``."""
    _write(folder, name, result)
    (folder / f"{name}.svg").write_bytes(_plot(result["seconds"]))
    rows = []
    for stretch, kinds in result["stretches"].items():
        for kind, figures in kinds.items():
            for status in figures:
                if status != "offered_per_s":
                    each = figures[status]
                    latencies = [f"{each[f'{of}_ms']:g}" for of in ("p50", "p99", "max")]
                    rows.append([stretch, kind, status, f"{each['per_s']:g}", *latencies])
    asked_per_s = result["times"] * result["throttle_per_s"]
    lines = [
        f"# Overload: {result['times']:g} times {result['throttle_per_s']} commands a second",
        "",
        *_origin(result),
        "",
        (
            f"One product is asked for {asked_per_s:,.0f} times a second for"
            f" {result['overload_s']:g} s; its partition of the ledger decides"
            f" {result['throttle_per_s']} a second (test hook `OTA_THROTTLE`). Another product"
            " and reads go on beside it. Latencies, in milliseconds, count from when a request was"
            " due."
        ),
        "",
        *_table(["stretch", "requests", "status", "a second", "p50", "p99", "max"], rows),
        "",
        (
            f"Slowest answer: {result['slowest_ms']} ms; of 2 s or more by the gateway's clock:"
            f" {result['slow_by_the_gateways_clock']}. Requests without an answer:"
            f" {result['unanswered']}. Told 201 without a hold: {result['told_201_without_hold']};"
            f" told 503 with one: {result['told_503_with_hold']}."
        ),
        "",
        f"CPU seconds: {', '.join(f'{who} {used:g}' for who, used in result['cpu_s'].items())}.",
        "",
        f"![second by second]({name}.svg)",
        "",
        "Not as it must be: " + ("; ".join(result["shortfalls"]) or "nothing") + ".",
    ]
    (folder / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_bounded(folder: Path, *, name: str, result: Mapping[str, Any]) -> None:
    """Write what each endpoint took under each fault: ``name.md`` and ``name.json``."""
    _write(folder, name, result)
    faults = result["faults"]
    summary = [
        [fault, f"{each['answers']:,}", f"{each['slowest_ms']}", f"{each['recovered_s']:g}"]
        for fault, each in faults.items()
    ]
    endpoints = next(iter(faults.values()))["endpoints"]
    rows = [
        [endpoint, *(str(each["endpoints"][endpoint]["slowest_ms"]) for each in faults.values())]
        for endpoint in endpoints
    ]
    lines = [
        "# Every endpoint under every fault",
        "",
        *_origin(result),
        "",
        (
            "Each endpoint is called by two clients without pause while something behind the"
            " gateway is frozen (SIGSTOP) or killed (SIGKILL). An answer must come within 2,000 ms."
        ),
        "",
        *_table(["fault", "answers", "slowest, ms", "all well again after, s"], summary),
        "",
        "The slowest answer of each endpoint, in milliseconds:",
        "",
        *_table(["endpoint", *faults], rows),
        "",
        "Not as it must be: " + ("; ".join(result["broken"]) or "nothing") + ".",
    ]
    (folder / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_neighbours(folder: Path, *, name: str, result: Mapping[str, Any]) -> None:
    """Write what clients notice of one another: ``name.md`` and ``name.json``."""
    _write(folder, name, result)
    stretches = [
        [stretch, f"{each['calls']:,}", f"{each['p50_ms']:g}", f"{each['p99_ms']:g}"]
        for stretch, each in result["latencies"].items()
    ]
    ratios = [
        [who, f"{ratio:g}", ", ".join(map(str, result["p99_ratios"][who]))]
        for who, ratio in result["p99_ratio"].items()
    ]
    told = [
        [
            what,
            str(each["foreign_p50_us"]),
            str(each["unknown_p50_us"]),
            str(each["foreign_longer"]),
        ]
        for what, each in result["told_by_time"].items()
    ]
    greedy = ", ".join(
        f"{count:,} x {status}" for status, count in result["greedy_answers"].items()
    )
    lines = [
        "# What one client notices of others",
        "",
        *_origin(result),
        "",
        (
            "Good clients read and reserve 100 times a second (an open loop), alone and beside a"
            f" partner that asks ten times what it may (it got {greedy}), alone and beside hostile"
            " clients (400 idle connections, slow heads, half bodies, clients that leave). Their"
            " p99 may rise by less than a fifth; the median of the rounds is judged."
        ),
        "",
        *_table(["good clients", "calls", "p50, ms", "p99, ms"], stretches),
        "",
        *_table(["beside", "p99, times what it is alone", "of each round"], ratios),
        "",
        (
            "What was reserved at one gateway is shown to others by the other gateway"
            " {p50_ms:g} ms after its 201 (p50; p99 {p99_ms:g}, slowest {max_ms:g}; {reserves:,}"
            " reserves; 100 ms is allowed for the p99).".format(**result["seen_elsewhere"])
        ),
        "",
        (
            "A 404 for another partner's id and one for an id that nobody has, asked in turns. The"
            " last column is the chance that the foreign one takes longer: 0.5 tells nothing,"
            " 0.45 to 0.55 is allowed."
        ),
        "",
        *_table(["of", "foreign, p50, us", "unknown, p50, us", "foreign longer"], told),
        "",
        "Not as it must be: " + ("; ".join(result["broken"]) or "nothing") + ".",
    ]
    (folder / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write(folder: Path, name: str, result: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _origin(result: Mapping[str, Any]) -> list[str]:
    machine = result["machine"]
    return [
        (
            f"`{result['command']}` on {version.named(result['commit'])};"
            f" {machine['cores']} cores ({machine['processor']}), load generator included;"
            f" load average at the end {machine['load_average_before']}."
        )
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def _plot(seconds: Sequence[Mapping[str, Any]]) -> bytes:
    plot = library().Line(
        js=[],
        width=900,
        height=420,
        legend_at_bottom=True,
        show_dots=False,
        x_title="seconds",
        y_title="a second",
        title="The hot product: offered, done, refused; p99 in ms on the right",
        x_labels=[str(second) for second in range(len(seconds))],
        x_labels_major_every=10,
        show_minor_x_labels=False,
    )
    for series in ("offered", "done", "refused"):
        plot.add(series, [second[series] for second in seconds])
    for series in ("done_p99_ms", "refused_p99_ms"):
        plot.add(series, [second[series] for second in seconds], secondary=True)
    return svg(plot)
