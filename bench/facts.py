"""What a result must say about itself: the machine, and where it is kept."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"
CHECKOUT = Path(__file__).parents[1]


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, memory, system, Python."""
    load_1m, _, _ = os.getloadavg()
    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(logical=True),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average_before": round(load_1m, 2),
    }


def folder(*, kind: str, at: datetime) -> Path:
    """Make and return a run's folder in bench/results/."""
    path = RESULTS / f"{at:%Y%m%dT%H%M%SZ}-{kind}"
    path.mkdir(parents=True, exist_ok=True)
    return path


def save(*, result: Mapping[str, Any], kind: str, at: datetime) -> Path:
    """Write *result* as JSON into bench/results/ and return the file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{at:%Y%m%dT%H%M%SZ}-{kind}.json"
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def shown(path: Path) -> str:
    """Return a file of the checkout as its reader would write it."""
    return str(path.relative_to(CHECKOUT)) if path.is_relative_to(CHECKOUT) else str(path)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
