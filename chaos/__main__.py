"""``make chaos``: faults on a stack of its own under load, and the judgement at the end."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import signal
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from chaos import layout
from chaos.campaign import Campaign
from chaos.counters import logged, sometimes
from chaos.disk import can_have_disks
from chaos.faults.catalogue import NAMES, left_out
from chaos.ground import running_ground
from chaos.judge import hand_over, judge, recovery
from chaos.options import Options, parse
from chaos.report import Outcome, write
from chaos.watched import NotReady
from deploy import version
from deploy.local.state import FolderLock

LINE_PAUSE_S = 5.0
WARM_UP_S = 5.0


class Screen:
    """One line that is rewritten on a terminal, a line each five seconds anywhere else."""

    def __init__(self, campaign: Campaign | None = None) -> None:
        self.campaign = campaign
        self._told_at = 0.0

    def say(self, words: str) -> None:
        """Print a line."""
        print(("\r\033[K" if sys.stdout.isatty() else "") + words, flush=True)

    def second(self, event: Mapping[str, Any]) -> None:
        """Tell how it stands."""
        campaign = self.campaign
        if campaign is None:
            return
        terminal = sys.stdout.isatty()
        if not terminal and time.monotonic() - self._told_at < LINE_PAUSE_S:
            return
        self._told_at = time.monotonic()
        statuses = " ".join(f"{k}:{v}" for k, v in sorted(event["statuses"].items()))
        elapsed_s = (event["at_ns"] - campaign.began_ns) / 1e9 if campaign.began_ns else 0.0
        current = ", ".join(f"{x.name} {x.what}" for x in campaign.current) or "none"
        words = (
            f"{elapsed_s:5.0f} s  {event['sent']:,} calls  {statuses}  open {event['open']}"
            f"  slow {event['slow']}  wrong {event['complaints']}"
            f"  faults {len(campaign.injected)}  now: {current}"
        )
        if terminal:
            print(f"\r\033[K{words[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
        else:
            print(words, flush=True)


async def run(options: Options, command: str) -> Outcome:
    """Run a campaign and return what it found; raises NotReady when it can't be run."""
    screen, commit = Screen(), version.commit()
    root = options.root and can_have_disks()
    shutil.rmtree(options.folder / "export", ignore_errors=True)
    (options.folder / "export").mkdir(parents=True)
    made = layout.make(
        folder=options.folder,
        instances=options.instances,
        postgres_settings={"synchronous_commit": "off"} if options.mutant else None,
    )
    async with running_ground(layout=made, disks=root, say=screen.say) as ground:
        campaign = Campaign(options, ground, screen.second)
        screen.campaign = campaign
        recovered, findings, verdicts = await _live(campaign, screen)
        counters = sometimes(
            sums=campaign.sums.sums,
            logs=logged(options.folder / "log"),
            lost=ground.lost,
            model=_model(options.folder),
        )
    return Outcome(
        command=command,
        commit=commit,
        seed=options.seed,
        minutes=options.minutes,
        began_ns=campaign.began_ns,
        faults=campaign.faults,
        left_out=left_out(options.faults, root=root),
        seconds=campaign.seconds,
        findings=findings,
        counters=counters,
        wanted=frozenset(options.faults or NAMES),
        recovery_s=recovered[0],
        programs=verdicts,
    )


async def _live(campaign: Campaign, screen: Screen) -> tuple[Any, Any, Any]:
    options = campaign.options
    async with asyncio.TaskGroup() as group:
        beside = await campaign.load(group)
        try:
            screen.say(f"the load begins; faults for {options.minutes:g} minutes")
            await asyncio.sleep(WARM_UP_S)
            await campaign.suffer()
            screen.say("all faults are healed")
            recovered = await recovery(campaign)
            screen.say(f"everything works after {recovered[0]} s; the load ends")
            await campaign.end_load()
        finally:
            for task in beside:
                task.cancel()
    await asyncio.sleep(options.quiet_s)
    findings = await judge(campaign, recovered=recovered)
    return recovered, findings, await hand_over(campaign, screen.say)


def _model(folder: Path) -> Any:
    return json.loads((folder / "export" / "model.json").read_text(encoding="utf-8"))


async def _until_told(campaign: Coroutine[Any, Any, Outcome]) -> Outcome | None:
    """Run a campaign; SIGTERM and Ctrl-C end it, and all that it has started."""
    async with asyncio.TaskGroup() as group:
        work = group.create_task(campaign)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    return None if work.cancelled() else work.result()


def _single(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf
        for each in group.exceptions
        for leaf in (_single(each) if isinstance(each, BaseExceptionGroup) else [each])
    ]


def main(arguments: Sequence[str]) -> int:
    """Run a campaign; 0 when everything held, 1 when not, 2 when it could not be run."""
    options = parse(arguments)
    # Its complaints about a broker that we have just killed are no news.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    options.folder.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(file=options.folder / "lock")
    if not lock.acquire():
        print("another campaign runs in this folder", file=sys.stderr)
        return 2
    outcome: Outcome | None = None
    try:
        outcome = asyncio.run(_until_told(run(options, "python -m chaos " + " ".join(arguments))))
    except* NotReady as error:
        print(*_single(error), sep="\n", file=sys.stderr)
    finally:
        lock.release()
    if outcome is None:
        return 2
    write(outcome, options.out)
    print((options.out / "report.md").read_text(encoding="utf-8"))
    if not options.keep and outcome.passed:
        for name in ("export", "verified"):
            shutil.rmtree(options.folder / name, ignore_errors=True)
    return 0 if outcome.passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
