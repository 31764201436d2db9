"""Prometheus and Alertmanager beside the local stack, and what they scrape and tell.

Off with OTA_MONITORING=0. All their files are in the folder ``monitoring`` of the data folder.
"""

from __future__ import annotations

import http.client
import shutil
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from deploy.local.machine import Finding
from deploy.local.plan import Kind, Plan, Step
from deploy.local.processes import Command
from deploy.local.settings import CHECKOUT, Address, Settings
from deploy.monitoring.servers import alertmanager_config, prometheus_config, targets_file

RULES: Final = ("recording.yml", "alerts.yml")
PROGRAMS: Final = {
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "prometheus-node-exporter": "prometheus-node-exporter",
}
"""Debian's packages and the programs that they bring."""


def find_monitoring() -> list[Finding]:
    """Look for the programs, with promtool and amtool for the tests of the rules."""
    found = []
    for package, program in PROGRAMS.items():
        place = shutil.which(program)
        problem = "" if place else f"{program} not found (OTA_MONITORING=0 does without it)"
        found.append(Finding(program, package, Path(place) if place else None, problem))
    return found


def with_monitoring(plan: Plan, settings: Settings) -> Plan:
    """Return the plan with the processes that watch the stack: up first, and down first."""
    running = [step for steps in plan.instances.values() for step in steps[:-1]]
    steps = monitoring_steps(settings, {step.name: step.ops for step in running if step.ops})
    return replace(
        plan,
        infrastructure=(*plan.infrastructure, *steps),
        stop_order=(tuple(step.name for step in steps), *plan.stop_order),
    )


def monitoring_steps(settings: Settings, ops: Mapping[str, Address]) -> tuple[Step, ...]:
    """Return the processes that watch the stack; none when they are switched off.

    *ops* are the ops ports of the services' processes.
    """
    at = settings.monitoring
    if not at:
        return ()
    folder = settings.data_dir / "monitoring"

    def step(name: str, *argv: str, path: str = "/-/ready") -> Step:
        return Step(
            name=name,
            kind=Kind.SERVER,
            command=Command(
                argv=argv,
                # One core's worth at most: they stand beside what they watch.
                environment={**settings.environment, "GOMAXPROCS": "1"},
                log=settings.log_dir / f"{name}.log",
                cwd=CHECKOUT,
            ),
            address=str(at[name]),
            prepare=partial(write_files, name, settings, ops),
            probe=partial(answers, at[name], path),
        )

    return (
        step(
            "prometheus",
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            "--storage.tsdb.retention.time=7d",
            f"--web.listen-address={at['prometheus']}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        ),
        step(
            "alertmanager",
            "prometheus-alertmanager",
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address={at['alertmanager']}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ),
        step(
            "alerts",
            sys.executable,
            *("-m", "deploy.monitoring.receiver"),
            *(at["alerts"].host, str(at["alerts"].port)),
            path="/",
        ),
        step(
            "node-exporter",
            "prometheus-node-exporter",
            f"--web.listen-address={at['node-exporter']}",
            "--collector.disable-defaults",
            *(f"--collector.{name}" for name in ("cpu", "diskstats", "filesystem", "meminfo")),
            "--log.level=warn",
            path="/",
        ),
    )


def files_of(name: str, settings: Settings, ops: Mapping[str, Address]) -> dict[str, str]:
    """Return the files that a process of these reads, with what they hold."""
    at = settings.monitoring
    match name:
        case "prometheus":
            rules = CHECKOUT / "deploy" / "prometheus"
            targets = settings.data_dir / "monitoring" / "targets.json"
            config = prometheus_config(
                rules=[str(rules / each) for each in RULES],
                targets=str(targets),
                alertmanager=str(at["alertmanager"]),
            )
            scrapes = targets_file(scraped(ops, node=at["node-exporter"]))
            return {"prometheus.yml": config, targets.name: scrapes}
        case "alertmanager":
            return {"alertmanager.yml": alertmanager_config(receiver=f"http://{at['alerts']}")}
        case _:
            return {}


def write_files(name: str, settings: Settings, ops: Mapping[str, Address]) -> None:
    """Write what a process reads when it starts."""
    folder = settings.data_dir / "monitoring"
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files_of(name, settings, ops).items():
        (folder / file).write_text(text, encoding="utf-8")


def scraped(ops: Mapping[str, Address], *, node: Address) -> dict[str, list[str]]:
    """Return what is scraped by job: a service's instances (``inventory-2``) are one job."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, address in ops.items():
        service, _, number = name.rpartition("-")
        found[service if number.isdigit() else name].append(str(address))
    found["node"].append(str(node))
    return dict(found)


def answers(address: Address, path: str) -> bool:
    """Return whether something answers with 200 there."""
    with suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection(address.connect_host, address.port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.client.OK
        finally:
            connection.close()
    return False
