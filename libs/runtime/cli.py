"""The frame of the services' console commands: sub-commands, settings, exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError
from pydantic_settings import SettingsError

from libs.runtime.config import ServiceSettings, describe
from libs.runtime.supervise import EXIT_FAILED, EXIT_SETTINGS

DEFAULT_COMMAND = "run"

S = TypeVar("S", bound=ServiceSettings)


class CommandFailed(Exception):
    """A command cannot do its work for a reason that the operator can remove.

    The message is all that the operator sees, so it says what to do.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Generic[S]):
    """A sub-command: *settings* are read first, then *run* returns the exit code.

    *arguments* adds the sub-command's own arguments to its parser.
    """

    name: str
    help: str
    settings: type[S]
    run: Callable[[S, argparse.Namespace], int]
    arguments: Callable[[argparse.ArgumentParser], None] = lambda _: None

    def execute(self, arguments: argparse.Namespace) -> int:
        """Read the settings and run; return the exit code, 2 for settings that are wrong."""
        try:
            settings = self.settings()
        except (ValidationError, SettingsError) as error:
            print(describe(error), file=sys.stderr)
            return EXIT_SETTINGS
        try:
            return self.run(settings, arguments)
        except CommandFailed as failure:
            print(failure, file=sys.stderr)
            return EXIT_FAILED


def run_command(
    *,
    program: str,
    description: str,
    commands: Sequence[Command[S]],
    arguments: Sequence[str] | None = None,
) -> int:
    """Carry out the sub-command that *arguments* (the process's own) name, ``run`` if none.

    Returns the exit code: 0 done, 1 failed, 2 wrong settings or arguments (those raise
    SystemExit, as argparse does).
    """
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=f"Without a command: {DEFAULT_COMMAND}. Settings come from OTA_ variables.",
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for command in commands:
        command.arguments(
            subparsers.add_parser(command.name, help=command.help, description=command.help)
        )
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = parser.parse_args(given or [DEFAULT_COMMAND])
    return next(each for each in commands if each.name == chosen.command).execute(chosen)
