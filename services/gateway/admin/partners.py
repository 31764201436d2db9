"""Operators' commands on partners, and on the record behind partners and keys."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from libs.runtime.cli import Command, CommandFailed
from services.gateway.admin.databases import with_database
from services.gateway.admin.terminal import (
    actor,
    add_actor,
    add_json,
    add_yes,
    confirm,
    show_json,
    show_table,
)
from services.gateway.domain.directory import PERMISSIONS, DirectoryState, Event, Partner
from services.gateway.domain.directory_decisions import (
    ChangePartner,
    Refused,
    RegisterPartner,
    ResumePartner,
    SuspendPartner,
    decide_all,
)
from services.gateway.domain.directory_decisions import Command as Change
from services.gateway.settings import DirectorySettings, MigrationSettings
from services.gateway.store.directory import DirectoryBroken, DirectoryStore, Look, Recorded

HISTORY_SHOWN = 20
_GATEWAY = "OTA_GATEWAY_DSN"
_UNKNOWN = (
    " Whether the change was made is unknown: look before you try again, with ota-admin partner"
    " show; a key that was made was not shown and has to be revoked."
)
_COLUMNS = (
    *("partner_id", "name", "channel", "calls_per_minute", "status", "active_keys"),
    "last_used_at",
)


def change_directory(
    settings: DirectorySettings,
    arguments: argparse.Namespace,
    change_of: Callable[[DirectoryState, datetime], Change],
) -> tuple[Event, ...]:
    """Carry out one change as the operator; raises CommandFailed when it is refused."""
    who = actor(arguments)
    decided = with_database(
        settings.gateway_dsn,
        lambda pool: DirectoryStore(pool).change(
            lambda state, now: decide_all(state, [change_of(state, now)], now=now), actor=who
        ),
        variable=_GATEWAY,
        hint=_UNKNOWN,
    )
    if isinstance(decided, Refused):
        raise CommandFailed(f"nothing was changed: {decided.detail}")
    return decided


def look_up(settings: DirectorySettings) -> Look:
    """Return the directory as it is; raises CommandFailed."""
    return with_database(
        settings.gateway_dsn, lambda pool: DirectoryStore(pool).look(), variable=_GATEWAY
    )


def known_partner(look: Look, id: str) -> Partner:
    """Return a partner; raises CommandFailed if there is none of that id."""
    if (partner := look.state.partners.get(id)) is None:
        raise CommandFailed(f"There is no partner {id}; see ota-admin partner list.")
    return partner


def _create(settings: DirectorySettings, arguments: argparse.Namespace) -> int:
    id = arguments.partner
    channels: set[str] = set()

    def change(state: DirectoryState, _: datetime) -> Change:
        channels.update(partner.channel for partner in state.partners.values())
        return RegisterPartner(
            partner_id=id,
            name=arguments.name,
            channel=arguments.channel,
            permissions=tuple(arguments.permission),
            calls_per_minute=arguments.calls,
        )

    change_directory(settings, arguments, change)
    print(f"partner {id} is registered; its first key: ota-admin key issue {id}")
    if channels and arguments.channel not in channels:
        print(
            f"note: nobody else sells in channel {arguments.channel}, and a channel is for good;"
            f" so far there are: {', '.join(sorted(channels))}",
            file=sys.stderr,
        )
    return 0


def _change(settings: DirectorySettings, arguments: argparse.Namespace) -> int:
    id, granted, withdrawn = arguments.partner, arguments.grant, arguments.withdraw
    if arguments.name is None and arguments.calls is None and not granted and not withdrawn:
        raise CommandFailed("nothing was changed: give --name, --calls, --grant or --withdraw")
    if both := sorted({*granted} & {*withdrawn}):
        raise CommandFailed(f"nothing was changed: {both[0]} cannot be granted and withdrawn")

    def change(state: DirectoryState, _: datetime) -> Change:
        partner = state.partners.get(id)
        permissions = None
        if partner is not None and (granted or withdrawn):
            permissions = tuple(({*partner.permissions} | {*granted}) - {*withdrawn})
        return ChangePartner(
            partner_id=id,
            name=arguments.name,
            permissions=permissions,
            calls_per_minute=arguments.calls,
        )

    changed = change_directory(settings, arguments, change)
    print(f"partner {id} is changed" if changed else f"partner {id} was like that before")
    return 0


def _suspend(settings: DirectorySettings, arguments: argparse.Namespace) -> int:
    id = arguments.partner
    changed = change_directory(settings, arguments, lambda *_: SuspendPartner(partner_id=id))
    print(
        f"partner {id} is suspended: its keys are refused within 2 seconds. Its open holds stay;"
        f" to give them back: ota-admin stock release {id}"
        if changed
        else f"partner {id} was suspended before"
    )
    return 0


def _resume(settings: DirectorySettings, arguments: argparse.Namespace) -> int:
    id = arguments.partner
    changed = change_directory(settings, arguments, lambda *_: ResumePartner(partner_id=id))
    print(f"partner {id} may call again" if changed else f"partner {id} was not suspended")
    return 0


def _list(settings: DirectorySettings, arguments: argparse.Namespace) -> int:
    look = look_up(settings)
    partners = sorted(look.state.partners.values(), key=lambda partner: partner.partner_id)
    if arguments.json:
        show_json([_document(look, partner) for partner in partners])
        return 0
    show_table(_COLUMNS, [_row(look, partner) for partner in partners])
    if not partners:
        print("there is no partner yet: ota-admin partner create --help")
    return 0


def _show(settings: DirectorySettings, arguments: argparse.Namespace) -> int:
    id = arguments.partner
    look = look_up(settings)
    partner = known_partner(look, id)
    history = with_database(
        settings.gateway_dsn,
        lambda pool: DirectoryStore(pool).recorded(partner_id=id, limit=HISTORY_SHOWN),
        variable=_GATEWAY,
    )
    changes = [_change_row(each) for each in history]
    if arguments.json:
        show_json({**_document(look, partner), "changes": changes})
        return 0
    show_table(_COLUMNS, [_row(look, partner)])
    print(f"\npermissions: {' '.join(partner.permissions) or 'none'}\n\nkeys:")
    show_table(KEY_COLUMNS, [key_row(look, key.key_id) for key in look.state.keys_of(id)])
    print("\nlast changes:")
    show_table(
        ("at", "change", "values", "by"),
        [
            {**row, "values": " ".join(f"{k}={_brief(v)}" for k, v in row["values"].items())}
            for row in changes
        ],
    )
    return 0


KEY_COLUMNS = ("key_id", "partner_id", "status", "created_at", "ends_at", "last_used_at")


def key_row(look: Look, key_id: str) -> dict[str, object]:
    """Return what is shown of a key."""
    key = look.state.keys[key_id]
    status = "active" if key.active(look.now) else "revoked" if key.revoked_at else "ended"
    suspended = look.state.partners[key.partner_id].suspended_at is not None
    return {
        "key_id": key_id,
        "partner_id": key.partner_id,
        "status": "suspended" if status == "active" and suspended else status,
        "created_at": key.created_at,
        "ends_at": key.revoked_at or key.expires_at,
        "last_used_at": look.used_at.get(key_id),
    }


def _row(look: Look, partner: Partner) -> dict[str, object]:
    id = partner.partner_id
    uses = (look.used_at.get(key.key_id) for key in look.state.keys_of(id))
    return {
        "partner_id": id,
        "name": partner.name,
        "channel": partner.channel,
        "calls_per_minute": partner.calls_per_minute,
        "status": "active" if partner.suspended_at is None else "suspended",
        "active_keys": len(look.state.active_keys(id, look.now)),
        "last_used_at": max(filter(None, uses), default=None),
    }


def _document(look: Look, partner: Partner) -> dict[str, object]:
    keys = [key_row(look, key.key_id) for key in look.state.keys_of(partner.partner_id)]
    return {**asdict(partner), **_row(look, partner), "keys": keys}


def _change_row(recorded: Recorded) -> dict[str, Any]:
    values = asdict(recorded.event)
    for not_shown in ("partner_id", "key_hash"):
        values.pop(not_shown, None)
    name = "".join(f" {c.lower()}" if c.isupper() else c for c in type(recorded.event).__name__)
    return {
        "at": recorded.at,
        "change": name.strip(),
        "values": values,
        "by": recorded.actor,
        "version": recorded.seq,
    }


def _brief(value: object) -> str:
    match value:
        case None:
            return "-"
        case datetime():
            return f"{value:%Y-%m-%dT%H:%M:%SZ}"
        case tuple():
            return ",".join(value)
        case _:
            return str(value)


def _check(settings: DirectorySettings, _: argparse.Namespace) -> int:
    try:
        events = with_database(
            settings.gateway_dsn, lambda pool: DirectoryStore(pool).check(), variable=_GATEWAY
        )
    except DirectoryBroken as error:
        raise CommandFailed(str(error)) from error
    print(f"{events} events follow one another, and partners and keys are what they say")
    return 0


def _rebuild(settings: MigrationSettings, arguments: argparse.Namespace) -> int:
    confirm("Make the tables of partners and keys anew from their record?", arguments)
    try:
        events = with_database(
            settings.gateway_owner_dsn,
            lambda pool: DirectoryStore(pool).rebuild(),
            variable="OTA_GATEWAY_OWNER_DSN",
        )
    except DirectoryBroken as error:
        raise CommandFailed(f"nothing was changed: {error}") from error
    print(f"partners and keys are made from {events} events; restart the gateways that run")
    return 0


def add_partner(parser: argparse.ArgumentParser) -> None:
    """Add the partner's id."""
    parser.add_argument("partner", metavar="PARTNER", help="the partner's id, as in partner list")


def _permissions(
    parser: argparse.ArgumentParser, option: str, *, help: str, required: bool = False
) -> None:
    parser.add_argument(
        option,
        action="append",
        default=[],
        choices=PERMISSIONS,
        metavar="PERMISSION",
        required=required,
        help=f"{help}; may be repeated: {', '.join(PERMISSIONS)}",
    )


def _create_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "partner", metavar="PARTNER", help="a new id, for good: a-z, 0-9 and _, 2 to 64 characters"
    )
    parser.add_argument("--name", required=True, help="the partner's name, for people")
    parser.add_argument(
        "--channel",
        required=True,
        help="where it sells, for good: whose units it draws from",
    )
    parser.add_argument(
        "--calls", type=int, required=True, metavar="N", help="calls in any 60 seconds, at most"
    )
    _permissions(parser, "--permission", help="what it may do", required=True)
    add_actor(parser)


def _change_arguments(parser: argparse.ArgumentParser) -> None:
    add_partner(parser)
    parser.add_argument("--name", help="its name from now on")
    parser.add_argument("--calls", type=int, metavar="N", help="its calls in any 60 seconds")
    _permissions(parser, "--grant", help="what it may do as well")
    _permissions(parser, "--withdraw", help="what it may do no longer")
    add_actor(parser)


def _one_partner(parser: argparse.ArgumentParser) -> None:
    add_partner(parser)
    add_actor(parser)


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    add_partner(parser)
    add_json(parser)


_command = partial(Command, settings=DirectorySettings)

COMMANDS: tuple[Command[Any], ...] = (
    _command(
        name="partner create",
        help="let a new partner have keys",
        run=_create,
        arguments=_create_arguments,
    ),
    _command(name="partner list", help="list all partners", run=_list, arguments=add_json),
    _command(
        name="partner show",
        help="show a partner, its keys and who changed them last",
        run=_show,
        arguments=_show_arguments,
    ),
    _command(
        name="partner change",
        help="change a partner's name, limit or permissions",
        run=_change,
        arguments=_change_arguments,
    ),
    _command(
        name="partner suspend",
        help="refuse all keys of a partner until it is resumed",
        run=_suspend,
        arguments=_one_partner,
    ),
    _command(
        name="partner resume",
        help="take a suspended partner's keys again",
        run=_resume,
        arguments=_one_partner,
    ),
    _command(
        name="directory check",
        help="follow the record of partners and keys from its beginning, compare the tables",
        run=_check,
    ),
    Command(
        name="directory rebuild",
        help="make the tables of partners and keys anew from the record",
        settings=MigrationSettings,
        run=_rebuild,
        arguments=add_yes,
    ),
)
