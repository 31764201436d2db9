"""Which backup serves which moment, and what the server is told about its log."""

from __future__ import annotations

import argparse
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.backup.__main__ import _moment
from deploy.backup.backups import BackupError, before
from deploy.local.postgres import archive_settings

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def backup(folder: Path, *, name: str, ended_at: datetime) -> None:
    """Leave a base backup's record."""
    place = folder / "base" / name
    place.mkdir(parents=True)
    (place / "backup.json").write_text(json.dumps({"ended_at": ended_at.isoformat()}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two complete backups, and one that was broken off."""
    backup(tmp_path, name="1", ended_at=NOON)
    backup(tmp_path, name="2", ended_at=NOON + timedelta(hours=1))
    backup(tmp_path, name="3.part", ended_at=NOON + timedelta(hours=2))
    return tmp_path


@pytest.mark.parametrize(("hours", "expected"), [(0, "1"), (0.5, "1"), (1, "2"), (9, "2")])
def test_the_newest_backup_before_the_moment_is_taken(
    folder: Path, hours: float, expected: str
) -> None:
    """One that was complete by then: the log goes forward only."""
    assert expected == before(folder=folder, at=NOON + timedelta(hours=hours)).folder.name


def test_without_a_moment_the_newest_is_taken(folder: Path) -> None:
    """And a broken one never."""
    assert "2" == before(folder=folder, at=None).folder.name


def test_a_moment_before_all_backups_is_refused(folder: Path, tmp_path: Path) -> None:
    """In words that say what there is."""
    with pytest.raises(BackupError, match="oldest backup was complete at 2026-11-23T12:00"):
        before(folder=folder, at=NOON - timedelta(seconds=1))
    with pytest.raises(BackupError, match="make backup"):
        before(folder=tmp_path / "nothing", at=None)


def test_a_moment_needs_a_zone() -> None:
    """A night with two hours of that name is no time for guesses."""
    assert NOON == _moment("2026-11-23T12:00:00Z") == _moment("2026-11-23T20:00:00+08:00")
    assert _moment("") is None
    for text in ("2026-11-23T12:00:00", "yesterday"):
        with pytest.raises(argparse.ArgumentTypeError, match="zone"):
            _moment(text)


@pytest.mark.parametrize("name", ["wal", "it's 100% mine"])
def test_a_piece_of_the_log_is_kept_once_there_is_a_place_for_it(tmp_path: Path, name: str) -> None:
    """Before a first backup nothing is; afterwards the piece is whole, or there is none."""
    place, piece = tmp_path / name, tmp_path / "piece"
    piece.write_bytes(b"log" * 1000)
    command = archive_settings(folder=place)["archive_command"]
    # What the server does to the setting before it is run.
    run = command.replace("%%", "\0").replace("%p", str(piece)).replace("%f", "0001")
    run = run.replace("\0", "%")
    subprocess.run(["sh", "-c", run], check=True)
    assert not place.exists()
    place.mkdir()
    subprocess.run(["sh", "-c", run], check=True)
    assert ["0001.gz"] == [each.name for each in place.iterdir()]
    unpacked = subprocess.run(["gunzip", "-c", str(place / "0001.gz")], capture_output=True)
    assert piece.read_bytes() == unpacked.stdout
    piece.unlink()
    (place / "0001.gz").unlink()
    assert 0 != subprocess.run(["sh", "-c", run], check=False, capture_output=True).returncode
    assert not (place / "0001.gz").exists()
