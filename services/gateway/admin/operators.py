"""``ota-admin operator``: who may sign in to the console, as a viewer or as an operator."""

from __future__ import annotations

import argparse
import getpass
import secrets
import sys
from typing import Any

from libs.runtime.cli import Command, CommandFailed
from services.gateway.admin.databases import with_database
from services.gateway.admin.terminal import (
    actor,
    add_actor,
    add_json,
    add_yes,
    confirm,
    plain,
    show_json,
    show_table,
)
from services.gateway.domain.operators import (
    CODE_BYTES,
    NAME_FORM,
    ROLES,
    SALT_BYTES,
    code_hash,
    code_text,
    hash_password,
    password_fault,
)
from services.gateway.settings import ConsoleAddressSettings, DirectorySettings
from services.gateway.store.database import Pool
from services.gateway.store.operators import OperatorStore

_GATEWAY = "OTA_GATEWAY_DSN"
_COLUMNS = ("name", "role", "status", "password", "created_at")


def _add(settings: ConsoleAddressSettings, arguments: argparse.Namespace) -> int:
    name, role, who = arguments.name, arguments.role, actor(arguments)
    password = _typed() if arguments.password else None
    hashed = _hashed(password) if password is not None else None

    async def add(pool: Pool) -> bool:
        return await OperatorStore(pool).add(name, role=role, password_hash=hashed, by=who)

    if not with_database(settings.gateway_dsn, add, variable=_GATEWAY):
        raise CommandFailed(f"there is an operator {name}: ota-admin operator list")
    print(f"{role} {name} is added", file=sys.stderr)
    return 0 if password is not None else _show_code(settings, name, who)


def _code(settings: ConsoleAddressSettings, arguments: argparse.Namespace) -> int:
    name, who = arguments.name, actor(arguments)
    if arguments.add is not None:

        async def add(pool: Pool) -> bool:
            store = OperatorStore(pool)
            return await store.add(name, role=arguments.add, password_hash=None, by=who)

        with_database(settings.gateway_dsn, add, variable=_GATEWAY)
    return _show_code(settings, name, who)


def _show_code(settings: ConsoleAddressSettings, name: str, who: str) -> int:
    code = code_text(secrets.token_bytes(CODE_BYTES))
    ends = with_database(
        settings.gateway_dsn,
        lambda pool: OperatorStore(pool).set_code(name, code_hash=code_hash(code), by=who),
        variable=_GATEWAY,
    )
    if ends is None:
        raise _nobody(name)
    # In the fragment: browsers keep that part to themselves, no server and no log sees it.
    print(f"{settings.console_url}/console/sign-in#name={name}&code={code}")
    print(
        f"Open it, or sign in as {name} with the code {code}."
        f" It works once, until {ends:%H:%M:%S}Z, and is shown only now.",
        file=sys.stderr,
    )
    return 0


def _password(settings: DirectorySettings, arguments: argparse.Namespace) -> int:
    name, who = arguments.name, actor(arguments)
    hashed = _hashed(_typed())
    if not with_database(
        settings.gateway_dsn,
        lambda pool: OperatorStore(pool).set_password(name, password_hash=hashed, by=who),
        variable=_GATEWAY,
    ):
        raise _nobody(name)
    print(f"{name} has a new password; who was signed in under that name no longer is")
    return 0


def _list(settings: DirectorySettings, arguments: argparse.Namespace) -> int:
    found = with_database(
        settings.gateway_dsn, lambda pool: OperatorStore(pool).operators(), variable=_GATEWAY
    )
    rows: list[dict[str, object]] = [
        {
            "name": each.name,
            "role": each.role,
            "status": "active" if each.removed_at is None else "removed",
            "password": "set" if each.password_hash else "none",
            "created_at": each.created_at,
        }
        for each in found
    ]
    if arguments.json:
        show_json(rows)
        return 0
    show_table(_COLUMNS, rows)
    if not rows:
        print("there is no operator yet: ota-admin operator add NAME --role operator")
    return 0


def _log(settings: DirectorySettings, arguments: argparse.Namespace) -> int:
    rows = with_database(
        settings.gateway_dsn,
        lambda pool: OperatorStore(pool).actions(limit=200),
        variable=_GATEWAY,
    )
    columns = ("at", "operator", "action", "subject", "detail")
    shown = [{name: getattr(row, name) for name in columns} for row in rows]
    if arguments.json:
        show_json([{**row, "at": plain(row["at"])} for row in shown])
    else:
        show_table(columns, shown)
    return 0


def _remove(settings: DirectorySettings, arguments: argparse.Namespace) -> int:
    name, who = arguments.name, actor(arguments)
    confirm(f"End the access of {name}?", arguments)
    if not with_database(
        settings.gateway_dsn,
        lambda pool: OperatorStore(pool).remove(name, by=who),
        variable=_GATEWAY,
    ):
        raise _nobody(name)
    print(f"{name} can't sign in any more, and open sessions end within seconds")
    return 0


def _nobody(name: str) -> CommandFailed:
    return CommandFailed(f"there is no operator {name}: ota-admin operator list")


def _typed() -> str:
    """Return a password that was typed in, or the line that was piped in."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("password: ")
    if password != getpass.getpass("again: "):
        raise CommandFailed("nothing was changed: these are two passwords")
    return password


def _hashed(password: str) -> str:
    if fault := password_fault(password):
        raise CommandFailed(f"nothing was changed: {fault}")
    return hash_password(password, salt=secrets.token_bytes(SALT_BYTES))


def _name(text: str) -> str:
    if not NAME_FORM.match(text):
        raise argparse.ArgumentTypeError(
            "a name has 1 to 64 small letters, digits and . _ @ -, as in wing.lam"
        )
    return text


def _name_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", type=_name, help="the operator's name")
    add_actor(parser)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    _name_argument(parser)
    parser.add_argument("--role", choices=ROLES, default="viewer", help="viewer if not given")
    parser.add_argument(
        "--password", action="store_true", help="ask for a password (a one-time code otherwise)"
    )


def _code_arguments(parser: argparse.ArgumentParser) -> None:
    _name_argument(parser)
    parser.add_argument("--add", choices=ROLES, help="add the operator first, if there is none")


def _remove_arguments(parser: argparse.ArgumentParser) -> None:
    _name_argument(parser)
    add_yes(parser)


COMMANDS: tuple[Command[Any], ...] = (
    Command(
        name="operator add",
        help="let somebody sign in to the console; prints a one-time way in",
        settings=ConsoleAddressSettings,
        run=_add,
        arguments=_add_arguments,
        epilog="A viewer sees everything that the console shows, an operator may also act there.",
    ),
    Command(
        name="operator code",
        help="print a one-time way in for an operator",
        settings=ConsoleAddressSettings,
        run=_code,
        arguments=_code_arguments,
    ),
    Command(
        name="operator password",
        help="set an operator's password",
        settings=DirectorySettings,
        run=_password,
        arguments=_name_argument,
    ),
    Command(
        name="operator list",
        help="show who may sign in",
        settings=DirectorySettings,
        run=_list,
        arguments=add_json,
    ),
    Command(
        name="operator log",
        help="show what operators did: sign-ins, replays, changes of access",
        settings=DirectorySettings,
        run=_log,
        arguments=add_json,
    ),
    Command(
        name="operator remove",
        help="end somebody's access at once",
        settings=DirectorySettings,
        run=_remove,
        arguments=_remove_arguments,
    ),
)
