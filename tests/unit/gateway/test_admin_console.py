"""The operators' console: its help, who acts, questions, durations, and what it prints."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import io
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from libs.runtime.cli import Command, CommandFailed
from services.gateway.admin import databases, keys, personal, terminal
from services.gateway.admin.cli import COMMANDS, EPILOG, GROUPS, cli
from services.gateway.domain.directory import PERMISSIONS

NOWHERE = "postgresql://ota@127.0.0.1:1/nothing"


def named(**values: object) -> argparse.Namespace:
    """Return parsed arguments."""
    return argparse.Namespace(**values)


def parser_of(name: str) -> argparse.ArgumentParser:
    """Return the parser of a command's own arguments."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    next(each for each in COMMANDS if each.name == name).arguments(parser)
    return parser


def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return what the console prints for *words*, wherever."""
    monkeypatch.setattr("sys.argv", ["ota-admin", *words])
    with pytest.raises(SystemExit):
        cli()
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_help_teaches(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Groups with a sentence each, examples, where settings come from; alone it says the same."""
    text = shown(monkeypatch, capsys, "--help")
    groups = {each.name.split()[0] for each in COMMANDS}
    assert groups <= set(GROUPS)
    for group in groups:
        assert group in text
    assert "OTA_GATEWAY_DSN" in text
    assert "need not be restarted, save after `directory rebuild`" in " ".join(text.split())
    assert text == shown(monkeypatch, capsys)


def test_every_example_of_the_help_can_be_typed() -> None:
    """Each names a command that there is, with arguments that it takes."""
    text = re.sub(r"\\\\?\n\s+", "", EPILOG)
    examples = re.findall(r"^ {6}ota-admin (.+)$", text, flags=re.MULTILINE)
    assert len(examples) > 5
    for example in examples:
        group, word, *arguments = example.replace('"Harbour Travel"', "Harbour").split()
        parser_of(f"{group} {word}").parse_args(arguments)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help(
    command: Command[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sentence for the list, and each argument explained."""
    text = shown(monkeypatch, capsys, *command.name.split(), "--help")
    assert command.help.split()[0] in text
    parser = argparse.ArgumentParser()
    command.arguments(parser)
    assert [] == [action.dest for action in parser._actions if not action.help]


@pytest.mark.parametrize("name", [each.name for each in COMMANDS if each.name.endswith("list")])
def test_lists_are_for_programs_too(name: str) -> None:
    """All listing commands take --json."""
    assert parser_of(name).parse_args(["--json"]).json


def test_the_actor_is_the_user_or_whoever_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """--as wins; a user without a name must use it."""
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    assert "ada" == terminal.actor(named(actor=None))
    assert "Bob B." == terminal.actor(named(actor="Bob B."))

    def nobody() -> str:
        raise OSError("no such user")

    monkeypatch.setattr(getpass, "getuser", nobody)
    with pytest.raises(CommandFailed, match="--as"):
        terminal.actor(named(actor=None))


@pytest.mark.parametrize("name", ["", " ", "a\nb", " a", "a" * 65, "a\x1b[0m"])
def test_an_actor_fits_on_a_line(name: str) -> None:
    """What goes into the record for good is readable there."""
    with pytest.raises(CommandFailed, match="1 to 64"):
        terminal.actor(named(actor=name))


@pytest.mark.parametrize(
    ("yes", "tty", "typed", "done"),
    [
        (True, False, "", True),
        (False, False, "y\n", False),
        (False, True, "y\n", True),
        (False, True, "YES\n", True),
        (False, True, "\n", False),
        (False, True, "no\n", False),
        (False, True, "", False),
    ],
)
def test_what_cannot_be_undone_is_asked_about(
    yes: bool, tty: bool, typed: str, done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person is asked, a program must have said --yes; anything but yes is no."""
    given = io.StringIO(typed)
    monkeypatch.setattr(given, "isatty", lambda: tty)
    monkeypatch.setattr("sys.stdin", given)
    if done:
        terminal.confirm("Sure?", named(yes=yes))
        return
    with pytest.raises(CommandFailed, match="nothing was done"):
        terminal.confirm("Sure?", named(yes=yes))


def test_ctrl_c_at_a_question_is_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once and without a traceback, also where asyncio has taken the signal."""

    def interrupted(_: str) -> str:
        signal.raise_signal(signal.SIGINT)
        return "y"

    monkeypatch.setattr("builtins.input", interrupted)

    async def work() -> None:
        terminal.ask("Sure?")

    with pytest.raises(CommandFailed, match="nothing was done"):
        asyncio.run(work())


def test_columns_are_as_wide_as_they_look(capsys: pytest.CaptureFixture[str]) -> None:
    """A Chinese character takes two columns."""
    rows = [{"name": "港口", "status": "active"}, {"name": "e\u0301t\u00e9", "status": "ended"}]
    terminal.show_table(("name", "status"), rows)
    assert [
        "NAME  STATUS",
        "港口  active",
        "e\u0301t\u00e9   ended",
    ] == capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("partner change harbour", "give --name, --calls, --grant or --withdraw"),
        (
            "partner change harbour --grant orders:read --withdraw orders:read",
            "orders:read cannot be granted and withdrawn",
        ),
        ("audit search --since 1h --until 2h", "--since must be before --until"),
        ("audit search --follow --until 2h", "--follow does not go with"),
        ("audit search --follow --limit 50", "--follow does not go with"),
        ("data erase --phone xyz --yes", "a phone has digits"),
        ("stock show --product abc", "'abc' is no product id"),
        ("stock allot 106 ota 9999999999", "no number of units, 0 to 1000000000"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(
    words: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rather than done in part, or answered with an empty list."""
    for name in ("GATEWAY", "GATEWAY_OWNER", "INVENTORY_READ", "FULFILLMENT_READ"):
        monkeypatch.setenv(f"OTA_{name}_DSN", NOWHERE)
    monkeypatch.setenv("OTA_FINGERPRINT_KEY", "f" * 64)
    assert told in shown(monkeypatch, capsys, *words.split())


def test_a_value_from_standard_input_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are none are refused in words."""
    raw = io.BytesIO(b"\xff@example.com\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(raw, encoding="utf-8"))
    arguments = named(email="-", phone=None, order=None, reservation=None)
    with pytest.raises(CommandFailed, match="the email is not UTF-8"):
        personal._looked_for(arguments)


def test_a_database_that_was_lost_on_the_way_leaves_it_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether a change was made is not said when nobody knows."""

    @asynccontextmanager
    async def pool() -> AsyncIterator[None]:
        yield

    async def made(*_: object, **__: object) -> AbstractAsyncContextManager[None]:
        return pool()

    async def lost(_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(databases, "create_pool", made)
    with pytest.raises(CommandFailed, match="may be made"):
        databases.with_database(NOWHERE, lost, variable="X", hint=" It may be made.")


def test_tables_and_json_show_times_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are as wide as their cells; nothing is a dash."""
    hong_kong = timezone(timedelta(hours=8))
    at = datetime(2026, 1, 5, 20, tzinfo=hong_kong)
    terminal.show_table(
        ("key_id", "last_used_at", "words"),
        [
            {"key_id": "one", "last_used_at": at, "words": ("a", "b")},
            {"key_id": "number two", "last_used_at": None, "words": ()},
        ],
    )
    assert [
        "KEY ID      LAST USED AT          WORDS",
        "one         2026-01-05 12:00:00Z  a b",
        "number two  -                     -",
    ] == capsys.readouterr().out.splitlines()
    terminal.show_json({"at": at, "name": "港"})
    assert {"at": "2026-01-05T12:00:00Z", "name": "港"} == json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24h", timedelta(hours=24)),
        ("90d", timedelta(days=90)),
        ("0s", timedelta(0)),
        ("30m", timedelta(minutes=30)),
    ],
)
def test_durations_are_numbers_with_a_unit(text: str, expected: timedelta) -> None:
    """s, m, h and d."""
    parsed = parser_of("key rotate").parse_args(["harbour", "--overlap", text])
    assert expected == parsed.overlap


@pytest.mark.parametrize("text", ["24", "1w", "-1h", "h", "1.5h", "999999d", "24h\n"])
def test_other_durations_are_refused(text: str) -> None:
    """Nobody has to guess the unit."""
    with pytest.raises(argparse.ArgumentError, match="as in 24h"):
        parser_of("key rotate").parse_args(["harbour", f"--overlap={text}"])


def test_only_known_permissions_can_be_given() -> None:
    """A misspelt one is refused before anything is asked."""
    arguments = ["harbour", "--grant", PERMISSIONS[0], "--grant", PERMISSIONS[1]]
    assert list(PERMISSIONS[:2]) == parser_of("partner change").parse_args(arguments).grant
    with pytest.raises(argparse.ArgumentError):
        parser_of("partner change").parse_args(["harbour", "--grant", "admin:*"])


def test_a_key_is_shown_once_and_alone_on_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """So that it can be sent on without the words around it."""
    made = keys.make_api_key(random=lambda size: b"x" * size)
    ends = datetime(2026, 1, 5, tzinfo=UTC)
    events = (
        keys.KeyIssued(partner_id="p", key_id=made.key_id, key_hash="", expires_at=ends),
        keys.KeyExpirySet(partner_id="p", key_id="old", expires_at=ends),
    )
    keys._show_once(made, events, as_json=False)
    captured = capsys.readouterr()
    assert made.text + "\n" == captured.out
    assert made.text not in captured.err
    assert "old ends at 2026-01-05" in captured.err


@pytest.mark.parametrize(
    ("words", "variable"),
    [
        ("partner list", "OTA_GATEWAY_DSN"),
        ("directory rebuild --yes", "OTA_GATEWAY_OWNER_DSN"),
        ("data history", "OTA_GATEWAY_OWNER_DSN"),
        ("audit search", "OTA_GATEWAY_DSN"),
        ("audit show req_1", "OTA_GATEWAY_DSN"),
    ],
)
def test_a_database_that_is_away_is_named_by_its_variable(
    words: str, variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that says which address to look at, whatever way leads to the database."""
    for service in ("GATEWAY", "INVENTORY_READ", "RESERVATION_READ", "FULFILLMENT_READ"):
        monkeypatch.setenv(f"OTA_{service}_DSN", NOWHERE)
    monkeypatch.setenv("OTA_GATEWAY_OWNER_DSN", NOWHERE)
    told = shown(monkeypatch, capsys, *words.split())
    assert variable in told
    assert "cannot be asked" in told
    assert 1 == len(told.splitlines())
