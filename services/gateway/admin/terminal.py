"""What operators' commands share on the terminal: who acts, questions, tables and JSON."""

from __future__ import annotations

import argparse
import getpass
import json
import re
import signal
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from libs.runtime.cli import CommandFailed

_NAME = re.compile(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,62}[^\s\x00-\x1f\x7f])?\Z")
_DURATION = re.compile(r"(?P<count>[0-9]{1,5})(?P<unit>[smhd])\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def add_actor(parser: argparse.ArgumentParser) -> None:
    """Add ``--as NAME`` to a command that changes something; see `actor`."""
    parser.add_argument(
        "--as",
        dest="actor",
        metavar="NAME",
        help="who makes the change, recorded with it (your user name if not given)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json`` to a command that shows something."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add ``--yes`` to a command that can't be taken back; see `confirm`."""
    parser.add_argument("--yes", action="store_true", help="do not ask, do it")


def actor(arguments: argparse.Namespace) -> str:
    """Return who makes the change; raises CommandFailed for a name that cannot be recorded."""
    name = arguments.actor
    if name is None:
        try:
            name = getpass.getuser()
        except (KeyError, OSError):
            raise CommandFailed("this user has no name: say who you are with --as NAME") from None
    if not _NAME.match(name):
        raise CommandFailed("--as takes 1 to 64 characters on one line")
    return str(name)


def duration(text: str) -> timedelta:
    """Read an argument such as ``90s``, ``30m``, ``24h``, ``7d``; raises ArgumentTypeError."""
    found = _DURATION.match(text)
    if found is None:
        raise argparse.ArgumentTypeError("write a number and s, m, h or d, as in 24h or 90d")
    return timedelta(**{_UNITS[found["unit"]]: int(found["count"])})


def confirm(question: str, arguments: argparse.Namespace) -> None:
    """Return if the operator agrees or has said --yes; raises CommandFailed otherwise."""
    if arguments.yes:
        return
    if not sys.stdin.isatty():
        raise CommandFailed("nothing was done: nobody is here to be asked, add --yes")
    if ask(f"{question} [y/N] ").strip().lower() not in {"y", "yes"}:
        raise CommandFailed("nothing was done")


def ask(prompt: str) -> str:
    """Return what is typed in; raises CommandFailed for Ctrl-C and Ctrl-D."""
    # asyncio would note a Ctrl-C for later and go on waiting for the line.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return input(prompt)
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)
        raise CommandFailed("nothing was done") from None
    finally:
        signal.signal(signal.SIGINT, before)


def show_json(value: object) -> None:
    """Print a value as JSON; instants as ISO 8601 in UTC."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=plain))


def show_table(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Print rows as a table: None as a dash, instants to the second, lists with spaces."""
    lines = [list(columns), *([_cell(row[name]) for name in columns] for row in rows)]
    lines[0] = [name.upper().replace("_", " ") for name in columns]
    widths = [max(_width(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        cells = (
            cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)
        )
        print("  ".join(cells).rstrip())


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a Chinese character."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case list() | tuple():
            return " ".join(map(str, value)) or "-"
        case _:
            return str(value)


def plain(value: object) -> str:
    """Return a value as text, instants as ISO 8601 in UTC; also what JSON makes of it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)
