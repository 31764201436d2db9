"""Entry point of `make backup` and `make restore`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from deploy.backup.backups import BackupError, archive_now, before, take
from deploy.backup.restore import restore
from deploy.local.kafka import KafkaSetupError
from deploy.local.machine import MachineError
from deploy.local.ports import free_ports
from deploy.local.postgres import PostgresError
from deploy.local.settings import CHECKOUT, Settings, SettingsError, load, parse
from deploy.local.stack import Stack, StackError, provide_tools, shown


def main(*, arguments: list[str]) -> int:
    """Run one command and return its exit code; what a person can mend is told in words."""
    parser = argparse.ArgumentParser(prog="python -m deploy.backup", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("backup", help="copy the running stack's databases, keep their log")
    back = commands.add_parser("restore", help="make the databases of a moment, elsewhere")
    back.add_argument("--to", required=True, type=Path, help="data folder of the new stack")
    back.add_argument("--at", type=_moment, help="as 2026-11-23T14:05:00Z; without: the newest")
    given = parser.parse_args(arguments)
    try:
        settings = load(process_environment=os.environ)
        if given.command == "backup":
            return _backup(settings)
        return _restore(settings, to=given.to.resolve(), at=given.at)
    except (
        *(BackupError, SettingsError, StackError),
        *(MachineError, KafkaSetupError, PostgresError),
    ) as error:
        print(error, file=sys.stderr)
        return 1


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} is no moment with a zone: 2026-11-23T14:05:00Z")
    return at


def _backup(settings: Settings) -> int:
    stack = Stack(settings)
    if not stack.is_running():
        raise BackupError("the stack is not up: `make up` starts it")
    plan = stack.make_plan(tools=provide_tools(settings=settings, say=print))
    made = take(cluster=plan.cluster, folder=settings.backup_dir)
    print(f"{shown(path=made.folder)} is complete and checked; the log is kept from now on")
    print(f"any moment from {made.ended_at.isoformat()} on can be restored")
    print(f"keep {shown(path=stack.secrets_file)} elsewhere: a backup is of no use without it")
    return 0


def _restore(settings: Settings, *, to: Path, at: datetime | None) -> int:
    source = Stack(settings)
    tools = provide_tools(settings=settings, say=print)
    backup = before(folder=settings.backup_dir, at=at)
    if to.exists() and any(to.iterdir()):
        raise BackupError(f"{to} is not empty: choose another folder")
    if not source.secrets_file.exists():
        raise BackupError(f"{shown(path=source.secrets_file)} is gone: put it back first")
    if source.is_running():
        # All that is committed up to now, not only what is archived already.
        archive_now(cluster=source.make_plan(tools=tools).cluster)
    environment = {**settings.environment, "OTA_DATA_DIR": str(to), "OTA_BACKUP_DIR": ""}
    target = Stack(parse(environment=environment, checkout=CHECKOUT))
    to.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source.secrets_file, target.secrets_file)
    cluster = target.make_plan(tools=tools).cluster
    (port,) = free_ports(count=1)
    restore(
        cluster=replace(
            cluster, port=port, host="127.0.0.1", connect_host="127.0.0.1", archive=None
        ),
        backup=backup,
        archive=settings.backup_dir / "wal",
        at=at,
        say=print,
    )
    # Its data is what it was then, not a seed: a newer catalogue file does not stop its start.
    (to / "seeded").touch()
    print(f"restored into {shown(path=to)}; Kafka's topics are made anew at its first start:")
    print(f"  make down && OTA_DATA_DIR={shown(path=to)} make up")
    return 0


if __name__ == "__main__":
    sys.exit(main(arguments=sys.argv[1:]))
