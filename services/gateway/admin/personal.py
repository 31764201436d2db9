"""``ota-admin data``: customers' personal data, and the master key that covers it."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, get_args

from libs.kernel.ids import is_order_id, pool_no_of
from libs.runtime.cli import Command, CommandFailed
from services.gateway.admin.databases import owning, reading
from services.gateway.admin.terminal import (
    actor,
    add_actor,
    add_json,
    add_yes,
    ask,
    confirm,
    show_json,
    show_table,
)
from services.gateway.app.master_keys import MasterKeys, MasterKeyUnknown
from services.gateway.domain.keyed_hash import KeyedHashes
from services.gateway.domain.personal_data import FoundKey, Handle
from services.gateway.settings import ErasureSettings, MigrationSettings, RewrapSettings
from services.gateway.store.customer_orders import CustomerOrders
from services.gateway.store.personal_data import PersonalDataStore, RecordBroken

FOLLOWED_S = 1.5
"""Gateways follow a file of master keys within a second; what they add meanwhile is wrapped too."""
PASSES_MAX = 20
_OWNER = "OTA_GATEWAY_OWNER_DSN"
_HISTORY_COLUMNS = ("seq", "at", "actor", "what", "keys", "reservations", "details")


# --- Erasing ---------------------------------------------------------------------------------


def _erase(settings: ErasureSettings, arguments: argparse.Namespace) -> int:
    by, given = _looked_for(arguments)
    asyncio.run(_erase_customer(settings, arguments, by=by, given=given))
    return 0


def _looked_for(arguments: argparse.Namespace) -> tuple[Handle, str]:
    handles: tuple[Handle, ...] = get_args(Handle)
    by = next(each for each in handles if getattr(arguments, each) is not None)
    given: str = getattr(arguments, by)
    if given == "-":
        try:
            given = ask(f"{by}: ") if sys.stdin.isatty() else sys.stdin.readline()
            given.encode()  # some locales let bytes that are no text through
        except UnicodeError:
            raise CommandFailed(f"nothing was done: the {by} is not UTF-8") from None
    given = given.strip()
    if not given:
        raise CommandFailed(f"nothing was done: the {by} is empty")
    if by == "phone" and not any(character.isdecimal() for character in given):
        raise CommandFailed("nothing was done: a phone has digits")
    if by == "order" and not is_order_id(given):
        raise CommandFailed("nothing was done: an order's id is ORD- and 13 digits")
    if by == "reservation" and pool_no_of(given) is None:
        raise CommandFailed("nothing was done: a reservation's id is res_ and 26 characters")
    return by, given


async def _erase_customer(
    settings: ErasureSettings, arguments: argparse.Namespace, *, by: Handle, given: str
) -> None:
    name = actor(arguments)
    views = "OTA_FULFILLMENT_READ_DSN"
    async with (
        owning(settings.gateway_owner_dsn, variable=_OWNER) as connection,
        reading(settings.fulfillment_read_dsn, variable=views) as pool,
    ):
        store, orders = PersonalDataStore(connection), CustomerOrders(pool)
        value = await _stored_form(settings, orders, by=by, given=given)
        found = await store.find(by=by, value=value)
        order_ids = await orders.of_reservations(sorted({key.reservation_id for key in found}))
        open_keys = [key for key in found if key.erased_at is None]
        if not arguments.json:
            _report(by, found, order_ids)
        if open_keys:
            confirm(f"Erase {_count(len(open_keys), 'sealed record')} for good?", arguments)
        erased = await store.erase(open_keys, by=by, actor=name)
    if arguments.json:
        show_json(_as_json(by, found, order_ids, erased))
    elif erased:
        print(f"erased {_count(len(erased), 'sealed record')}; nobody can open them any more")


async def _stored_form(
    settings: ErasureSettings, orders: CustomerOrders, *, by: Handle, given: str
) -> str:
    hashes = KeyedHashes(settings.fingerprint_key)
    match by:
        case "email":
            return hashes.email(given)
        case "phone":
            return hashes.phone(given)
        case "reservation":
            return given
        case "order":
            reservation_id = await orders.reservation_of(given)
            if reservation_id is None:
                raise CommandFailed(f"nothing was done: there is no order {given}")
            return reservation_id


def _report(by: Handle, found: list[FoundKey], order_ids: Mapping[str, str]) -> None:
    if not found:
        print(f"nothing is stored for this {by}, or it was erased before")
        if by == "phone":
            print("with and without country code are two numbers: try the other form too")
        return
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for key in found:
        row = rows.setdefault(
            (key.partner_id, key.reservation_id),
            {
                "partner": key.partner_id,
                "reservation": key.reservation_id,
                "order": order_ids.get(key.reservation_id),
                "records": 0,
                "erased_at": key.erased_at,
            },
        )
        row["records"] = int(str(row["records"])) + 1
    show_table(("partner", "reservation", "order", "records", "erased_at"), rows.values())
    before = sum(key.erased_at is not None for key in found)
    print(
        f"{_count(len(found), 'sealed record')} in {_count(len(rows), 'reservation')}, of which"
        f" {len(order_ids)} became orders, of {_count(len({p for p, _ in rows}), 'partner')}"
        + (f"; {before} were erased before" if before else "")
    )


def _as_json(
    by: Handle, found: list[FoundKey], order_ids: Mapping[str, str], erased: list[FoundKey]
) -> dict[str, object]:
    return {
        "looked_for_by": by,
        "records_found": len(found),
        "records_erased": len(erased),
        "erased_before": sum(key.erased_at is not None for key in found),
        "partners": sorted({key.partner_id for key in found}),
        "reservations": sorted({key.reservation_id for key in found}),
        "orders": sorted(order_ids.values()),
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


# --- The master key --------------------------------------------------------------------------


def _rotate(settings: RewrapSettings, arguments: argparse.Namespace) -> int:
    asyncio.run(_rewrap(settings, arguments))
    return 0


async def _rewrap(settings: RewrapSettings, arguments: argparse.Namespace) -> None:
    given = settings.master_keys()  # once: what is current must not change on the way
    keys = MasterKeys(read=lambda: given, monotonic=time.monotonic)
    current = keys.current_id
    name = actor(arguments)
    done = 0

    def again(wrapped: bytes, master_key_id: str) -> bytes:
        return keys.wrap(keys.unwrap(wrapped, master_key_id))[0]

    def progress(number: int) -> None:
        print(f"{done + number} keys wrapped anew", file=sys.stderr)

    async with owning(settings.gateway_owner_dsn, variable=_OWNER) as connection:
        store = PersonalDataStore(connection)
        in_use = await store.in_use()
        if settings.master_key_file is None and in_use and current not in in_use:
            # A gateway follows a file by itself; one without the key could open nothing.
            confirm(
                f"No gateway has used {current} so far. What is wrapped under it can be read"
                " only by gateways that know it. Do all of them?",
                arguments,
            )
        try:
            for _ in range(PASSES_MAX):
                number = await store.rewrap(
                    current_id=current, rewrap=again, actor=name, progress=progress
                )
                done += number
                if not number:
                    break
                await asyncio.sleep(FOLLOWED_S)
        except MasterKeyUnknown as error:
            raise CommandFailed(
                f"{done} keys were wrapped anew, then: {error} Put it into OTA_MASTER_KEYS_OLD"
                " or the file, and run this again"
            ) from error
        in_use = await store.in_use()
    others = {id: number for id, number in in_use.items() if id != current}
    if arguments.json:
        show_json({"current": current, "rewrapped": done, "in_use": dict(in_use)})
    else:
        print(f"{done} keys were wrapped anew, {in_use.get(current, 0)} are under {current}")
    if others:
        raise CommandFailed(
            f"{sum(others.values())} keys are under {', '.join(others)}: a gateway still wraps"
            " under it. Give it the new master key, then run this again"
        )
    if not arguments.json and keys.ids[1:]:
        print(f"no key is under {', '.join(keys.ids[1:])} any more: take it out of the settings")


# --- The record ------------------------------------------------------------------------------


def _history(settings: MigrationSettings, arguments: argparse.Namespace) -> int:
    asyncio.run(_show_history(settings, arguments))
    return 0


async def _show_history(settings: MigrationSettings, arguments: argparse.Namespace) -> None:
    async with owning(settings.gateway_owner_dsn, variable=_OWNER) as connection:
        try:
            recorded = await PersonalDataStore(connection).recorded()
        except RecordBroken as error:
            raise CommandFailed(f"the record was tampered with: {error}") from error
    if arguments.json:
        show_json([{**asdict(each), "type": type(each.event).__name__} for each in recorded])
        return
    rows = []
    for each in reversed(recorded):
        event = asdict(each.event)
        key_ids = event.get("key_ids")
        rows.append(
            {
                "seq": each.seq,
                "at": each.at,
                "actor": each.actor,
                "what": type(each.event).__name__,
                "keys": event.get("keys") if key_ids is None else len(key_ids),
                "reservations": event.get("reservations"),
                "details": event.get("looked_for_by") or event.get("master_key_id"),
            }
        )
    show_table(_HISTORY_COLUMNS, rows)


# --- Arguments -------------------------------------------------------------------------------


def _erase_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--email", help="the customer's e-mail address")
    group.add_argument("--phone", help="the customer's telephone number, in any form")
    group.add_argument("--order", metavar="ID", help="the customer of this order")
    group.add_argument("--reservation", metavar="ID", help="whoever this reservation was for")
    add_actor(parser)
    add_yes(parser)
    add_json(parser)


def _rotate_arguments(parser: argparse.ArgumentParser) -> None:
    add_actor(parser)
    add_yes(parser)
    add_json(parser)


COMMANDS: tuple[Command[Any], ...] = (
    Command(
        name="data erase",
        help="erase a customer's personal data, in every order and hold",
        settings=ErasureSettings,
        run=_erase,
        arguments=_erase_arguments,
        epilog=(
            "A value of - is read from standard input, so that it is not in the shell's history:\n"
            "    echo 'ann@example.com' | ota-admin data erase --email - --yes\n\n"
            "Names, addresses, numbers and all free text of what is found can be read by nobody\n"
            "afterwards, this command included. Orders, totals, tickets and the event log stay.\n"
            "Backups keep what they hold until they are deleted, or until the master key that was\n"
            "in use is: see rotate-master-key. Needs OTA_GATEWAY_OWNER_DSN, OTA_FINGERPRINT_KEY\n"
            "and OTA_FULFILLMENT_READ_DSN."
        ),
    ),
    Command(
        name="data rotate-master-key",
        help="wrap all keys of personal data under the current master key",
        settings=RewrapSettings,
        run=_rotate,
        arguments=_rotate_arguments,
        epilog=(
            "With a file (OTA_MASTER_KEY_FILE) running gateways follow it within a second:\n"
            "  1. put the new key (openssl rand -hex 32) on its first line, above the old one\n"
            "  2. ota-admin data rotate-master-key\n"
            "  3. take the old key out of the file\n"
            "With variables, every gateway has to know both keys before one wraps under the new:\n"
            "  1. restart the gateways with the new key in OTA_MASTER_KEYS_OLD\n"
            "  2. restart them with the new in OTA_MASTER_KEY and the old in OTA_MASTER_KEYS_OLD\n"
            "  3. ota-admin data rotate-master-key, with the same two variables\n"
            "  4. restart them without the old one\n"
            "Gateways sell all the while. Whatever interrupts it: the same command goes on."
        ),
    ),
    Command(
        name="data history",
        help="erasures and changes of the master key, and whether their record is whole",
        settings=MigrationSettings,
        run=_history,
        arguments=add_json,
    ),
)
