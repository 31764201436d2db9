"""Entry point of `python -m tests.api`: calls a live stack with generated requests."""

from __future__ import annotations

import argparse
import sys

from tests.api.fuzzing import run_schemathesis, start_platform
from tests.support.deciders import Deciders
from tests.support.stack import running_stack

CASES_MIN = 5_000
EXAMPLES = 300


def main() -> int:
    """Run it; return 1 for any finding, and when fewer requests were made than promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.api", description=__doc__)
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="for each operation")
    parser.add_argument("--seed", type=int, help="repeat a run")
    arguments = parser.parse_args()
    with running_stack() as stack:
        url = start_platform(Deciders(stack))
        result = run_schemathesis(url=url, examples=arguments.examples, seed=arguments.seed)
    sys.stdout.write(result.output)
    if result.cases < CASES_MIN:
        print(f"only {result.cases} of {CASES_MIN} requests were made")
        return 1
    return min(result.exit_code, 1)


if __name__ == "__main__":
    sys.exit(main())
