"""Operators' commands on API keys. A key itself is printed once, when it is made."""

from __future__ import annotations

import argparse
import secrets
import sys
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from libs.runtime.cli import Command, CommandFailed
from services.gateway.admin.partners import (
    KEY_COLUMNS,
    add_partner,
    change_directory,
    key_row,
    known_partner,
    look_up,
)
from services.gateway.admin.terminal import (
    add_actor,
    add_json,
    add_yes,
    confirm,
    duration,
    show_json,
    show_table,
)
from services.gateway.domain.api_key import NewApiKey, key_id_of, make_api_key
from services.gateway.domain.directory import Event, KeyExpirySet, KeyIssued
from services.gateway.domain.directory_decisions import (
    IssueKey,
    RevokeKey,
    RotateKey,
    SetKeyExpiry,
)
from services.gateway.domain.keyed_hash import api_key_hash
from services.gateway.settings import DirectorySettings, LoadSettings


def _duration_or_never(text: str) -> timedelta | None:
    return None if text == "never" else duration(text)


def _issue(settings: LoadSettings, arguments: argparse.Namespace) -> int:
    made, key_hash = _new_key(settings)
    events = change_directory(
        settings,
        arguments,
        lambda _, now: IssueKey(
            partner_id=arguments.partner,
            key_id=made.key_id,
            key_hash=key_hash,
            expires_at=_end(now, arguments.expires),
        ),
    )
    _show_once(made, events, as_json=arguments.json)
    return 0


def _rotate(settings: LoadSettings, arguments: argparse.Namespace) -> int:
    made, key_hash = _new_key(settings)
    events = change_directory(
        settings,
        arguments,
        lambda _, now: RotateKey(
            partner_id=arguments.partner,
            key_id=made.key_id,
            key_hash=key_hash,
            expires_at=_end(now, arguments.expires),
            overlap=arguments.overlap,
        ),
    )
    _show_once(made, events, as_json=arguments.json)
    return 0


def _new_key(settings: LoadSettings) -> tuple[NewApiKey, str]:
    made = make_api_key(random=secrets.token_bytes)
    return made, api_key_hash(pepper=settings.api_key_pepper, api_key=made.text).hex()


def _end(now: datetime, duration: timedelta | None) -> datetime | None:
    return None if duration is None else now + duration


def _show_once(made: NewApiKey, events: tuple[Event, ...], *, as_json: bool) -> None:
    issued = next(each for each in events if isinstance(each, KeyIssued))
    ends = [each for each in events if isinstance(each, KeyExpirySet)]
    if as_json:
        show_json(
            {
                "partner_id": issued.partner_id,
                "key_id": made.key_id,
                "api_key": made.text,
                "expires_at": issued.expires_at,
                "ending": [{"key_id": old.key_id, "ends_at": old.expires_at} for old in ends],
            }
        )
        return
    print(made.text)
    # Apart from the key, so that `ota-admin key issue ... > file` has nothing else in it.
    until = f"until {issued.expires_at:%Y-%m-%d %H:%M}Z" if issued.expires_at else "without end"
    print(
        f"key {made.key_id} of {issued.partner_id}, good {until}."
        " It is shown only now and stored nowhere: hand it over by a safe way.",
        file=sys.stderr,
    )
    for old in ends:
        print(f"key {old.key_id} ends at {old.expires_at:%Y-%m-%d %H:%M:%S}Z.", file=sys.stderr)


def _expire(settings: DirectorySettings, arguments: argparse.Namespace) -> int:
    key_id = key_id_of(arguments.key)
    changed = change_directory(
        settings,
        arguments,
        lambda _, now: SetKeyExpiry(key_id=key_id, expires_at=_end(now, arguments.after)),
    )
    ends = next((each.expires_at for each in changed if isinstance(each, KeyExpirySet)), None)
    print(f"key {key_id} ends at {ends:%Y-%m-%d %H:%M:%S}Z" if ends else f"key {key_id} has no end")
    return 0


def _revoke(settings: DirectorySettings, arguments: argparse.Namespace) -> int:
    key_id = key_id_of(arguments.key)
    if not arguments.yes:
        if (key := look_up(settings).state.keys.get(key_id)) is None:
            raise CommandFailed(
                f"nothing was changed: There is no key {key_id}; see ota-admin key list."
            )
        confirm(f"End the key {key_id} of {key.partner_id} now, for good?", arguments)
    changed = change_directory(settings, arguments, lambda *_: RevokeKey(key_id=key_id))
    print(
        f"key {key_id} is revoked: every gateway refuses it within 2 seconds"
        if changed
        else f"key {key_id} was revoked before"
    )
    return 0


def _list(settings: DirectorySettings, arguments: argparse.Namespace) -> int:
    look = look_up(settings)
    if arguments.partner is not None:
        known_partner(look, arguments.partner)
    rows = [key_row(look, key_id) for key_id in look.state.keys]
    rows = [
        row
        for row in rows
        if arguments.partner in (None, row["partner_id"])
        and (arguments.all or row["status"] in {"active", "suspended"})
    ]
    rows.sort(key=lambda row: str(row["partner_id"]))
    if arguments.json:
        show_json(rows)
    else:
        show_table(KEY_COLUMNS, rows)
    return 0


def _making(parser: argparse.ArgumentParser) -> None:
    add_partner(parser)
    parser.add_argument(
        "--expires",
        type=duration,
        metavar="TIME",
        help="when it ends, as in 90d (default: never)",
    )
    add_actor(parser)
    add_json(parser)


def _rotating(parser: argparse.ArgumentParser) -> None:
    _making(parser)
    parser.add_argument(
        "--overlap",
        type=duration,
        default=timedelta(hours=24),
        metavar="TIME",
        help="how long the old key goes on, as in 24h (which is the default) or 0s",
    )


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "key", metavar="KEY_ID", help="the key's id, as in key list; also otak_ and what follows"
    )


def _expiring(parser: argparse.ArgumentParser) -> None:
    _add_key(parser)
    parser.add_argument(
        "after", type=_duration_or_never, metavar="TIME", help="from now on, as in 48h; or never"
    )
    add_actor(parser)


def _revoking(parser: argparse.ArgumentParser) -> None:
    _add_key(parser)
    add_actor(parser)
    add_yes(parser)


def _listing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("partner", metavar="PARTNER", nargs="?", help="only this partner's keys")
    parser.add_argument("--all", action="store_true", help="also those that have ended")
    add_json(parser)


_making_command = partial(Command, settings=LoadSettings)
_command = partial(Command, settings=DirectorySettings)

COMMANDS: tuple[Command[Any], ...] = (
    _making_command(
        name="key issue",
        help="give a partner a key; at most two are active at once",
        run=_issue,
        arguments=_making,
    ),
    _making_command(
        name="key rotate",
        help="give a partner a new key and let the old one end after an overlap",
        run=_rotate,
        arguments=_rotating,
        epilog=(
            "The partner puts the new key in while both are good. If it takes longer:"
            " ota-admin key expire OLD_KEY_ID 48h."
        ),
    ),
    _command(
        name="key list",
        help="list keys, when they end and when they were last used (5 s late at most)",
        run=_list,
        arguments=_listing,
    ),
    _command(
        name="key expire",
        help="let a key end later or earlier than it would",
        run=_expire,
        arguments=_expiring,
    ),
    _command(
        name="key revoke",
        help="end a key now, for good; its partner's other key goes on",
        run=_revoke,
        arguments=_revoking,
    ),
)
