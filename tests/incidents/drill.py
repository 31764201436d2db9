"""Plays one incident: what is normal, the harm, the alert, what shows, and quiet again."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from PIL import Image

from bench.progress import Screen
from deploy.local.settings import CHECKOUT
from tests.incidents.ground import SETTINGS_FILE, Ground
from tests.incidents.incident import Incident
from tests.incidents.prometheus import Alarm, figure, moment, panel_named
from tests.support.browser import open_page
from tests.support.waiting import eventually

DETECTED_S_MAX: Final = 120.0
PATIENCE_S: Final = 180.0
QUIET_S: Final = 120.0
POLL_S: Final = 0.5
CURVES_MAX: Final = 4
ROWS_MAX: Final = 3
RUNBOOK: Final = CHECKOUT / "docs" / "runbook-alerts.md"
PICTURE_SIZE: Final = (1360, 640)
COLOURS: Final = 48
WIDTH_MAX: Final = 200
_ADDRESS: Final = re.compile(r"127\.0\.0\.1:\d+")
_SINCE: Final = re.compile(r" since \d.*$")


@dataclass(slots=True)
class Told:
    """Seconds from the cause until the alert was pending, fired, and was told to the receiver."""

    pending_s: float | None = None
    firing_s: float | None = None
    told_s: float | None = None

    def take(self, *, alarms: list[Alarm], lines: list[Mapping[str, Any]], began: float) -> None:
        """Note what is new; *alarms* and *lines* are those of the alert."""
        if alarms and self.pending_s is None:
            self.pending_s = round(max(0.0, min(each.since for each in alarms) - began), 1)
        if self.firing_s is None and any(each.firing for each in alarms):
            self.firing_s = round(time.time() - began, 1)
        moments = [at - began for line in lines if (at := moment(line["timestamp"])) >= began]
        if self.told_s is None and moments:
            self.told_s = round(min(moments), 1)


def is_of(incident: Incident, name: str, labels: Mapping[str, str], *, data: Path) -> bool:
    """Say whether an alert is the one that has to tell of an incident."""
    wanted = {name: text.format(data=data) for name, text in incident.labels.items()}
    return name == incident.alert and wanted.items() <= labels.items()


class Drill:
    """One incident on a running stack."""

    def __init__(self, ground: Ground, incident: Incident, screen: Screen) -> None:
        self._ground = ground
        self._incident = incident
        self._screen = screen
        self._is_of = partial(is_of, incident, data=ground.settings.data_dir)

    async def play(self, *, pictures: Path | None) -> dict[str, Any]:
        """Stage it, follow its alert, heal it; return what was seen."""
        incident = self._incident
        await self._calm()
        known = {(each.name, each.since) for each in await self._ground.prometheus.alarms()}
        before = await self._panels()
        async with incident.stage(self._ground) as began:
            self._screen.line(f"{incident.number}. {incident.title}: {incident.done}")
            told = await self._follow(began)
            during = await self._panels()
            rows = await self._rows()
            picture = await self._picture(pictures)
            also = await self._also(began, known)
        healed = time.time()
        self._screen.line(f"   {incident.healed}")
        quiet_s = await self._quiet(healed)
        await self._ground.until_well()
        return {
            "number": incident.number,
            "title": incident.title,
            "done": incident.done,
            "alert": incident.alert,
            "detected": told.firing_s is not None and told.firing_s <= DETECTED_S_MAX,
            **asdict(told),
            "also": also,
            "panels": compared(before, during),
            "console": rows,
            "picture": picture,
            "runbook": runbook_of(incident.alert),
            "healed": incident.healed,
            "quiet_s": quiet_s,
            "lingers": incident.lingers,
        }

    async def practise(self) -> None:
        """Stage it, let a person find it, and say what it was once that is wanted."""
        ground, incident = self._ground, self._incident
        await self._calm()
        way_in = await ground.way_in()
        async with incident.stage(ground) as began:
            at = time.strftime("%H:%M:%S", time.localtime(began))
            data_dir = ground.settings.data_dir.relative_to(CHECKOUT)
            for line in (
                f"Something is wrong since {at}. What is it?",
                f"  console       {way_in}",
                f"  prometheus    {ground.prometheus.url}/alerts",
                f"  another shell set -a; . {data_dir}/{SETTINGS_FILE}",
                "                make status, make logs SERVICE=alerts, make admin ARGS=...",
                "  runbook       docs/runbook-alerts.md",
            ):
                self._screen.line(line)
            self._screen.line("Press Enter to be told, and to heal it.")
            await _entered()
            self._screen.line(f"It was: {incident.title}: {incident.done}.")
            self._screen.line(f"  docs/runbook-alerts.md#{incident.alert.lower()}")
            for alarm in await ground.prometheus.alarms():
                word = "fires" if alarm.firing else "is about to fire"
                after_s = alarm.since - began
                self._screen.line(f"  {alarm.name} {word}; began {after_s:.0f} s after the cause")
        self._screen.line(f"Healed: {incident.healed}.")

    async def _calm(self) -> None:
        """Wait until everything is well and the incident's alert is silent."""
        await self._ground.until_well()
        if not self._incident.lingers:
            await eventually(self._is_silent, timeout_s=QUIET_S, what=self._incident.alert)

    async def _is_silent(self) -> bool:
        return not await self._alarms()

    async def _alarms(self) -> list[Alarm]:
        found = await self._ground.prometheus.alarms()
        return [each for each in found if self._is_of(each.name, each.labels)]

    async def _follow(self, began: float) -> Told:
        told = Told()
        while time.time() - began < PATIENCE_S and None in (told.firing_s, told.told_s):
            was = asdict(told)
            told.take(alarms=await self._alarms(), lines=self._lines(), began=began)
            for name, seconds in asdict(told).items():
                if seconds is not None and was[name] is None:
                    word = name.removesuffix("_s")
                    self._screen.line(f"   {seconds:6.1f} s  {self._incident.alert} {word}")
            self._screen.progress(f"{time.time() - began:.0f} s since the cause")
            await asyncio.sleep(POLL_S)
        return told

    def _lines(self) -> list[Mapping[str, Any]]:
        """Return what the receiver was told of the alert."""
        log = self._ground.settings.log_dir / "alerts.log"
        text = log.read_text(encoding="utf-8") if log.exists() else ""
        whole = text.split("\n")[:-1]  # the last one may be half written
        lines = [json.loads(line) for line in whole if line.startswith("{")]
        return [
            line
            for line in lines
            if line["event"] == "alert.firing" and self._is_of(line["alert"], line["labels"])
        ]

    async def _panels(self) -> list[tuple[str, str, dict[str, float]]]:
        """Return title, unit and figures of each panel."""
        found = []
        for look in self._incident.looks:
            panel = panel_named(look.dashboard, look.panel)
            values = await self._ground.prometheus.panel(panel, of=look.of)
            named = {self._plain(name): value for name, value in values.items()}
            found.append(
                (f"{look.dashboard.removeprefix('ota-')}: {panel.title}", panel.unit, named)
            )
        return found

    async def _rows(self) -> list[str]:
        found = []
        for glance in self._incident.glances:
            rows = await self._ground.console.rows(glance.path, glance.panel, of=glance.of)
            found += [self._plain(row) for row in rows[:ROWS_MAX]]
        return found

    def _plain(self, text: str) -> str:
        """Return a text without what differs on each machine: ports and folders."""
        names = {each.address: name for name, each in self._ground.state.processes.items()}
        names[str(self._ground.settings.ops["gateway"])] = "gateway"
        for address, name in names.items():
            text = text.replace(address, name) if address else text
        text = text.replace(f"{self._ground.settings.data_dir}", "the data folder")
        return _SINCE.sub("", _ADDRESS.sub("another", text))[:WIDTH_MAX]

    async def _picture(self, folder: Path | None) -> str | None:
        if folder is None or self._incident.pictured is None:
            return None
        name = f"{self._incident.number:02}.png"
        link = await self._ground.way_in()
        async with open_page() as page:
            await page.size(*PICTURE_SIZE)
            await page.prefer("light")
            await page.open(link)
            await page.follow("document.querySelector('.sign-in button').click()")
            await page.open(f"{self._ground.console.url}/console{self._incident.pictured}")
            await page.sees("live", within="#live")
            await page.picture(folder / name)
        _shrink(folder / name)
        return name

    async def _also(self, began: float, known: set[tuple[str, float]]) -> dict[str, float]:
        """Return the other alerts that fire by now, with when each began to hold."""
        return {
            each.name: round(each.since - began, 1)
            for each in await self._ground.prometheus.alarms()
            if each.firing
            and (each.name, each.since) not in known
            and not self._is_of(each.name, each.labels)
        }

    async def _quiet(self, healed: float) -> float | None:
        """Return how long the alert went on after the healing; None if it was not waited for."""
        if self._incident.lingers:
            return None
        await eventually(self._is_silent, timeout_s=QUIET_S, what=f"{self._incident.alert} ends")
        return round(time.time() - healed, 1)


async def _entered() -> None:
    """Wait for Enter, so that it can be interrupted too."""
    pressed = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, pressed.set)
    try:
        await pressed.wait()
    finally:
        asyncio.get_running_loop().remove_reader(sys.stdin)
    sys.stdin.readline()


def _shrink(file: Path) -> None:
    """Keep a picture as a palette: a page has few colours."""
    with Image.open(file) as taken:
        taken.convert("RGB").quantize(COLOURS).save(file, optimize=True)


def compared(
    before: list[tuple[str, str, dict[str, float]]],
    during: list[tuple[str, str, dict[str, float]]],
) -> list[dict[str, Any]]:
    """Return for each panel the curves that have changed most, as texts."""
    found = []
    for (title, unit, was), (_, _, now) in zip(before, during, strict=True):
        names = sorted(was | now, key=lambda name: -abs(now.get(name, 0) - was.get(name, 0)))
        chosen = sorted(names[:CURVES_MAX])
        texts = [
            {name: figure(values[name], unit) if name in values else "nothing" for name in chosen}
            for values in (was, now)
        ]
        found.append({"panel": title, "before": texts[0], "during": texts[1]})
    return found


def runbook_of(alert: str) -> dict[str, str]:
    """Return what the runbook says first of an alert: what it means, the first look, what to do."""
    section = RUNBOOK.read_text(encoding="utf-8").split(f"### {alert}\n", 1)[1].split("\n#", 1)[0]
    return dict(re.findall(r"^- \*\*(.+?)\*\*: (.+)$", section, re.MULTILINE))
