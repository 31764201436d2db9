"""What a campaign can be told."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.faults.catalogue import NAMES
from deploy.local.settings import CHECKOUT

MINUTES_MAX = 600.0
RATE_MAX = 2_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """*gap_mean_s* is the mean time between faults; *faults* empty is all."""

    minutes: float
    seed: int
    rate: float
    gap_mean_s: float
    faults: tuple[str, ...]
    instances: int
    quiet_s: float
    root: bool
    out: Path
    folder: Path
    keep: bool
    mutant: bool


def parse(arguments: Sequence[str]) -> Options:
    """Read the arguments; exits with words about what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=5.0, help="how long faults come (default 5)")
    add("--seed", type=int, default=1, help="what all choices are made from (default 1)")
    add("--rate", type=float, default=200.0, help="calls a second (default 200)")
    add("--gap", type=float, default=8.0, help="mean seconds between faults (default 8)")
    add("--faults", default="", help="numbers between commas, as F1,F6 (default: all)")
    add("--instances", type=int, default=2, choices=(1, 2), help="of each service (default 2)")
    add("--quiet", type=float, default=30.0, help="seconds without faults or load at the end")
    add("--no-root", action="store_true", help="leave out what needs root")
    add("--out", type=Path, default=Path("var/chaos/report"), help="folder of the report")
    add("--folder", type=Path, default=Path("var/chaos/run"), help="folder of the stack")
    add("--keep", action="store_true", help="keep export and history afterwards")
    add("--mutant", action="store_true", help="PostgreSQL answers before it has flushed: must lose")
    found = parser.parse_args(arguments)
    faults = tuple(name.strip().upper() for name in found.faults.split(",") if name.strip())
    if unknown := [name for name in faults if name not in NAMES]:
        parser.error(f"{', '.join(unknown)}: no such fault; there are {', '.join(NAMES)}")
    if not 0 < found.minutes <= MINUTES_MAX or not 1 <= found.rate <= RATE_MAX or found.gap <= 0:
        parser.error("minutes, rate and gap have to be positive and reasonable")
    return Options(
        minutes=found.minutes,
        seed=found.seed,
        rate=found.rate,
        gap_mean_s=found.gap,
        faults=faults,
        instances=found.instances,
        quiet_s=found.quiet,
        root=not found.no_root,
        out=CHECKOUT / found.out,
        folder=CHECKOUT / found.folder,
        keep=found.keep,
        mutant=found.mutant,
    )
