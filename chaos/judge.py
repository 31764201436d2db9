"""The end of a campaign: recovery, quiet, lag, promises, export, and the independent programs."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from chaos.caller import Caller
from chaos.campaign import Campaign
from chaos.checks import PROMISED, TIMEOUT_S, Finding, Reader, owed, slow_answers, works
from chaos.export import export, write_lines
from chaos.ground import Ground, Skipped
from chaos.history import History
from chaos.layout import DECIDERS, SERVICES
from deploy.local.processes import tail
from deploy.local.settings import CHECKOUT

RECOVERY_LIMIT_S = 10.0
RECOVERY_GIVE_UP_S = 90.0
LAG_LIMIT_S = 30.0
PROGRAM_TIMEOUT_S = 900.0
WORDS_MAX = 60
_LAG = {
    "inventory": {"ota.reservation.events.v1": "reservation"},
    "reservation": {"ota.inventory.events.v1": "inventory"},
    "fulfillment": {"ota.reservation.events.v1": "reservation"},
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an independent program said: its exit code (0: all is well) and its last words."""

    name: str
    code: int
    words: tuple[str, ...]


async def recovery(campaign: Campaign) -> tuple[float | None, str]:
    """Return how long after the last heal everything worked again, and what did not at first."""
    began, words = time.monotonic(), ""
    file = campaign.options.folder / "probe.jsonl.gz"
    history = History(file)
    caller = Caller(urls=campaign.urls, history=history, dice=random.Random(0))
    partner = campaign.partners[0]
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
            caller.session = session
            while time.monotonic() - began < RECOVERY_GIVE_UP_S:
                found = await works(caller, campaign.urls, partner)
                if not found:
                    return time.monotonic() - began, words
                words = words or found
                await asyncio.sleep(0.2)
        return None, found
    finally:
        history.close()


def add_probes(folder: Path) -> None:
    """Put our own probes into the history: gzip files can be joined."""
    with (folder / "export" / "history.jsonl.gz").open("ab") as whole:
        whole.write((folder / "probe.jsonl.gz").read_bytes())


async def lag(ground: Ground) -> Finding:
    """Wait until every consumer has read, and every relay published, all that there is."""
    deadline = time.monotonic() + LAG_LIMIT_S
    while True:
        behind = await _behind(ground)
        if not behind or time.monotonic() > deadline:
            return Finding("lag 0 within 30 s", 3, tuple(behind))
        await asyncio.sleep(0.5)


async def _behind(ground: Ground) -> list[str]:
    seqs: dict[str, dict[int, int]] = {}
    inputs: dict[str, dict[int, dict[str, Any]]] = {}
    behind: list[str] = []
    try:
        for service in DECIDERS:
            async with ground.database(service) as database:
                rows = await database.fetch(
                    "SELECT h.partition, h.seq, h.inputs::text, coalesce(m.published_seq, 0) AS out"
                    " FROM partition_head h LEFT JOIN outbox_mark m USING (partition)"
                )
            seqs[service] = {row["partition"]: row["seq"] for row in rows}
            inputs[service] = {row["partition"]: json.loads(row["inputs"]) for row in rows}
    except (Skipped, OSError, TimeoutError, asyncpg.PostgresError) as error:
        return [f"the databases can't be read: {error!r}"]
    for service, topics in _LAG.items():
        for topic, owner in topics.items():
            for partition, seq in seqs[owner].items():
                read = inputs[service].get(partition, {}).get(topic, {}).get("seq", 0)
                if read < seq:
                    behind.append(f"{service} {partition} has read {read} of {seq} of {owner}")
    for each in ground.layout.instances:
        for labels, pending in ground.gauge(each, "ota_outbox_pending").items():
            if pending > 0:
                behind.append(f"{each.name} {labels}: {pending:g} events not published")
    return behind


async def judge(campaign: Campaign, *, recovered: tuple[float | None, str]) -> list[Finding]:
    """Return all findings of our own; the stack must run, the load must have ended."""
    options, ground = campaign.options, campaign.ground
    model = json.loads((options.folder / "export" / "model.json").read_text(encoding="utf-8"))
    findings = [
        Finding(
            "everything works again 10 s after the last fault",
            1,
            ()
            if recovered[0] is not None and recovered[0] <= RECOVERY_LIMIT_S
            else (f"{recovered[0]} s; at first: {recovered[1]}",),
            timed=recovered[0] is not None,
        ),
        await lag(ground),
        Finding(
            "no two answers contradict each other", len(model["holds"]), tuple(model["complaints"])
        ),
        Finding(
            "every answer has the shape that answers have",
            campaign.seconds[-1]["sent"],
            tuple(f"{count} x {words}" for words, count in model["failed"].items()),
        ),
    ]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
        reader = Reader(session, campaign.urls)
        sellers = [each for each in campaign.partners if each.channel == "ota"]
        try:
            probes = await owed(reader, sellers, model, seed=options.seed)
        except (ValueError, aiohttp.ClientError, TimeoutError, OSError) as error:
            # A system that does not come back shows nothing of what it promised.
            probes = [Finding(PROMISED, 1, (f"the API can't be read: {error!r}"[:500],))]
    names = {f"127.0.0.1:{each.partner_port}": each.name for each in ground.instances("gateway")}
    findings += probes
    findings.append(
        slow_answers(
            model["slow"],
            gateways=names,
            faults=[each.plain() for each in campaign.injected],
            lags=_lags(campaign),
            waits=ground.waits,
            answers=campaign.seconds[-1]["sent"],
        )
    )
    return findings


def _lags(campaign: Campaign) -> list[tuple[int, float]]:
    """Return how late the load and the proxy were themselves, each figure of the second before."""
    return [
        *((each["at_ns"], each["lag_s"]) for each in campaign.seconds),
        *campaign.ground.lags,
    ]


async def hand_over(campaign: Campaign, say: Callable[[str], None]) -> list[Verdict]:
    """Export everything and let the independent programs judge, those that are installed."""
    folder = campaign.options.folder / "export"
    add_probes(campaign.options.folder)
    say("everything is exported")
    lines = await export(campaign.ground, folder)
    write_lines(folder / "faults.jsonl", [each.plain() for each in campaign.injected])
    with suppress(OSError, shutil.Error):
        shutil.copytree(
            campaign.options.folder / "log",
            folder / "logs",
            ignore=shutil.ignore_patterns("lost+found", "filler"),
            dirs_exist_ok=True,
        )
    shutil.rmtree(campaign.options.folder / "verified", ignore_errors=True)
    say(f"{sum(lines.values()):,} lines exported")
    found = []
    for name, words in (
        ("ota_checker", (str(folder),)),
        ("ota_verify", ("system", "--keep", str(campaign.options.folder / "verified"))),
    ):
        if importlib.util.find_spec(name) is not None:
            say(f"{name} judges")
            log = folder / f"{name}.log"
            code = await _program(campaign.ground, name, *words, log=log)
            found.append(Verdict(name, code, tuple(tail(log=log, lines=WORDS_MAX))))
    return found


async def _program(ground: Ground, name: str, *words: str, log: Path) -> int:
    layout = ground.layout
    addresses = {
        f"OTA_{service.upper()}_VERIFY_DSN": layout.admin_dsn(service) for service in SERVICES
    }
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", name, *words),
            cwd=CHECKOUT,
            env={**os.environ, **addresses, "OTA_KAFKA_BOOTSTRAP": layout.broker.bootstrap},
            stdout=out,
            stderr=out,
        )
        try:
            async with asyncio.timeout(PROGRAM_TIMEOUT_S):
                return await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            return -1
