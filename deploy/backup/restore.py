"""Restores to a moment, into a folder of its own: the stack that runs is not touched.

All databases are in one cluster and go back together, so what they know of each other fits.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from deploy.backup.backups import BackupError, BaseBackup, check
from deploy.local.credentials import dsns
from deploy.local.plan import console_command
from deploy.local.postgres import ACCOUNT, Cluster, PostgresError
from deploy.local.processes import account_prefix, spawn, sweep_group, tail, wait_until

RECOVERY_TIMEOUT_S: Final = 3600.0
STOP_TIMEOUT_S: Final = 60.0
COMMAND_TIMEOUT_S: Final = 120
DECIDING: Final = ("inventory", "reservation", "fulfillment")


def restore(
    *,
    cluster: Cluster,
    backup: BaseBackup,
    archive: Path,
    at: datetime | None,
    say: Callable[[str], None],
    database_suffix: str = "",
) -> None:
    """Make *cluster*, which does not exist yet, as of a moment, and begin its next generation.

    Without a moment it becomes as new as the archive is. It is stopped again at the end. Raises
    BackupError and leaves nothing behind if it cannot be made.
    """
    if cluster.data.exists():
        raise BackupError(f"{cluster.data} is there already: choose another folder")
    check(binaries=cluster.binaries, data=backup.data)
    cluster.folder.mkdir(parents=True, exist_ok=True)
    try:
        _copy(backup=backup, data=cluster.data)
        _ask_for(data=cluster.data, archive=archive, at=at)
        _recover(cluster=cluster, say=say, database_suffix=database_suffix)
    except BaseException:
        shutil.rmtree(cluster.data, ignore_errors=True)
        raise


def _copy(*, backup: BaseBackup, data: Path) -> None:
    say = ("cp", "--recursive", "--preserve=mode", str(backup.data), str(data))
    subprocess.run([*account_prefix(account=ACCOUNT), *say], check=True)


def _ask_for(*, data: Path, archive: Path, at: datetime | None) -> None:
    """Write down what the server shall do when it is started."""
    place = shlex.quote(str(archive)).replace("%", "%%")
    wanted = {
        "restore_command": f"test -f {place}/%f.gz && gunzip -c {place}/%f.gz > %p",
        "recovery_target_time": at.isoformat() if at is not None else "",
        "recovery_target_action": "promote",
    }
    with (data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
        for name, text in wanted.items():
            quoted = text.replace("'", "''")
            file.write(f"{name} = '{quoted}'\n")
    (data / "recovery.signal").touch()


def _recover(*, cluster: Cluster, say: Callable[[str], None], database_suffix: str) -> None:
    cluster.log.parent.mkdir(parents=True, exist_ok=True)
    process = spawn(command=cluster.command(environment=os.environ))
    try:
        wait_until(
            condition=lambda: process.poll() is not None or _writable(cluster=cluster),
            timeout_s=RECOVERY_TIMEOUT_S,
            pause_s=0.2,
        )
        if process.poll() is not None or not _writable(cluster=cluster):
            last = "\n".join(tail(log=cluster.log, lines=12))
            raise BackupError(f"the moment cannot be reached; PostgreSQL's words:\n{last}")
        for name in ("restore_command", "recovery_target_time", "recovery_target_action"):
            cluster.run_sql(script=f"ALTER SYSTEM RESET {name};")
        cluster.ensure_roles()
        for line in _begin_generation(cluster=cluster, database_suffix=database_suffix):
            say(line)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        sweep_group(process=process)


def _writable(*, cluster: Cluster) -> bool:
    try:
        return cluster.run_sql(script="SELECT pg_is_in_recovery();") == "f"
    except PostgresError:
        return False


def _begin_generation(*, cluster: Cluster, database_suffix: str) -> list[str]:
    environment: Mapping[str, str] = {
        **{name: text for name, text in os.environ.items() if not name.startswith("OTA_")},
        **dsns(
            secrets_by_name=cluster.secrets_by_name,
            server=cluster.server,
            database_suffix=database_suffix,
        ),
    }
    lines: list[str] = []
    for service in DECIDING:
        ended = subprocess.run(
            [console_command(service=service), "begin-generation"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_TIMEOUT_S,
        )
        if ended.returncode != 0:
            raise BackupError(f"ota-{service} begin-generation failed: {ended.stderr.strip()}")
        lines += ended.stdout.splitlines()
    return lines
