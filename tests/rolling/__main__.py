"""Entry point of `python -m tests.rolling`: what a partner notices while processes come and go.

`rounds` restarts every service in turn under load, `faults` kills and freezes owners of
partitions beside a standby. Each run is added to docs/evidence/rolling-restart.json, and the
page beside it is written anew from all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import tempfile
from functools import partial
from pathlib import Path

from deploy import version
from tests.rolling.faults import strike
from tests.rolling.report import keep, lines
from tests.rolling.rounds import roll_rounds


def main() -> int:
    """Run it; return 1 if anything was noticed that must not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.rolling", description=__doc__)
    parser.add_argument("what", choices=["rounds", "faults"])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--per-second", type=float, default=200.0)
    parser.add_argument(
        "--seconds-max", type=float, default=math.inf, help="begin no round after so long"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--instances", type=int, choices=(1, 2), default=1, help="of each service, for rounds"
    )
    parser.add_argument("--keep", action="store_true", help="add the run to docs/evidence")
    given = parser.parse_args()
    commit = version.commit()
    run = partial(roll_rounds, instances=given.instances) if given.what == "rounds" else strike
    with tempfile.TemporaryDirectory(prefix="ota-rolling-") as folder:
        result = asyncio.run(
            run(
                folder=Path(folder) / "stack",
                rounds=given.rounds,
                per_s=given.per_second,
                seed=given.seed,
                limit_s=given.seconds_max,
            )
        )
    result["commit"] = commit
    result["command"] = f"python -m tests.rolling {' '.join(sys.argv[1:])}"
    print("\n".join(lines(result)))
    if given.keep:
        keep(result)
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
