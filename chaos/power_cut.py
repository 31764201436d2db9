"""Power cuts alone, again and again: PostgreSQL's, Kafka's, or PostgreSQL's with the guard off.

``python -m chaos.power_cut --postgres [--mutant] | --kafka``. With ``--mutant`` the server answers
before it has flushed (synchronous_commit=off): then what partners were promised has to be missing,
or the method would show nothing. Exit code 0: as it must be; 3: there is no root here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from chaos import __main__ as campaign
from chaos.checks import PROMISED
from chaos.disk import can_have_disks
from chaos.options import parse

PROMISES = (
    PROMISED,
    "every activation has its order",
    "no two answers contradict each other",
)
NOT_ALLOWED = 3


def main(arguments: Sequence[str]) -> int:
    """Run the cuts and say whether they ended as they must."""
    parser = argparse.ArgumentParser(prog="python -m chaos.power_cut", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--postgres", action="store_true", help="cut PostgreSQL's power")
    which.add_argument("--kafka", action="store_true", help="cut Kafka's power")
    parser.add_argument("--mutant", action="store_true", help="with synchronous_commit=off")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", help="folder of the report (default var/chaos/power-cut-…)")
    found = parser.parse_args(arguments)
    if not can_have_disks():
        print("a power cut needs root and loop devices: not run", file=sys.stderr)
        return NOT_ALLOWED
    kind = ("postgres" if found.postgres else "kafka") + ("-control" if found.mutant else "")
    told = [
        *("--minutes", str(found.minutes), "--seed", str(found.seed), "--gap", "12"),
        *("--faults", "F5" if found.postgres else "F7"),
        *("--out", found.out or f"var/chaos/power-cut-{kind}"),
        *(["--mutant"] if found.mutant else []),
    ]
    code = campaign.main(told)
    report = parse(told).out / "report.json"
    if code not in (0, 1) or not report.exists():
        return 2
    plain = json.loads(report.read_text(encoding="utf-8"))
    caught = judges(plain)
    if caught:
        print(f"caught by {'; '.join(caught)}\n{first_seen(plain)}")
    if not found.mutant:
        return 0 if plain["held"] else 1
    print(f"control: {len(caught)} judges saw what was lost without flushing")
    return 0 if broken(plain) else 1


def broken(plain: Mapping[str, Any]) -> list[str]:
    """Return what partners were promised and did not find; how quick it was is no promise here."""
    return [x["name"] for x in plain["findings"] if x["name"] in PROMISES and x["wrong"]]


def first_seen(plain: Mapping[str, Any]) -> str:
    """Return what was seen first, on one line: the programs name the invariant."""
    marked = [word for x in plain["programs"] if x["code"] for word in x["words"] if "✗" in word]
    seen = [word for x in plain["findings"] if x["name"] in PROMISES for word in x["wrong"]]
    return " ".join([*marked, *seen, ""][0].replace("✗", "").split())


def judges(plain: Mapping[str, Any]) -> list[str]:
    """Return who says that something was lost: checks of promises, and the programs beside us."""
    return [*broken(plain), *(x["name"] for x in plain["programs"] if x["code"])]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
