"""Real servers for tests: PostgreSQL, Kafka and the four services, each to be killed at will.

Everything is on free ports and in a folder of its own, so that it runs beside `make up`, and ends
with the test process however that ends. OTA_TEST_CONTAINERS=1 takes PostgreSQL and Kafka from
Docker instead of the machine; the services always run as processes.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from deploy.local.credentials import SERVICE_SECRETS, dsns, load_or_make
from deploy.local.kafka import Broker
from deploy.local.plan import answers_ready, console_command, own_environment
from deploy.local.ports import free_ports
from deploy.local.postgres import Cluster
from deploy.local.processes import Command
from deploy.local.settings import CHECKOUT, SERVICES, Address, load
from deploy.local.stack import provide_tools
from deploy.local.state import FolderLock
from tests.support.servers import (
    READY_TIMEOUT_S,
    Server,
    ServerError,
    ServerProcess,
    ServiceProcess,
)

__all__ = ["Databases", "Server", "ServerError", "ServiceProcess", "Stack", "running_stack"]

_FOLDER_PREFIX: Final = "ota-tests-"
_HOST: Final = "127.0.0.1"
_TEMPLATE_SUFFIX: Final = "_template"


@dataclass(frozen=True, slots=True)
class Databases:
    """A set of databases of one test; `env` holds its connection strings."""

    cluster: Cluster
    services: tuple[str, ...]
    suffix: str
    env: Mapping[str, str]

    def drop(self) -> None:
        """Drop them, ending all sessions; does nothing the second time."""
        self.cluster.drop_databases(services=self.services, suffix=self.suffix)


@dataclass(frozen=True, slots=True)
class Backend:
    """The two servers that the services stand on, none of them started yet."""

    postgres: Server
    cluster: Cluster
    kafka: Server
    broker: Broker


class Stack:
    """The servers of one test session. PostgreSQL and Kafka start when they are first asked for."""

    def __init__(self, *, folder: Path) -> None:
        self._folder = folder
        self._secrets = load_or_make(file=folder / "secrets.env")
        self._services: list[ServiceProcess] = []
        self._migrated: set[str] = set()
        self._sets_made = 0
        self._databases: Databases | None = None

    @cached_property
    def _backend(self) -> Backend:
        if os.environ.get("OTA_TEST_CONTAINERS") == "1":
            from tests.support.containers import container_backend

            return container_backend(folder=self._folder, secrets_by_name=self._secrets)
        return _local_backend(folder=self._folder, secrets_by_name=self._secrets)

    @cached_property
    def postgres(self) -> Server:
        """Return the PostgreSQL server, started, with the roles of all services."""
        _start(self._backend.postgres)
        self.cluster.ensure_roles()
        return self._backend.postgres

    @cached_property
    def kafka(self) -> Server:
        """Return the Kafka broker, started, without any topic."""
        _start(self._backend.kafka)
        return self._backend.kafka

    @property
    def cluster(self) -> Cluster:
        """Return the handle for SQL as superuser (`run_sql`); PostgreSQL need not run."""
        return self._backend.cluster

    @property
    def broker(self) -> Broker:
        """Return the handle for Kafka's address (`bootstrap`); Kafka need not run."""
        return self._backend.broker

    @cached_property
    def secret_env(self) -> dict[str, str]:
        """Return the services' secrets, made for this session."""
        return {name: self._secrets[name] for name in SERVICE_SECRETS}

    @property
    def env(self) -> dict[str, str]:
        """Return what a service needs to find this stack and its newest data."""
        if self._databases is None:
            raise ServerError("there is no data yet: call fresh_data() first")
        return {
            **{name: text for name, text in os.environ.items() if not name.startswith("OTA_")},
            **self.secret_env,
            **self._databases.env,
            "OTA_KAFKA_BOOTSTRAP": self.broker.bootstrap,
        }

    def fresh_data(self) -> Databases:
        """Stop all services, wipe Kafka, and give every service a fresh, migrated database."""
        self.stop_services()
        self._backend.kafka.start()  # not ready at once: meanwhile PostgreSQL is made
        assert self.postgres.running
        self.kafka.wait_ready()
        self.broker.delete_topics(prefix="ota.")
        if self._databases is not None:
            self._databases.drop()
        self._databases = self.fresh_databases()
        return self._databases

    def fresh_databases(self, *, services: Iterable[str] = SERVICES) -> Databases:
        """Return fresh, migrated databases of these services, for the caller to drop."""
        assert self.postgres.running
        services = tuple(services)
        self._migrate_templates(services)
        self._sets_made += 1
        suffix = f"_t{self._sets_made}"
        self.cluster.create_databases(
            services=services, suffix=suffix, template_suffix=_TEMPLATE_SUFFIX
        )
        return Databases(self.cluster, services, suffix, self._dsns(services, suffix))

    def service(self, name: str, *, env: Mapping[str, str] | None = None) -> ServiceProcess:
        """Return a new process of a service on the newest data, not started, on free ports."""
        ports = free_ports(count=2)
        prefix = f"OTA_{name.upper()}"
        own = {**self.env, "OTA_OPS_HOST": _HOST, f"{prefix}_OPS_PORT": str(ports[0])}
        ops = Address(name, _HOST, ports[0], f"{prefix}_OPS_PORT")
        partner = None
        if name == "gateway":
            own |= {"OTA_PARTNER_HOST": _HOST, "OTA_PARTNER_PORT": str(ports[1])}
            partner = Address(name, _HOST, ports[1], "OTA_PARTNER_PORT")
        process = ServiceProcess(
            name=name,
            command=self._command(name, "run", env={**own, **(env or {})}, number=True),
            prepare=lambda: None,
            probe=lambda: answers_ready(address=ops),
            ops=ops,
            partner=partner,
        )
        self._services.append(process)
        return process

    def run_command(
        self, name: str, *words: str, env: Mapping[str, str] | None = None, owner: bool = False
    ) -> None:
        """Run a service's console command to its end, as `run_command("gateway", "load-partners",
        file)`. Raises ServerError unless it ends with code 0.
        """
        command = self._command(name, *words, env={**self.env, **(env or {})}, owner=owner)
        _end(_begin(name=name, command=command))

    def stop_services(self) -> None:
        """Kill every service process that still runs, and forget them all."""
        while self._services:
            self._services.pop().kill()

    def close(self) -> None:
        """End everything that was started."""
        self.stop_services()
        if "_backend" in self.__dict__:
            self._backend.kafka.kill()
            self._backend.postgres.kill()

    def _migrate_templates(self, services: Iterable[str]) -> None:
        missing = [name for name in services if name not in self._migrated]
        if not missing:
            return
        self.cluster.create_databases(services=missing, suffix=_TEMPLATE_SUFFIX)
        env = {
            **{name: text for name, text in os.environ.items() if not name.startswith("OTA_")},
            **self.secret_env,
            **self._dsns(SERVICES, _TEMPLATE_SUFFIX),
            "OTA_KAFKA_BOOTSTRAP": self.broker.bootstrap,
        }
        begun = [
            _begin(name=name, command=self._command(name, "migrate", env=env, owner=True))
            for name in missing
        ]
        for task in begun:
            _end(task)
        self._migrated.update(missing)

    def _dsns(self, services: Iterable[str], suffix: str) -> dict[str, str]:
        wanted = tuple(f"OTA_{name.upper()}_" for name in services)
        found = dsns(
            secrets_by_name=self._secrets, server=self.cluster.server, database_suffix=suffix
        )
        return {name: dsn for name, dsn in found.items() if name.startswith(wanted)}

    def _command(
        self,
        service: str,
        *words: str,
        env: Mapping[str, str],
        owner: bool = False,
        number: bool = False,
    ) -> Command:
        suffix = f"-{len(self._services)}" if number else ""
        return Command(
            argv=(console_command(service=service), *words),
            environment=own_environment(environment=env, service=service, owner=owner),
            log=self._folder / "log" / f"{service}{suffix}.log",
            cwd=CHECKOUT,
            # Nothing may outlive the tests, not even a service that hangs.
            orphan_signal=signal.SIGKILL,
        )


@contextmanager
def running_stack() -> Iterator[Stack]:
    """Give a stack in a new folder and end it with all it holds; for a session-wide fixture."""
    _sweep_folders()
    with tempfile.TemporaryDirectory(prefix=_FOLDER_PREFIX, ignore_cleanup_errors=True) as name:
        lock = FolderLock(file=Path(name) / "lock")
        lock.acquire()
        stack = Stack(folder=Path(name))
        try:
            yield stack
        finally:
            stack.close()
            lock.release()


def _sweep_folders() -> None:
    # Left by test runs that were killed: their servers died with them, their folders did not.
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
        if (folder / "lock").exists() and not FolderLock(file=folder / "lock").held_elsewhere:
            shutil.rmtree(folder, ignore_errors=True)


def _local_backend(*, folder: Path, secrets_by_name: Mapping[str, str]) -> Backend:
    tools = provide_tools(settings=load(process_environment=os.environ), say=print)
    postgres_port, kafka_port, controller_port = free_ports(count=3)
    cluster = Cluster(
        folder=folder / "postgres",
        host=_HOST,
        connect_host=_HOST,
        port=postgres_port,
        binaries=tools.postgres_binaries,
        secrets_by_name=secrets_by_name,
        log=folder / "log" / "postgres.log",
    )
    broker = Broker(
        folder=folder / "kafka",
        host=_HOST,
        connect_host=_HOST,
        port=kafka_port,
        controller_port=controller_port,
        heap_mib=384,
        java=tools.java,
        jars=tools.jars,
        log=folder / "log" / "kafka.log",
    )
    return Backend(
        postgres=ServerProcess(
            "postgres",
            command=cluster.command(environment=os.environ),
            prepare=cluster.prepare,
            probe=cluster.probe,
        ),
        cluster=cluster,
        kafka=ServerProcess(
            "kafka",
            command=broker.command(environment=os.environ),
            prepare=broker.prepare,
            probe=broker.probe,
        ),
        broker=broker,
    )


def _start(server: Server) -> None:
    server.start()
    server.wait_ready()


def _begin(*, name: str, command: Command) -> ServerProcess:
    task = ServerProcess(name, command=command, prepare=lambda: None, probe=lambda: True)
    task.start()
    return task


def _end(task: ServerProcess) -> None:
    if task.wait_exit(timeout_s=READY_TIMEOUT_S) != 0:
        raise task.error(f"failed at `{' '.join(task.command.argv[1:])}`")
