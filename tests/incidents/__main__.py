"""Entry point of `make incident`: stage one of ten incidents, or all, and see what tells of it."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Sequence
from typing import Any, Final

from bench.progress import Screen
from bench.stack import StackMissing
from deploy.local.machine import MachineError, provide
from deploy.local.settings import CHECKOUT
from tests.incidents.catalogue import INCIDENTS
from tests.incidents.drill import Drill
from tests.incidents.ground import running_ground
from tests.incidents.incident import Incident
from tests.incidents.report import PAGE, PICTURES, keep
from tests.incidents.stages import Impossible, clock_off, disk_nearly_full, find_faketime
from tests.support.browser import find_browser

FOLDER: Final = "incident"


def chosen(word: str) -> Sequence[Incident]:
    """Return the incidents that are meant; raises ValueError."""
    if word == "all":
        return INCIDENTS
    if word == "any":
        return (random.choice(INCIDENTS),)
    numbers = word.split(",")
    found = [each for each in INCIDENTS if str(each.number) in numbers]
    if len(found) != len(numbers):
        raise ValueError(f"N={word}: numbers from 1 to {len(INCIDENTS)}, any, or all")
    return found


async def run(
    incidents: Sequence[Incident], *, holds: bool, writes: bool, screen: Screen
) -> list[dict[str, Any]]:
    """Play incidents after one another on one stack."""
    pictures = PICTURES if writes and find_browser() else None
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    results = []
    with_disk = any(each.stage is disk_nearly_full for each in incidents)
    async with running_ground(folder=FOLDER, with_disk=with_disk, screen=screen) as ground:
        for incident in incidents:
            drill = Drill(ground, incident, screen)
            try:
                if holds:
                    await drill.practise()
                else:
                    results.append(await drill.play(pictures=pictures))
                    if writes:
                        PAGE.write_text(keep(results), encoding="utf-8")
            except Impossible as error:
                screen.line(f"{incident.number}. {incident.title} is left out: {error}")
    return results


def main() -> int:
    """Play what was asked for; return 1 if an alert came too late or not at all."""
    parser = argparse.ArgumentParser(prog="python -m tests.incidents", description=__doc__)
    parser.add_argument("which", help="1 to 10, several with commas, any, or all")
    parser.add_argument("--hold", action="store_true", help="wait until Enter before healing")
    parser.add_argument("--write", action="store_true", help="write docs/incidents.md")
    given = parser.parse_args()
    screen = Screen(out=sys.stdout, terminal=sys.stdout.isatty())
    try:
        incidents = chosen(given.which)
        if any(each.stage is clock_off for each in incidents):
            log = CHECKOUT / "var" / "log" / "install.log"
            provide(look=lambda: [find_faketime()], say=screen.line, log=log)
        results = asyncio.run(run(incidents, holds=given.hold, writes=given.write, screen=screen))
    except (ValueError, StackMissing, MachineError) as error:
        screen.line(str(error))
        return 2
    for each in results:
        word = "in time" if each["detected"] else "TOO LATE"
        screen.line(f"{each['number']:2}  {each['alert']:20} {each['firing_s']} s  {word}")
    return 0 if all(each["detected"] for each in results) else 1


if __name__ == "__main__":
    sys.exit(main())
