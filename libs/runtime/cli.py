"""The frame of the console commands: sub-commands in groups, settings, exit codes."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import asyncpg
from pydantic import ValidationError
from pydantic_settings import SettingsError

from libs.runtime.config import ServiceSettings, describe
from libs.runtime.postgres import advice
from libs.runtime.supervise import EXIT_FAILED, EXIT_SETTINGS

DEFAULT_COMMAND = "run"
EXIT_STOPPED = 130
"""What shells say of a command that Ctrl-C ended."""

S = TypeVar("S", bound=ServiceSettings)


class CommandFailed(Exception):
    """A command cannot do its work for a reason that the operator can remove.

    The message is all that the operator sees, so it says what to do.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Generic[S]):
    """A sub-command: *settings* are read first, then *run* returns the exit code.

    A *name* of two words is a group and a command in it (``key rotate``). *arguments* adds
    the sub-command's own arguments to its parser, *epilog* stands below its help as it is.
    """

    name: str
    help: str
    settings: type[S]
    run: Callable[[S, argparse.Namespace], int]
    arguments: Callable[[argparse.ArgumentParser], None] = lambda _: None
    epilog: str | None = None

    def execute(self, arguments: argparse.Namespace) -> int:
        """Read the settings and run; return the exit code, 2 for settings that are wrong."""
        try:
            settings = self.settings()
        except (ValidationError, SettingsError) as error:
            print(describe(error), file=sys.stderr)
            return EXIT_SETTINGS
        try:
            code = self.run(settings, arguments)
            sys.stdout.flush()
            return code
        except CommandFailed as failure:
            print(failure, file=sys.stderr)
            return EXIT_FAILED
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            print(advice(error), file=sys.stderr)
            return EXIT_FAILED
        except BrokenPipeError:
            # Whoever reads, such as `head`, has enough; the interpreter's own flush is quiet, too.
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - open until the process ends
            return EXIT_FAILED
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return EXIT_STOPPED


def run_command(
    *,
    program: str,
    description: str,
    commands: Sequence[Command[S]],
    arguments: Sequence[str] | None = None,
    groups: Mapping[str, str] | None = None,
    epilog: str | None = None,
    default: str | None = DEFAULT_COMMAND,
) -> int:
    """Carry out the sub-command that *arguments* (the process's own) name, *default* if none.

    *groups* has a sentence of help for each group of commands. Without a *default* the help
    is shown. Returns the exit code: 0 done, 1 failed, 130 stopped by Ctrl-C, 2 wrong settings or
    arguments (those raise SystemExit, as argparse does).
    """
    if epilog is None:
        epilog = f"Without a command: {default}. Settings come from OTA_ variables."
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_commands(parser, commands, groups or {})
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given and default is not None:
        given = [default]
    if any(not _is_text(word) for word in given):
        parser.error("an argument is not UTF-8")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names are in any script; a terminal that lacks it shows them as \uXXXX.
        sys.stdout.reconfigure(errors="backslashreplace")
    chosen = parser.parse_args(given)
    command: Command[S] | None = getattr(chosen, "chosen", None)
    if command is None:
        # Nothing or only a group was named: that group's help says what there is.
        chosen.shown.print_help(sys.stderr)
        return EXIT_SETTINGS
    return command.execute(chosen)


def _is_text(word: str) -> bool:
    """Tell whether an argument's bytes were UTF-8; the interpreter keeps others as surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in word)


def _add_commands(
    parser: argparse.ArgumentParser, commands: Sequence[Command[S]], groups: Mapping[str, str]
) -> None:
    parser.set_defaults(shown=parser)
    of_program = parser.add_subparsers(title="commands", metavar="COMMAND")
    of_group = {}
    for command in commands:
        group, _, word = command.name.rpartition(" ")
        if group and group not in of_group:
            made = of_program.add_parser(group, help=groups[group], description=groups[group])
            made.set_defaults(shown=made)
            of_group[group] = made.add_subparsers(title="commands", metavar="COMMAND")
        added = (of_group[group] if group else of_program).add_parser(
            word,
            help=command.help,
            description=command.help,
            epilog=command.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(chosen=command)
        command.arguments(added)
