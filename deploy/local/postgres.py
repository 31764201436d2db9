"""The local PostgreSQL: one cluster in the data folder, its settings, roles and databases.

Tables are not its business: each service's `migrate` makes its own.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.local.credentials import SUPERUSER_PASSWORD
from deploy.local.machine import postgres_major
from deploy.local.processes import (
    Command,
    Running,
    account_prefix,
    start_mark,
    stop_leftover,
    wait_until,
)
from deploy.local.settings import CHECKOUT, SERVICES

# Shared with docker-compose.yml: one truth about who may do what.
_SCRIPTS: Final = CHECKOUT / "deploy" / "postgres"

# PostgreSQL refuses to run as root; this is the account that its Debian package brings.
ACCOUNT: Final = "postgres"

SERVER_SETTINGS: Final[Mapping[str, str]] = {
    # Truth lives here: an answer that was given is on the disk.
    "fsync": "on",
    "synchronous_commit": "on",
    # Ids are spread at random over their indexes: those of the last days should stay in memory.
    "shared_buffers": "512MB",
    "max_connections": "100",
    # At 3,500 reserves a second 512 MB would mean a checkpoint each 15 s, and after each one
    # every page that is touched is written in full.
    "max_wal_size": "2GB",
    # Statements are short and many; compiling them would cost more than running them.
    "jit": "off",
    # A stalled writer must not hold its partition's head row for longer than callers wait.
    "idle_in_transaction_session_timeout": "5s",
    # A killed process loses its locks soon, also when the network swallowed its farewell.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "2s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m %q%u@%d ",
    "log_checkpoints": "off",
    "log_min_duration_statement": "1s",
    # Every client comes through TCP and a password, as it would on a server of its own.
    "unix_socket_directories": "",
}


class PostgresError(Exception):
    """PostgreSQL could not be set up; the message carries its own words."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One PostgreSQL server: where it keeps its data, where it listens, how to speak to it."""

    folder: Path
    host: str
    connect_host: str
    port: int
    binaries: Path
    secrets_by_name: Mapping[str, str]
    log: Path
    server_settings: Mapping[str, str] = field(default_factory=dict)
    # Where finished pieces of the write-ahead log go, once a backup has made this folder.
    archive: Path | None = None

    @property
    def data(self) -> Path:
        """Return PostgreSQL's own data folder."""
        return self.folder / "data"

    @property
    def server(self) -> str:
        """Return `host:port` for clients."""
        host = f"[{self.connect_host}]" if ":" in self.connect_host else self.connect_host
        return f"{host}:{self.port}"

    def prepare(self) -> None:
        """Make the cluster if there is none, and clear away what a crash left.

        Raises PostgresError if it cannot be made, or was made by another major version.
        """
        if not self.data.exists():
            self._initialise()
        recorded = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        found = postgres_major(binaries=self.binaries)
        if recorded != str(found):
            raise PostgresError(
                f"the data was made by PostgreSQL {recorded}, this machine has {found}. "
                "Point OTA_POSTGRES_BIN to the old binaries, or start anew with `make clean`"
            )
        self._clear_stale_lock_file()

    def _initialise(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        ended = subprocess.run(
            [
                *account_prefix(account=ACCOUNT),
                str(self.binaries / "initdb"),
                *("-D", str(unfinished), "--username=postgres", "--pwfile=/dev/stdin"),
                *("--auth=scram-sha-256", "--data-checksums"),
                # Sorted by code point: the same order here, in the container and in Python.
                *("--encoding=UTF8", "--locale=C"),
            ],
            input=self.secrets_by_name[SUPERUSER_PASSWORD],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if ended.returncode != 0:
            raise PostgresError(f"initdb failed: {ended.stderr.strip() or ended.stdout.strip()}")
        unfinished.rename(self.data)

    def _clear_stale_lock_file(self) -> None:
        lock_file = self.data / "postmaster.pid"
        if not lock_file.exists():
            return
        pid = int(lock_file.read_text(encoding="utf-8").split("\n", 1)[0])
        mark = start_mark(pid=pid)
        if mark is None or not Path("/proc").exists():
            # PostgreSQL itself sees that the process is gone, or we cannot tell whose it is.
            return
        if _working_folder(pid=pid) == self.data.resolve():
            # Left by a launcher that was killed. The folder is ours, so its server is.
            stop_leftover(leftover=Running(pid, mark, int(signal.SIGINT)), budget_s=15)
        else:
            # The kernel gave the number to another process; PostgreSQL would refuse to start for
            # its sake.
            lock_file.unlink()

    def command(self, *, environment: Mapping[str, str]) -> Command:
        """Return how the server is started and ended."""
        settings = {
            **SERVER_SETTINGS,
            "listen_addresses": self.host,
            "port": str(self.port),
            **(archive_settings(folder=self.archive) if self.archive is not None else {}),
            **self.server_settings,
        }
        options = [word for name, text in settings.items() for word in ("-c", f"{name}={text}")]
        return Command(
            argv=(str(self.binaries / "postgres"), "-D", str(self.data), *options),
            environment=environment,
            log=self.log,
            cwd=self.folder,
            account=ACCOUNT,
            # Fast shutdown: sessions are ended, the log is closed cleanly.
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGINT,
        )

    def probe(self) -> bool:
        """Return whether the server takes sessions."""
        ended = subprocess.run(
            [
                str(self.binaries / "pg_isready"),
                *("-q", "-t", "2", "-h", self.connect_host, "-p", str(self.port)),
            ],
            check=False,
            timeout=10,
        )
        return ended.returncode == 0

    def run_sql(
        self,
        *,
        script: str,
        database: str = "postgres",
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """Run a psql script as superuser and return what it printed, unaligned.

        Raises PostgresError with the server's words at the first statement that fails.
        """
        ended = subprocess.run(
            [
                *(str(self.binaries / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"),
                *(f"--variable={name}={text}" for name, text in (variables or {}).items()),
                *("-h", self.connect_host, "-p", str(self.port)),
                *("-U", "postgres", "-d", database, "-f", "-"),
            ],
            # Through standard input and the environment: no password shows in a list of processes.
            input=script,
            env={
                **os.environ,
                **self.secrets_by_name,
                "PGPASSWORD": self.secrets_by_name[SUPERUSER_PASSWORD],
                "PGCONNECT_TIMEOUT": "5",
                "PGOPTIONS": "--client-min-messages=warning",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if ended.returncode != 0:
            raise PostgresError(ended.stderr.strip())
        return ended.stdout.strip()

    def ensure_databases(self) -> None:
        """Make the roles and databases that are missing and set every password again."""
        self.ensure_roles()
        self.create_databases()

    def ensure_roles(self) -> None:
        """Make the roles that are missing and set every password again."""
        self.run_sql(script=(_SCRIPTS / "roles.sql").read_text(encoding="utf-8"))

    def create_databases(
        self,
        *,
        services: Iterable[str] = SERVICES,
        suffix: str = "",
        template_suffix: str | None = None,
    ) -> None:
        """Make the services' databases that are missing, empty or as copies of another set."""
        variables = {"services": ",".join(services), "suffix": suffix}
        if template_suffix is not None:
            variables["template_suffix"] = template_suffix
        self.run_sql(
            script=(_SCRIPTS / "databases.sql").read_text(encoding="utf-8"), variables=variables
        )

    def drop_databases(self, *, services: Iterable[str] = SERVICES, suffix: str = "") -> None:
        """Drop the services' databases, ending the sessions that are on them."""
        self.run_sql(
            script="".join(
                f'DROP DATABASE IF EXISTS "ota_{name}{suffix}" WITH (FORCE);\n' for name in services
            )
        )

    def recreate_databases(self) -> None:
        """Drop the four databases with all they hold and make them again, empty."""
        self.drop_databases()
        self.create_databases()

    def wait_ready(self, *, timeout_s: float) -> bool:
        """Wait until the server takes sessions; return whether it does."""
        return wait_until(condition=self.probe, timeout_s=timeout_s, pause_s=0.05)


def archive_settings(*, folder: Path) -> dict[str, str]:
    """Return the settings that keep the write-ahead log in a folder, if it is there.

    A piece is compressed, on the disk and under its name before the server may forget it.
    """
    place = shlex.quote(str(folder)).replace("%", "%%")
    return {
        "archive_mode": "on",
        "archive_command": f"test ! -d {place} || {{ gzip -1 -c %p > {place}/%f.part"
        f" && sync {place}/%f.part && mv {place}/%f.part {place}/%f.gz; }}",
        # What a lost disk can take with it at most; an unfinished piece is nearly all zeros.
        "archive_timeout": "60s",
    }


def _working_folder(*, pid: int) -> Path | None:
    # PostgreSQL works in its data folder, which tells our server from any other process.
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True)
    except OSError:
        return None
