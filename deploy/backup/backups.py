"""Base backups: the whole cluster as of one moment, and from then on its write-ahead log."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from deploy.local.credentials import SUPERUSER_PASSWORD
from deploy.local.postgres import ACCOUNT, Cluster
from deploy.local.processes import account_prefix, wait_until

BACKUP_TIMEOUT_S: Final = 3600
ARCHIVE_TIMEOUT_S: Final = 60.0


class BackupError(Exception):
    """A backup or a restore cannot be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseBackup:
    """One base backup; any later moment can be restored from it and the archive."""

    folder: Path
    ended_at: datetime

    @property
    def data(self) -> Path:
        """Return the copy of PostgreSQL's data folder."""
        return self.folder / "data"


def take(*, cluster: Cluster, folder: Path) -> BaseBackup:
    """Copy the running cluster into *folder*, check the copy, and keep the log from now on.

    Raises BackupError.
    """
    (folder / "base").mkdir(parents=True, exist_ok=True, mode=0o700)
    # The server looks for this folder whenever a piece of its log is finished.
    (folder / "wal").mkdir(exist_ok=True, mode=0o700)
    started_at = datetime.now(UTC)
    place = folder / "base" / started_at.strftime("%Y%m%dT%H%M%S.%fZ")
    unfinished = place.with_suffix(".part")
    unfinished.mkdir(mode=0o700)
    try:
        _run(
            *(str(cluster.binaries / "pg_basebackup"), "--pgdata", str(unfinished / "data")),
            *("--host", cluster.connect_host, "--port", str(cluster.port)),
            *("--username", "postgres", "--no-password", "--checkpoint=fast"),
            *("--wal-method=stream", "--format=plain"),
            environment={"PGPASSWORD": cluster.secrets_by_name[SUPERUSER_PASSWORD]},
        )
        check(binaries=cluster.binaries, data=unfinished / "data")
        ended_at = datetime.fromisoformat(cluster.run_sql(script="SELECT clock_timestamp();"))
        text = json.dumps({"ended_at": ended_at.isoformat()})
        (unfinished / "backup.json").write_text(text, encoding="utf-8")
        unfinished.rename(place)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    archive_now(cluster=cluster)
    return BaseBackup(folder=place, ended_at=ended_at)


def check(*, binaries: Path, data: Path) -> None:
    """Compare every file of a base backup with the manifest; raises BackupError."""
    _run(str(binaries / "pg_verifybackup"), "--quiet", str(data), environment={})


def archive_now(*, cluster: Cluster) -> None:
    """Put all that is committed into the archive; raises BackupError if that does not happen."""
    # A transaction of our own: a moment can be restored only if a later commit is known.
    piece = cluster.run_sql(
        script="SELECT pg_current_xact_id() \\g /dev/null\nSELECT pg_walfile_name(pg_switch_wal());"
    )
    archived = f"SELECT coalesce(last_archived_wal >= '{piece}', false) FROM pg_stat_archiver;"
    if not wait_until(
        condition=lambda: cluster.run_sql(script=archived) == "t",
        timeout_s=ARCHIVE_TIMEOUT_S,
        pause_s=0.1,
    ):
        raise BackupError(
            f"the server does not archive its log ({piece}): see `make logs SERVICE=postgres`"
        )


def kept(*, folder: Path) -> list[BaseBackup]:
    """Return the base backups in a folder, the oldest first."""
    found = []
    for told in sorted((folder / "base").glob("*/backup.json")):
        if not told.parent.name.endswith(".part"):
            ended_at = datetime.fromisoformat(json.loads(told.read_text())["ended_at"])
            found.append(BaseBackup(folder=told.parent, ended_at=ended_at))
    return found


def before(*, folder: Path, at: datetime | None) -> BaseBackup:
    """Return the newest base backup that was complete at a moment; raises BackupError."""
    backups = kept(folder=folder)
    if not backups:
        raise BackupError(f"there is no backup in {folder}: `make backup` makes one")
    fitting = [each for each in backups if at is None or each.ended_at <= at]
    if not fitting:
        raise BackupError(
            f"the oldest backup was complete at {backups[0].ended_at.isoformat()}:"
            " an earlier moment cannot be restored"
        )
    return fitting[-1]


def _run(*words: str, environment: Mapping[str, str]) -> None:
    ended = subprocess.run(
        [*account_prefix(account=ACCOUNT), *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=BACKUP_TIMEOUT_S,
    )
    if ended.returncode != 0:
        raise BackupError(f"{Path(words[0]).name} failed: {ended.stderr.strip()}")
