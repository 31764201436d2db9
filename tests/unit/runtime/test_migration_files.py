"""Migration files: what their names and numbers must be."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from libs.runtime.migrate import Migration, MigrationError, MigrationSet, read_migrations


def folder(base: Path, *names: str, sql: str = "SELECT 1;\n") -> Path:
    """Make a folder with files of these names."""
    base.mkdir(exist_ok=True)
    for name in names:
        (base / name).write_text(sql, encoding="utf-8")
    return base


def test_files_are_read_in_order(tmp_path: Path) -> None:
    """Sets in the order given, files by number; what is no SQL file is left alone."""
    first = folder(tmp_path / "a", "0002_post_b.sql", "0001_pre_a.sql", "README.md")
    second = folder(tmp_path / "b", "0001_pre_c.sql")
    found = read_migrations(
        [MigrationSet(name="log", folder=first), MigrationSet(name="ledger", folder=second)]
    )
    assert [
        ("log", 1, "pre", "0001_pre_a.sql"),
        ("log", 2, "post", "0002_post_b.sql"),
        ("ledger", 1, "pre", "0001_pre_c.sql"),
    ] == [(each.set_name, each.number, each.stage, each.name) for each in found]
    assert hashlib.sha256(b"SELECT 1;\n").hexdigest() == found[0].checksum


@pytest.mark.parametrize(
    "names",
    [
        ("0002_pre_a.sql",),
        ("0001_pre_a.sql", "0003_pre_b.sql"),
        ("0001_pre_a.sql", "0001_pre_b.sql"),
        ("0000_pre_a.sql", "0001_pre_b.sql"),
    ],
)
def test_numbers_run_without_gap_or_repeat(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Two branches that took the same number are noticed before anything runs."""
    with pytest.raises(MigrationError, match=r"set log: .*without gap"):
        read_migrations([MigrationSet(name="log", folder=folder(tmp_path / "a", *names))])


@pytest.mark.parametrize(
    "name", ["1_pre_a.sql", "0001_a.sql", "0001_mid_a.sql", "0001_pre_A.sql", "0001_pre_.sql"]
)
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    """A file that would silently never run is an error."""
    with pytest.raises(MigrationError, match="NNNN_<pre"):
        read_migrations([MigrationSet(name="log", folder=folder(tmp_path / "a", name))])


@pytest.mark.parametrize("sql", ["BEGIN;\nSELECT 1;\nCOMMIT;", "  commit ;", "Rollback;"])
def test_files_do_not_control_transactions(tmp_path: Path, sql: str) -> None:
    """A COMMIT in the middle would leave half a file applied."""
    made = folder(tmp_path / "a", "0001_pre_a.sql", sql=sql)
    with pytest.raises(MigrationError, match="one transaction"):
        read_migrations([MigrationSet(name="log", folder=made)])


def test_blocks_of_functions_are_no_transactions(tmp_path: Path) -> None:
    """BEGIN of a procedure's body is fine."""
    sql = "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\n  NULL;\nEND;\n$$;\n"
    made = folder(tmp_path / "a", "0001_pre_a.sql", sql=sql)
    [found] = read_migrations([MigrationSet(name="log", folder=made)])
    assert isinstance(found, Migration)
    assert sql == found.sql


def test_a_set_without_files_is_refused(tmp_path: Path) -> None:
    """A package built without its SQL files must not look up to date."""
    for empty in (tmp_path, tmp_path / "missing"):
        with pytest.raises(MigrationError, match="no files"):
            read_migrations([MigrationSet(name="log", folder=empty)])
