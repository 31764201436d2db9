"""The running stack of a campaign: all processes, the proxy between them, and how both are told
what to do.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg

from chaos.checks import Wait
from chaos.disk import Disk
from chaos.layout import DECIDERS, HOST, SEEDS, SERVICES, Instance, Layout
from chaos.rules import Rule
from chaos.watched import NotReady, Watched
from deploy.local.processes import Command
from deploy.local.settings import CHECKOUT

READY_TIMEOUT_S = 90.0
TASK_TIMEOUT_S = 90.0
CLAIM_TIMEOUT_S = 25.0
PARTITIONS = 4
WAITS_PAUSE_S = 0.25
# What half an hour writes, several times over; the images are sparse.
DISKS_MIB = {"postgres": 8_000, "kafka": 4_000, "log": 3_000}
Say = Callable[[str], None]


class Skipped(Exception):
    """A fault is left out; the message says why."""


def _waited_ns(pid: int) -> int:
    """Return how long a main thread has waited for a processor; raises OSError if it is gone."""
    words = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text(encoding="ascii").split()
    return int(words[1])  # time on a processor, time in the queue for one, slices


@dataclass(slots=True, kw_only=True)
class Ground:
    """A stack that runs; enter `running_ground`."""

    layout: Layout
    processes: dict[str, Watched]
    disks: dict[str, Disk]
    root: bool
    lost: Counter[str] = field(default_factory=Counter)
    lags: list[tuple[int, float]] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    orders: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    _proxy: asyncio.subprocess.Process | None = None
    _claims: dict[str, asyncio.Lock] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: count(1))
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def instances(self, service: str) -> list[Instance]:
        """Return a service's instances."""
        return [each for each in self.layout.instances if each.service == service]

    @asynccontextmanager
    async def claim(self, *names: str) -> AsyncIterator[None]:
        """Have parts of the stack for oneself; raises Skipped when another fault has them long."""
        async with AsyncExitStack() as held:
            for name in sorted(set(names)):
                lock = self._claims.setdefault(name, asyncio.Lock())
                try:
                    async with asyncio.timeout(CLAIM_TIMEOUT_S):
                        await held.enter_async_context(lock)
                except TimeoutError as error:
                    raise Skipped(f"{name} suffers from another fault") from error
            yield

    def need_disk(self, name: str) -> Disk:
        """Return a disk of a server's own; raises Skipped where there is none."""
        if name not in self.disks:
            raise Skipped("needs root and loop devices")
        return self.disks[name]

    @asynccontextmanager
    async def rule(self, rule: Rule) -> AsyncIterator[None]:
        """Let the proxy do something for a while."""
        number = next(self._numbers)
        self._tell_proxy({"op": "add", "number": number, "rule": rule.plain()})
        try:
            yield
        finally:
            self._tell_proxy({"op": "remove", "number": number})

    def _tell_proxy(self, command: dict[str, Any]) -> None:
        assert self._proxy is not None
        assert self._proxy.stdin is not None
        self._proxy.stdin.write(json.dumps(command).encode() + b"\n")

    def order(self, **what: Any) -> None:
        """Ask the load for something special."""
        self.orders.put_nowait(what)

    @asynccontextmanager
    async def database(self, service: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """Give a service's database as superuser; raises Skipped while it can't be reached."""
        try:
            database = await asyncpg.connect(
                self.layout.admin_dsn(service), timeout=5, command_timeout=10
            )
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise Skipped(f"the database of {service} is away") from error
        try:
            yield database
        finally:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError):
                await database.close(timeout=2)

    async def task(self, service: str, *words: str, owner: bool = False) -> str:
        """Run a console command of a service to its end; raises NotReady when it fails."""
        name = f"{service}-{words[0]}"
        return await run_command(self.layout.command(service, *words, log=name, owner=owner))

    async def admin(self, *words: str) -> bool:
        """Run ota-admin; say whether it did what it was asked."""
        made = self.layout.command("gateway", log="admin", owner=True)
        argv = (sys.executable, "-m", "services.gateway.admin", *words)
        try:
            await run_command(Command(argv, made.environment, made.log, made.cwd))
        except NotReady:
            return False
        return True

    def gauge(self, instance: Instance, name: str) -> dict[str, float]:
        """Return a metric of an instance by its labels; nothing while it does not answer."""
        return {labels: value for full, labels, value in scrape(instance) if full == name}

    def serving(self, service: str) -> bool:
        """Say whether every partition of a service has an owner, or a gateway is ready."""
        if service == "gateway":
            return all(_ready(each) for each in self.instances(service))
        owned = {
            labels
            for each in self.instances(service)
            for labels, state in self.gauge(each, "ota_partition_state").items()
            if state == 1
        }
        return len(owned) == PARTITIONS

    async def until_serving(self, *, timeout_s: float = READY_TIMEOUT_S) -> float:
        """Wait until all services serve; return how long that took. Raises NotReady."""
        began = time.monotonic()
        for service in SERVICES:
            while not await asyncio.to_thread(self.serving, service):
                if time.monotonic() - began > timeout_s:
                    raise NotReady(f"{service} does not serve after {timeout_s:g} s")
                await asyncio.sleep(0.1)
        return time.monotonic() - began

    async def start(self, group: asyncio.TaskGroup, say: Say) -> None:
        """Bring everything up with fresh data; raises NotReady."""
        for name, watched in self.processes.items():
            self._tasks.append(group.create_task(watched.keep(), name=f"keep {name}"))
        lines = await self._start_proxy()
        self._tasks.append(group.create_task(self._hear_proxy(lines), name="proxy"))
        self._tasks.append(group.create_task(self._see_waits(), name="waits"))
        say("PostgreSQL and Kafka start")
        for name in ("postgres", "kafka"):
            self.processes[name].wanted = True
        await self.processes["postgres"].until_ready(timeout_s=READY_TIMEOUT_S)
        await asyncio.to_thread(self.layout.cluster.ensure_databases)
        await self.processes["kafka"].until_ready(timeout_s=READY_TIMEOUT_S)
        say("the services start")
        async with asyncio.TaskGroup() as migrations:
            for service in SERVICES:
                migrations.create_task(self.task(service, "migrate", owner=True))
        for service in DECIDERS:
            self.processes[f"{service}-1"].wanted = True
        while not all([await asyncio.to_thread(self.serving, each) for each in DECIDERS]):
            await asyncio.sleep(0.1)
        await self.task("inventory", "load-catalogue", str(SEEDS / "catalogue.toml"))
        await self.task("gateway", "load-partners", str(SEEDS / "partners.toml"))
        for each in self.layout.instances:
            self.processes[each.name].wanted = True
        await self.until_serving()
        for disk in self.disks.values():
            await asyncio.to_thread(disk.flush)

    async def _start_proxy(self) -> asyncio.StreamReader:
        self._proxy = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "chaos.proxy",
            cwd=CHECKOUT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._proxy.stdin is not None
        assert self._proxy.stdout is not None
        doors = [
            {"name": d.name, "port": d.port, "target_port": d.target_port, "protocol": d.protocol}
            for d in self.layout.doors
        ]
        self._proxy.stdin.write(json.dumps(doors).encode() + b"\n")
        if not await self._proxy.stdout.readline():
            raise NotReady("the proxy does not start")
        return self._proxy.stdout

    async def _hear_proxy(self, lines: asyncio.StreamReader) -> None:
        while line := await lines.readline():
            event = json.loads(line)
            if event["event"] == "lag":
                self.lags.append((event["at_ns"], event["lag_s"]))
            elif event["event"] == "lost":
                self.lost[event["what"]] += 1

    async def _see_waits(self) -> None:
        """Keep how long each gateway could have run and had no processor, by the kernel's count."""
        before: dict[int, int] = {}
        while True:
            for each in self.instances("gateway"):
                pid = self.processes[each.name].pid
                if pid is None:
                    continue
                with suppress(OSError):
                    waited_ns = _waited_ns(pid)
                    new_ns = waited_ns - before.get(pid, waited_ns)
                    before[pid] = waited_ns
                    self.waits.append(Wait(each.name, time.monotonic_ns(), new_ns / 1e9))
            await asyncio.sleep(WAITS_PAUSE_S)

    async def stop(self) -> None:
        """End everything that was started."""
        for task in self._tasks:
            task.cancel()
        for names in (
            [each.name for each in self.layout.instances],
            ["kafka"],
            ["postgres"],
        ):
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(self.processes[name].end())
        if self._proxy is not None and self._proxy.returncode is None:
            self._proxy.kill()
            await self._proxy.wait()


@asynccontextmanager
async def running_ground(*, layout: Layout, disks: bool, say: Say) -> AsyncIterator[Ground]:
    """Run a stack in the layout's folder; everything is ended and deleted afterwards, but logs."""
    ground = Ground(layout=layout, processes=_processes(layout), disks={}, root=disks)
    for name in ("postgres", "kafka"):
        shutil.rmtree(layout.folder / name, ignore_errors=True)
    if disks:
        for name, mib in DISKS_MIB.items():
            disk = Disk(image=layout.folder / f"{name}.img", place=layout.folder / name, mib=mib)
            disk.remove()  # a run that was killed may have left it
            await asyncio.to_thread(disk.make)
            ground.disks[name] = disk
    try:
        async with asyncio.TaskGroup() as group:
            try:
                await ground.start(group, say)
                yield ground
            finally:
                await ground.stop()
    finally:
        _keep_logs(layout.folder)
        for disk in ground.disks.values():
            disk.remove()
        for name in ("postgres", "kafka"):
            shutil.rmtree(layout.folder / name, ignore_errors=True)


def _keep_logs(folder: Path) -> None:
    kept = folder / "logs"
    shutil.rmtree(kept, ignore_errors=True)
    with suppress(OSError, shutil.Error):
        shutil.copytree(folder / "log", kept, ignore=shutil.ignore_patterns("lost+found", "filler"))


def _processes(layout: Layout) -> dict[str, Watched]:
    cluster, broker = layout.cluster, layout.broker
    found = {
        "postgres": Watched(
            name="postgres",
            command=cluster.command(environment=os.environ),
            prepare=cluster.prepare,
            ready=cluster.probe,
        ),
        "kafka": Watched(
            name="kafka",
            command=broker.command(environment=os.environ),
            prepare=broker.prepare,
            ready=broker.probe,
        ),
    }
    for each in layout.instances:
        found[each.name] = Watched(
            name=each.name,
            command=layout.run(each),
            ready=lambda each=each: _alive(each),  # type: ignore[misc]
        )
    return found


async def run_command(command: Command) -> str:
    """Run a command to its end and return what it printed; raises NotReady when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command.argv,
        env=dict(command.environment),
        cwd=command.cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(TASK_TIMEOUT_S):
            out, _ = await process.communicate()
    except TimeoutError as error:
        raise NotReady(f"{' '.join(command.argv)} did not end") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    words = out.decode(errors="replace").strip()
    if process.returncode:
        raise NotReady(f"{' '.join(command.argv)} failed:\n{words[-1500:]}")
    return words


def scrape(instance: Instance) -> list[tuple[str, str, float]]:
    """Return an instance's metrics as (name, labels, value); nothing while it does not answer."""
    found = []
    for line in _get(instance, "/metrics").splitlines():
        if line.startswith(("ota_", "http_server_")):
            name, _, rest = line.rpartition(" ")
            bare, _, labels = name.partition("{")
            with suppress(ValueError):
                found.append((bare, labels.rstrip("}"), float(rest)))
    return found


def _alive(instance: Instance) -> bool:
    return _ready(instance) if instance.port else bool(_get(instance, "/livez"))


def _ready(instance: Instance) -> bool:
    return bool(_get(instance, "/readyz"))


def _get(instance: Instance, path: str) -> str:
    with suppress(OSError, ValueError):
        url = f"http://{HOST}:{instance.ops_port}{path}"
        with urllib.request.urlopen(url, timeout=1) as answer:
            return str(answer.read().decode())
    return ""
