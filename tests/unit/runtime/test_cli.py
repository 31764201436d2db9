"""The console commands' frame: which command runs, with which settings, how it ends."""

from __future__ import annotations

import argparse
import io
import sys

import asyncpg
import pytest

from libs.runtime.cli import Command, CommandFailed, run_command
from libs.runtime.config import Dsn, ServiceSettings


class RunSettings(ServiceSettings):
    """What running needs."""


class OwnerSettings(ServiceSettings):
    """What migrating needs."""

    inventory_owner_dsn: Dsn


def run(settings: ServiceSettings, _: argparse.Namespace) -> int:
    """Run the service."""
    print(f"run with {settings.partitions} partitions")
    return 0


def migrate(_: ServiceSettings, __: argparse.Namespace) -> int:
    """Fail as a migration does."""
    raise CommandFailed("0002_pre_x.sql failed; see above")


def load(_: ServiceSettings, arguments: argparse.Namespace) -> int:
    """Load a file."""
    print(f"loaded {arguments.file}")
    return 7


def with_file(parser: argparse.ArgumentParser) -> None:
    """Add the argument of a command that loads a file."""
    parser.add_argument("file", help="the file")


def call(*arguments: str) -> int:
    """Call the service's console command."""
    commands: list[Command[ServiceSettings]] = [
        Command(name="run", help="Run the service.", settings=RunSettings, run=run),
        Command(name="migrate", help="Apply migrations.", settings=OwnerSettings, run=migrate),
        Command(
            name="load-catalogue",
            help="Load a catalogue file.",
            settings=RunSettings,
            run=load,
            arguments=with_file,
        ),
    ]
    return run_command(
        program="ota-inventory",
        description="Keeps the stock.",
        commands=commands,
        arguments=arguments,
    )


@pytest.mark.parametrize("arguments", [(), ("run",)])
def test_running_is_the_default(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a command the service runs."""
    assert 0 == call(*arguments)
    assert "run with 4 partitions\n" == capsys.readouterr().out


def test_a_command_has_its_own_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is the command's own."""
    assert 7 == call("load-catalogue", "products.json")
    assert "loaded products.json\n" == capsys.readouterr().out


def test_wrong_settings_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that lacks a setting names the variable and ends with 2; others still run."""
    monkeypatch.delenv("OTA_INVENTORY_OWNER_DSN", raising=False)
    assert 2 == call("migrate")
    assert "  OTA_INVENTORY_OWNER_DSN: is not set\n" in capsys.readouterr().err
    assert 0 == call("run")


def test_a_failure_is_told_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the operator can remove is a sentence and exit code 1."""
    monkeypatch.setenv("OTA_INVENTORY_OWNER_DSN", "postgresql://owner@127.0.0.1/x")
    assert 1 == call("migrate")
    assert "0002_pre_x.sql failed; see above\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            asyncpg.UndefinedTableError('relation "partner" does not exist'),
            'not up to date (relation "partner" does not exist): run the service\'s migrate',
        ),
        (
            asyncpg.InsufficientPrivilegeError("permission denied for table partner"),
            "role may not do it (permission denied for table partner): is it the right OTA_..._DSN",
        ),
        (
            asyncpg.InvalidPasswordError("password authentication failed\nDETAIL: of canary"),
            "cannot do it (InvalidPasswordError: password authentication failed)\n",
        ),
        (
            asyncpg.InterfaceError("connection is closed"),
            "cannot do it (InterfaceError: connection is closed)\n",
        ),
    ],
)
def test_what_a_database_refuses_is_one_line(
    error: Exception, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not migrated, not granted, not let in: what it is and what to do, no traceback."""

    def fail(_: ServiceSettings, __: argparse.Namespace) -> int:
        raise error

    command = Command(name="load", help="Load.", settings=RunSettings, run=fail)
    assert 1 == run_command(program="x", description="x", commands=[command], arguments=["load"])
    captured = capsys.readouterr()
    assert ("", 1) == (captured.out, captured.err.count("\n"))
    assert told in captured.err


@pytest.mark.parametrize("arguments", [("--help",), ("load-catalogue", "--help")])
def test_help_tells_what_there_is(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """--help lists commands and their arguments and ends with 0."""
    with pytest.raises(SystemExit) as ended:
        call(*arguments)
    assert 0 == ended.value.code
    text = capsys.readouterr().out
    assert "ota-inventory" in text
    assert "Load a catalogue file." in text


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt command must not run the service."""
    with pytest.raises(SystemExit) as ended:
        call("runn")
    assert 2 == ended.value.code
    assert "runn" in capsys.readouterr().err


def grouped(*arguments: str) -> int:
    """Call a console command with groups and without a default."""

    def named(name: str) -> Command[ServiceSettings]:
        def told(_: ServiceSettings, arguments: argparse.Namespace) -> int:
            print(f"{name} {arguments.file}")
            return 0

        return Command(
            name=name, help=f"Do {name}.", settings=RunSettings, run=told, arguments=with_file
        )

    return run_command(
        program="ota-admin",
        description="Runs the platform.",
        commands=[named("key rotate"), named("key list"), named("stock list"), named("check")],
        groups={"key": "API keys.", "stock": "Units."},
        epilog="settings: the environment",
        default=None,
        arguments=arguments,
    )


@pytest.mark.parametrize("name", ["key list", "stock list", "key rotate", "check"])
def test_two_words_are_a_group_and_a_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same word may stand in two groups, and commands beside groups."""
    assert 0 == grouped(*name.split(), "x")
    assert f"{name} x\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "shown", "not_shown"),
    [
        ((), ["API keys.", "Units.", "Do check.", "settings: the environment"], ["Do key list."]),
        (("key",), ["Do key rotate.", "Do key list."], ["Do stock list."]),
    ],
)
def test_half_a_command_shows_what_there_is(
    arguments: tuple[str, ...],
    shown: list[str],
    not_shown: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing runs; the help of the group comes on standard error with exit code 2."""
    assert 2 == grouped(*arguments)
    captured = capsys.readouterr()
    assert "" == captured.out
    assert [True] * len(shown) == [text in captured.err for text in shown]
    assert [False] * len(not_shown) == [text in captured.err for text in not_shown]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("--help",), "API keys."),
        (("key", "--help"), "Do key rotate."),
        (("key", "rotate", "--help"), "the file"),
    ],
)
def test_every_level_has_help(
    arguments: tuple[str, ...], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program's, a group's and a command's, each with exit code 0."""
    with pytest.raises(SystemExit) as ended:
        grouped(*arguments)
    assert 0 == ended.value.code
    assert shown in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [("kei", "list"), ("key", "rotat", "x"), ("key", "list")])
def test_a_misspelt_command_of_a_group_is_refused(arguments: tuple[str, ...]) -> None:
    """As is one without its arguments."""
    with pytest.raises(SystemExit) as ended:
        grouped(*arguments)
    assert 2 == ended.value.code


@pytest.mark.parametrize(
    ("error", "code", "told"), [(KeyboardInterrupt(), 130, "stopped\n"), (BrokenPipeError(), 1, "")]
)
def test_whoever_has_enough_sees_no_traceback(
    error: BaseException,
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ctrl-C, and a reader such as ``head`` that has gone."""
    before = sys.stdout
    monkeypatch.setattr(sys, "stdout", before)

    def fail(_: ServiceSettings, __: argparse.Namespace) -> int:
        raise error

    command = Command(name="load", help="Load.", settings=RunSettings, run=fail)
    assert code == run_command(program="x", description="x", commands=[command], arguments=["load"])
    if sys.stdout is not before:
        sys.stdout.close()
    assert told == capsys.readouterr().err


def test_an_argument_that_is_no_text_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is done with it."""
    with pytest.raises(SystemExit) as ended:
        call("load-catalogue", b"\xff".decode(errors="surrogateescape"))
    assert 2 == ended.value.code
    assert "an argument is not UTF-8" in capsys.readouterr().err


def test_names_that_the_terminal_cannot_show_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done is told all the same."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert 7 == call("load-catalogue", "港.json")
    assert b"loaded \\u6e2f.json\n" == raw.getvalue()
