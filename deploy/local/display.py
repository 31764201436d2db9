"""What the commands print: progress, the table of `status`, the farewell of `up`. Text in, text
out; no decisions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from deploy.local.processes import Running
from deploy.local.settings import Settings
from deploy.local.state import ProcessPhase, ProcessState, StackState

SAMPLE_API_KEY: Final = "ota_test_key_12345"
_TOLD: Final = frozenset(
    {
        ProcessPhase.READY,
        ProcessPhase.DONE,
        ProcessPhase.REFUSED,
        ProcessPhase.FAILED,
        ProcessPhase.RESTARTING,
    }
)


def progress(
    *, before: Mapping[str, ProcessState], now: Mapping[str, ProcessState], elapsed_s: float
) -> list[str]:
    """Return a line for each process that has come to something since the last look."""
    return [
        f"{elapsed_s:6.1f} s  {each.name:<20} {each.phase:<10} {each.address or ''}".rstrip()
        for each in now.values()
        if each.phase in _TOLD
        and (each.name not in before or before[each.name].phase != each.phase)
    ]


def urls(*, settings: Settings) -> dict[str, str]:
    """Return the addresses that a person or a program may want to open."""
    found = {
        "partner API": f"http://{settings.partner}/api/ota",
        "documentation": f"http://{settings.partner}/docs",
        "OpenAPI": f"http://{settings.partner}/openapi.json",
        "console": f"http://{settings.ops['gateway']}/console",
    }
    for name, address in settings.ops.items():
        found[f"{name} health"] = f"http://{address}/readyz?verbose"
    for name in ("prometheus", "alertmanager"):
        if name in settings.monitoring:
            found[name.capitalize()] = f"http://{settings.monitoring[name]}"
    return found


def status_table(*, state: StackState, phase: str) -> str:
    """Return the stack as a table for people."""
    rows = [("process", "pid", "address", "state", "restarts")]
    rows += [
        (
            each.name,
            str(each.running.pid) if each.running else "-",
            each.address or "-",
            each.phase,
            str(each.restarts),
        )
        for each in state.processes.values()
        if each.phase is not ProcessPhase.DONE
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([f"stack: {phase}", *([state.failure] if state.failure else []), *lines])


def status_json(
    *, settings: Settings, state: StackState | None, phase: str, leftovers: list[Running]
) -> str:
    """Return the stack as JSON for programs."""
    processes = [] if state is None else list(state.processes.values())
    return json.dumps(
        {
            "phase": phase,
            "failure": None if state is None else state.failure,
            "processes": [
                {
                    "name": each.name,
                    "pid": each.running.pid if each.running else None,
                    "address": each.address,
                    "state": each.phase,
                    "restarts": each.restarts,
                }
                for each in processes
            ],
            "leftover_pids": [each.pid for each in leftovers],
            "urls": urls(settings=settings),
        },
        indent=2,
    )


def farewell(*, settings: Settings) -> str:
    """Return what to try next, once the stack is up."""
    lines = [f"  {name:<20} {url}" for name, url in urls(settings=settings).items()]
    return "\n".join(
        [
            "",
            *lines,
            f"  {'sample API key':<20} {SAMPLE_API_KEY}",
            "",
            "Try:",
            f"  curl -H 'X-API-Key: {SAMPLE_API_KEY}' http://{settings.partner}/api/ota/inventory",
            "  make demo",
            "  make console         # prints a way into the console, for once",
        ]
    )
