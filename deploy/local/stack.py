"""One stack on disk: its files, its locks, and how settings become servers and a plan."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.local import machine
from deploy.local.credentials import load_or_make
from deploy.local.kafka import Broker
from deploy.local.kafka_jars import install_jars, jar_folder
from deploy.local.monitoring import find_monitoring, with_monitoring
from deploy.local.plan import Plan, console_command, make_plan
from deploy.local.postgres import Cluster
from deploy.local.settings import CHECKOUT, SERVICES, Settings
from deploy.local.state import FolderLock, StackState, read


class StackError(Exception):
    """A command cannot be carried out; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs of the machine that the stack is made of."""

    postgres_binaries: Path
    java: Path
    jars: Path


@dataclass(frozen=True, slots=True)
class Stack:
    """The files of one stack. Nothing is read or written before a method is called."""

    settings: Settings

    @property
    def secrets_file(self) -> Path:
        """Return the file of passwords and keys."""
        return self.settings.data_dir / "secrets.env"

    @property
    def state_file(self) -> Path:
        """Return the file in which the supervisor tells where everything stands."""
        return self.settings.data_dir / "state.json"

    @property
    def wipe_marker(self) -> Path:
        """Return the file that is there from the first to the last step of a reset."""
        return self.settings.data_dir / "reset.pending"

    @property
    def roll_marker(self) -> Path:
        """Return the file that names the services whose processes are to be restarted."""
        return self.settings.data_dir / "roll.asked"

    @property
    def launcher_log(self) -> Path:
        """Return the supervisor's own log."""
        return self.settings.log_dir / "launcher.log"

    @property
    def supervisor_lock(self) -> FolderLock:
        """Return the lock that a supervisor holds for as long as it lives."""
        return FolderLock(file=self.settings.data_dir / "supervisor.lock")

    @property
    def command_lock(self) -> FolderLock:
        """Return the lock that keeps two commands from working on one stack at once."""
        return FolderLock(file=self.settings.data_dir / "command.lock")

    def state(self) -> StackState | None:
        """Return what the last supervisor told; None if there never was one."""
        return read(file=self.state_file)

    def is_running(self) -> bool:
        """Return whether a supervisor is alive, whatever the state file says."""
        return self.supervisor_lock.held_elsewhere

    def make_plan(self, *, tools: Tools) -> Plan:
        """Return the plan of this stack. Makes the secrets on the first call."""
        settings = self.settings
        secrets_by_name = load_or_make(file=self.secrets_file)
        plan = make_plan(
            settings=settings,
            secrets_by_name=secrets_by_name,
            cluster=Cluster(
                folder=settings.data_dir / "postgres",
                host=settings.postgres.host,
                connect_host=settings.postgres.connect_host,
                port=settings.postgres.port,
                binaries=tools.postgres_binaries,
                secrets_by_name=secrets_by_name,
                log=settings.log_dir / "postgres.log",
                archive=settings.backup_dir / "wal",
            ),
            broker=Broker(
                folder=settings.data_dir / "kafka",
                host=settings.kafka.host,
                connect_host=settings.kafka.connect_host,
                port=settings.kafka.port,
                controller_port=settings.kafka_controller.port,
                heap_mib=settings.kafka_heap_mib,
                java=tools.java,
                jars=tools.jars,
                log=settings.log_dir / "kafka.log",
            ),
        )
        return with_monitoring(plan, settings)

    def check_files(self) -> None:
        """Raise StackError if a file that a start needs is not there."""
        for variable, file in (
            ("OTA_CATALOGUE_FILE", self.settings.catalogue_file),
            ("OTA_PARTNERS_FILE", self.settings.partners_file),
        ):
            if not file.is_file():
                raise StackError(f"{shown(path=file)} does not exist ({variable})")
        for name in SERVICES:
            if not Path(console_command(service=name)).exists():
                raise StackError(
                    f"the command ota-{name} is not installed in .venv: run `make install`"
                )
        if (self.settings.data_dir / "postgres" / "data").exists() and not (
            self.secrets_file.exists()
        ):
            raise StackError(
                f"{shown(path=self.secrets_file)} is gone, and without it the data beside it "
                "cannot be read: put it back, or start anew with `make clean`"
            )

    def spawn_supervisor(self) -> subprocess.Popen[bytes]:
        """Start the supervisor in the background; return once it has told of itself or ended."""
        self.launcher_log.parent.mkdir(parents=True, exist_ok=True)
        with self.launcher_log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "deploy.local", "supervise"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self.settings.environment),
                cwd=CHECKOUT,
                start_new_session=True,
            )
        while process.poll() is None:
            state = self.state()
            if state is not None and state.supervisor.pid == process.pid:
                break
            time.sleep(0.02)
        return process


def find_tools(*, settings: Settings) -> list[machine.Finding]:
    """Look for everything that the stack needs from the machine."""
    findings = [
        machine.find_postgres(configured=settings.postgres_bin),
        machine.find_java(java_home=settings.environment.get("JAVA_HOME")),
    ]
    if not jar_folder().exists():
        findings.append(machine.find_maven())
    if settings.monitoring:
        findings += find_monitoring()
    return findings


def provide_tools(*, settings: Settings, say: Callable[[str], None]) -> Tools:
    """Return the tools, getting what is missing where that can be done.

    Raises MachineError or KafkaSetupError where it cannot.
    """
    places = machine.provide(
        look=lambda: find_tools(settings=settings),
        say=say,
        log=settings.log_dir / "install.log",
    )
    java = places["default-jre-headless"]
    return Tools(
        postgres_binaries=places["postgresql"],
        java=java,
        jars=install_jars(maven=places.get("maven"), java=java, say=say),
    )


def shown(*, path: Path) -> str:
    """Return a path as a reader in the checkout would write it."""
    return os.path.relpath(path, CHECKOUT) if path.is_relative_to(CHECKOUT) else str(path)
