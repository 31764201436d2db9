"""``ota-admin dead-letter``: commands that were put aside, and one more try for them."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from libs.events.kafka.dead_letters import DeadLetterList, DeadLetters
from libs.events.kafka.operator import BrokerAway
from libs.runtime.cli import Command, CommandFailed
from services.gateway.admin.databases import changing
from services.gateway.admin.terminal import (
    actor,
    add_actor,
    add_json,
    add_yes,
    confirm,
    show_json,
    show_table,
)
from services.gateway.app.dead_letters import NotReplayed, replay_letter
from services.gateway.settings import DirectorySettings
from services.gateway.store.operators import OperatorStore

LIMIT = 100
_COLUMNS = ("offset", "at", "topic", "partition", "type", "partner_id", "request_id", "reason")


def _list(settings: DirectorySettings, arguments: argparse.Namespace) -> int:
    try:
        found = asyncio.run(_newest(settings))
    except BrokerAway as error:
        raise _away(error) from error
    if arguments.json:
        show_json([asdict(letter) for letter in found.letters])
        return 0
    show_table(_COLUMNS, [asdict(letter) for letter in found.letters])
    if not found.letters:
        print("there are no dead letters")
    return 0


async def _newest(settings: DirectorySettings) -> DeadLetterList:
    return await DeadLetters(bootstrap=settings.kafka_bootstrap).newest(limit=LIMIT)


def _replay(settings: DirectorySettings, arguments: argparse.Namespace) -> int:
    confirm(f"Send dead letter {arguments.offset} to its topic again?", arguments)
    try:
        outcome = asyncio.run(_replayed(settings, arguments))
    except BrokerAway as error:
        raise _away(error) from error
    if isinstance(outcome, NotReplayed):
        raise CommandFailed(outcome.reason)
    print(f"letter {arguments.offset} was sent to {outcome.topic} again")
    return 0


async def _replayed(settings: DirectorySettings, arguments: argparse.Namespace) -> Any:
    async with changing(settings.gateway_dsn, variable="OTA_GATEWAY_DSN") as pool:
        return await replay_letter(
            arguments.offset,
            letters=DeadLetters(bootstrap=settings.kafka_bootstrap),
            record=OperatorStore(pool),
            by=actor(arguments),
            again=arguments.again,
            now=datetime.now(UTC),
        )


def _away(error: BrokerAway) -> CommandFailed:
    return CommandFailed(
        f"Kafka cannot be reached, is it up and OTA_KAFKA_BOOTSTRAP right? ({error})"
    )


def _offset(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a letter")
    return int(text)


def _replay_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("offset", type=_offset, help="the letter's number in dead-letter list")
    parser.add_argument("--again", action="store_true", help="also if it was replayed before")
    add_actor(parser)
    add_yes(parser)


COMMANDS: tuple[Command[Any], ...] = (
    Command(
        name="dead-letter list",
        help="show what was put aside, newest first",
        settings=DirectorySettings,
        run=_list,
        arguments=add_json,
    ),
    Command(
        name="dead-letter replay",
        help="send one to its topic again, after its cause was mended",
        settings=DirectorySettings,
        run=_replay,
        arguments=_replay_arguments,
        epilog="The command keeps its id: what was decided under it before is not done twice. It\n"
        "counts as issued now, and nobody waits for its answer: look at the result in the console.",
    ),
)
