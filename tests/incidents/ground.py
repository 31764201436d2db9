"""The stack that incidents are staged on: Prometheus and Alertmanager watch it, partners trade."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
import psutil

from bench.own_stack import PORT_VARIABLES, OwnStack, own_settings
from bench.progress import Screen
from bench.seed import CATALOGUE_FILE
from bench.stack import Stack
from chaos.disk import Disk, can_have_disks
from deploy.local.ports import free_ports
from deploy.local.settings import CHECKOUT, MONITORING, SERVICES, Settings, parse
from deploy.local.state import ProcessState, StackState, read
from tests.incidents.console import Console
from tests.incidents.prometheus import Prometheus
from tests.rolling.load import Load, under_load
from tests.support.admin import admin
from tests.support.waiting import eventually

PARTNERS: Final = Path(__file__).with_name("partners.toml")
QUIET_KEYS: Final = ("ota_drill_key_00001", "ota_drill_key_00002", "ota_drill_key_00003")
FLOODING_KEY: Final = "ota_drill_key_00004"
HOARDING_KEY: Final = "ota_drill_key_00005"
CALLS_PER_S: Final = 4.0
"""Of each quiet partner."""
DISK_MIB: Final = 3_000
INSTANCES: Final = {"inventory": 2}
"""The ledger has a standby; the others have none."""
WELL: Final = (
    "min(up) == 1 and on () min(ota_dependency_up) == 1"
    " and on () sum(ota_partitions_owned) == 12"
    " and on () sum(rate(http_server_request_duration_seconds_count[20s])) > 1"
    " unless on () sum(rate(http_server_request_duration_seconds_count"
    '{http_response_status_code=~"5.."}[20s])) > 0'
)
WELL_TIMEOUT_S: Final = 90.0
SETTINGS_FILE: Final = "settings.env"
TRAINEE, PASSWORD = "trainee", "find the cause in time"


@dataclass(slots=True, kw_only=True)
class Ground:
    """A running stack; *disk* is there where the data folder has a disk of its own."""

    own: OwnStack
    stack: Stack
    settings: Settings
    session: aiohttp.ClientSession
    prometheus: Prometheus
    console: Console
    disk: Disk | None

    @property
    def url(self) -> str:
        """Return the partner API's address."""
        return f"http://{self.settings.partner}"

    @property
    def state(self) -> StackState:
        """Return what the launcher tells of its processes."""
        found = read(file=self.settings.data_dir / "state.json")
        assert found is not None, "the stack has been up"
        return found

    def process(self, name: str) -> ProcessState:
        """Return what the launcher tells of one process."""
        return self.state.processes[name]

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process and all its children."""
        running = self.process(name).running
        assert running is not None, f"{name} runs"
        parent = psutil.Process(running.pid)
        for each in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                each.send_signal(number)

    @asynccontextmanager
    async def database(self, name: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """Give a database of the server, as its superuser."""
        dsn = self.stack.admin_dsn.rpartition("/")[0]
        connection = await asyncpg.connect(f"{dsn}/{name}", timeout=10, command_timeout=30)
        try:
            yield connection
        finally:
            connection.terminate()

    async def way_in(self) -> str:
        """Return an address that signs somebody in to the console, once."""
        words = ("operator", "code", TRAINEE, "--add", "operator")
        return (await asyncio.to_thread(admin, self.stack.environment, *words)).strip()

    async def until_well(self) -> None:
        """Wait until everything is up, served and called, as Prometheus sees it."""
        await eventually(
            partial(self.prometheus.values, WELL), timeout_s=WELL_TIMEOUT_S, what="the stack"
        )


@asynccontextmanager
async def running_ground(*, folder: str, with_disk: bool, screen: Screen) -> AsyncIterator[Ground]:
    """Run the stack below ``var/<folder>``, its data on a disk of its own if wanted and possible.

    Everything is ended and deleted afterwards.
    """
    own = OwnStack(checkout=CHECKOUT, environment=_environment(f"var/{folder}"))
    settings = parse(environment=own.environment, checkout=CHECKOUT)
    place = settings.data_dir
    disk = Disk(image=place.with_suffix(".img"), place=place, mib=DISK_MIB)
    await _clear(own, disk)
    has_disk = with_disk and can_have_disks()
    try:
        if has_disk:
            await asyncio.to_thread(disk.make)
        screen.line(f"a stack of its own starts in {place.relative_to(CHECKOUT)}")
        stack = await own.up()
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            ground = Ground(
                own=own,
                stack=stack,
                settings=settings,
                session=session,
                prometheus=Prometheus(session, f"http://{settings.monitoring['prometheus']}"),
                console=Console(session, f"http://{settings.ops['gateway']}"),
                disk=disk if has_disk else None,
            )
            await asyncio.to_thread(_write_settings, own, place / SETTINGS_FILE)
            await _let_in(ground)
            loads = [_load(settings, key, seed) for seed, key in enumerate(QUIET_KEYS)]
            for load in loads:
                group.create_task(load.run())
            try:
                await ground.until_well()
                yield ground
            finally:
                for load in loads:
                    load.end()
    finally:
        screen.line("the stack is stopped and its data deleted")
        await _clear(own, disk)


def _environment(data_dir: str) -> dict[str, str]:
    told = own_settings(data_dir=data_dir)
    names = (*PORT_VARIABLES, *(variable for _, _, variable in MONITORING))
    ports = map(str, free_ports(count=len(names)))
    return {
        **told,
        **dict(zip(names, ports, strict=True)),
        **{f"OTA_INSTANCES_{name.upper()}": str(INSTANCES.get(name, 1)) for name in SERVICES},
        "OTA_MONITORING": "1",
        "OTA_CATALOGUE_FILE": str(CATALOGUE_FILE),
        "OTA_PARTNERS_FILE": str(PARTNERS),
    }


def _write_settings(own: OwnStack, file: Path) -> None:
    """Write what another shell has to know for `make status` and `make admin`."""
    told = {name: text for name, text in own.environment.items() if name.startswith("OTA_")}
    lines = [f"{name}={shlex.quote(text)}\n" for name, text in sorted(told.items())]
    file.write_text("".join(lines), encoding="utf-8")


async def _let_in(ground: Ground) -> None:
    words = ("operator", "add", TRAINEE, "--role", "operator", "--password")
    await asyncio.to_thread(admin, ground.stack.environment, *words, given=f"{PASSWORD}\n")
    await ground.console.sign_in(TRAINEE, PASSWORD)


def _load(settings: Settings, key: str, seed: int, *, per_s: float = CALLS_PER_S) -> Load:
    return Load(
        host=settings.partner.connect_host,
        port=settings.partner.port,
        api_key=key,
        per_s=per_s,
        seed=seed,
        during=lambda: "",
        say=lambda _: None,
    )


@asynccontextmanager
async def calling(*, port: int, key: str, per_s: float) -> AsyncIterator[None]:
    """Let a partner call besides, at that port."""
    load = Load(
        host="127.0.0.1",
        port=port,
        api_key=key,
        per_s=per_s,
        seed=port,
        during=lambda: "",
        say=lambda _: None,
    )
    async with under_load(load):
        yield


async def _clear(own: OwnStack, disk: Disk) -> None:
    """Delete what is there, of a run that was killed too."""
    state = read(file=disk.place / "state.json")
    if state is not None and state.supervisor.alive:
        os.kill(state.supervisor.pid, signal.SIGCONT)
    await own.clean()
    await asyncio.to_thread(disk.remove)
    await asyncio.to_thread(_remove_folder, disk.place)


def _remove_folder(place: Path) -> None:
    (place / SETTINGS_FILE).unlink(missing_ok=True)
    with suppress(OSError):
        place.rmdir()
