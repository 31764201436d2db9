"""``ota-admin audit``: who did what, what was refused, and which events it led to."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.kernel.ids import is_order_id, pool_no_of
from libs.runtime.cli import Command, CommandFailed
from services.gateway.admin.databases import reading, reading_any
from services.gateway.admin.terminal import add_json, duration, plain, show_json, show_table
from services.gateway.domain.audit import AuditRow, EventRecord, shortened
from services.gateway.settings import DirectorySettings, HistorySettings
from services.gateway.store.audit import AuditFilter, AuditStore
from services.gateway.store.customer_orders import CustomerOrders
from services.gateway.store.history import EventHistory

LIMIT_DEFAULT = 50
LIMIT_MAX = 1_000
SHOWN_MAX = 200
FOLLOW_EVERY_S = 1.0
FOLLOW_BACK_S = 3.0
"""Rows are stored up to a second after their call; the rest is for gateways' clocks."""

_STATUS = re.compile(r"[1-5](?:[0-9]{2}|xx)\Z")

_SEARCH_COLUMNS = (
    *("at", "partner_id", "key_id", "method", "route", "status", "word", "calls", "address"),
    *("request_id", "reservation_id", "order_id"),
)
_EVENT_COLUMNS = (
    *("decided_at", "service", "position", "type", "partner_id", "key_id", "request_id"),
    "command_id",
)
_SLOW = " A search of very many records may also take too long: give it --since or --partner."
_SEARCH_EPILOG = """\
examples:
  what was refused to a partner in the last hour
      ota-admin audit search --partner harbour --since 1h --status 4xx
  everything about one reservation, as JSON
      ota-admin audit search --reservation res_01... --json
  wrong keys from one network, as they come
      ota-admin audit search --word INVALID_API_KEY --address 203.0.113.9 --follow

Calls that were answered and changed nothing have no record. A row with more than one call is a
flood: so many refusals of half a second that were alike."""
_SHOW_EPILOG = """\
examples:
  ota-admin audit show req_0f3a...     the call, and the events that it led to
  ota-admin audit show res_01...       a reservation's calls and its whole history

An event keeps who caused it for good; the records of calls are deleted after
OTA_AUDIT_RETENTION_DAYS. Ask for the reservation then."""


def moment(text: str) -> datetime:
    """Read an instant: ``90s``, ``30m``, ``2h``, ``7d`` ago, or ISO 8601; UTC if it does not say.

    Raises argparse.ArgumentTypeError.
    """
    with suppress(argparse.ArgumentTypeError):
        return datetime.now(UTC) - duration(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a time such as 2026-01-31T08:00:00Z nor so long ago as 2h or 7d"
        ) from None
    try:
        return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except OverflowError:
        raise argparse.ArgumentTypeError(f"{text!r} is not within the calendar") from None


def statuses(text: str) -> tuple[int, int]:
    """Read ``409`` or ``4xx`` as half-open bounds; raises argparse.ArgumentTypeError."""
    if not _STATUS.match(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no status such as 409 or 4xx")
    if text.endswith("xx"):
        return int(text[0]) * 100, int(text[0]) * 100 + 100
    return int(text), int(text) + 1


def network(text: str) -> str:
    """Read an address, or the network that records have; raises argparse.ArgumentTypeError."""
    found = shortened(text.partition("/")[0])
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no IP address")
    return found


def place(text: str) -> tuple[datetime, int]:
    """Read what a full page said of the next one; raises argparse.ArgumentTypeError."""
    at, _, row_id = text.rpartition("/")
    if not row_id.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not what a page told to go on with")
    return moment(at), int(row_id)


def page_size(text: str) -> int:
    """Read a number of rows; raises argparse.ArgumentTypeError."""
    if not text.isdigit() or not 1 <= int(text) <= LIMIT_MAX:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {LIMIT_MAX}")
    return int(text)


def _search_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--partner", dest="partner_id", metavar="ID", help="id of the partner that called")
    add("--key", dest="key_id", metavar="ID", help="id of the key that it called with")
    add("--since", type=moment, metavar="WHEN", help="from then on: 30m, 2h, 7d, or ISO 8601")
    add("--until", type=moment, metavar="WHEN", help="before that moment")
    add("--word", type=str.upper, help="error word, such as SOLD_OUT")
    add(
        "--status",
        dest="statuses",
        metavar="STATUS",
        type=statuses,
        help="409, or 4xx for all such",
    )
    add("--request-id", dest="request_id", metavar="ID", help="X-Request-Id of the call")
    add(
        "--reservation",
        dest="reservation_id",
        metavar="ID",
        help="reservation it was about",
    )
    add("--order", dest="order_id", metavar="ID", help="order it was about")
    add("--address", type=network, help="source address; records have its /24 or /48")
    add("--limit", type=page_size, help=f"rows, {LIMIT_DEFAULT} if not given")
    add("--before", type=place, metavar="PLACE", help="go on where the last page told to")
    add("--follow", action="store_true", help="go on with new records as they come, oldest first")
    add_json(parser)


def _search(settings: DirectorySettings, arguments: argparse.Namespace) -> int:
    since, until = arguments.since, arguments.until
    if since is not None and until is not None and since >= until:
        raise CommandFailed("--since must be before --until")
    if arguments.follow and (until or arguments.before or arguments.limit is not None):
        raise CommandFailed("--follow does not go with --until, --before or --limit")
    with suppress(KeyboardInterrupt):
        asyncio.run(_search_in(settings, arguments))
    return 0


async def _search_in(settings: DirectorySettings, arguments: argparse.Namespace) -> None:
    names = AuditFilter.__dataclass_fields__
    which = AuditFilter(**{name: getattr(arguments, name) for name in names})
    async with reading(settings.gateway_dsn, variable="OTA_GATEWAY_DSN", hint=_SLOW) as pool:
        store = AuditStore(pool)
        if arguments.follow:
            await _follow(store, which, arguments)
        limit = arguments.limit or LIMIT_DEFAULT
        rows = await store.rows(which, limit=limit + 1)
    shown = rows[:limit]
    if arguments.json:
        show_json([row._asdict() for row in shown])
    else:
        show_table(_SEARCH_COLUMNS, [row._asdict() for row in shown])
    if not rows and not arguments.json:
        print("there is no such record", file=sys.stderr)
    if len(rows) > len(shown):
        last = shown[-1]
        print(f"there are more: --before {plain(last.at)}/{last.row_id}", file=sys.stderr)


class Follower:
    """Finds the rows that were stored since it was last asked.

    Rows of several gateways do not come in the order of their moments, so it looks a little
    back each time and leaves out what it has given. *read* returns the newest rows.
    """

    def __init__(
        self, read: Callable[[AuditFilter], Awaitable[Sequence[AuditRow]]], which: AuditFilter
    ) -> None:
        self._read = read
        self._which = which
        self._given: dict[int, datetime] = {}

    async def fresh(self, *, now: datetime) -> list[AuditRow]:
        """Return the new rows, oldest first."""
        since = now - timedelta(seconds=FOLLOW_BACK_S)
        which = replace(self._which, since=max(self._which.since or since, since))
        new: list[AuditRow] = []
        while rows := await self._read(which):
            new += [row for row in rows if row.row_id not in self._given]
            which = replace(which, before=(rows[-1].at, rows[-1].row_id))
        self._given |= {row.row_id: row.at for row in new}
        self._given = {row_id: at for row_id, at in self._given.items() if at >= since}
        return new[::-1]


async def _follow(store: AuditStore, which: AuditFilter, arguments: argparse.Namespace) -> None:
    follower = Follower(lambda asked: store.rows(asked, limit=LIMIT_MAX), which)
    while True:
        for row in await follower.fresh(now=datetime.now(UTC)):
            fields = row._asdict()
            if arguments.json:
                print(json.dumps(fields, ensure_ascii=False, default=plain), flush=True)
            else:
                words = [f"{name}={fields[name]}" for name in _SEARCH_COLUMNS[1:]]
                shown = [word for word in words if not word.endswith(("=None", "calls=1"))]
                print(plain(row.at), *shown, flush=True)
        await asyncio.sleep(FOLLOW_EVERY_S)


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "id", metavar="ID", help="request id of a call, or a reservation's or an order's id"
    )
    add_json(parser)


def _show(settings: HistorySettings, arguments: argparse.Namespace) -> int:
    rows, events = asyncio.run(_shown(settings, arguments.id))
    if not rows and not events:
        raise CommandFailed(
            f"there is no record of {arguments.id}. A record is written within a second of its"
            " call and deleted after OTA_AUDIT_RETENTION_DAYS; calls that were answered and"
            " changed nothing have none. A reservation's events stay: ask for its id."
        )
    if arguments.json:
        show_json(
            {
                "calls": [row._asdict() for row in rows],
                "events": [event._asdict() for event in events],
            }
        )
        return 0
    for row in rows:
        for name, value in row._asdict().items():
            if value is not None:
                print(f"{name.replace('_', ' '):15} {plain(value)}")
        print()
    if events:
        show_table(
            _EVENT_COLUMNS, [event._asdict() | {"position": position(event)} for event in events]
        )
    else:
        print("no event came of it")
    return 0


def position(event: EventRecord) -> str:
    """Return an event's position as everybody writes it."""
    return f"{event.generation}-{event.partition}-{event.seq}"


async def _shown(
    settings: HistorySettings, id: str
) -> tuple[Sequence[AuditRow], Sequence[EventRecord]]:
    async with reading_any(
        settings.gateway_dsn,
        settings.inventory_read_dsn,
        settings.reservation_read_dsn,
        settings.fulfillment_read_dsn,
        variables="each of OTA_GATEWAY_DSN and OTA_..._READ_DSN",
        hint=_SLOW,
    ) as (own, inventory, reservation, fulfillment):
        store, orders = AuditStore(own), CustomerOrders(fulfillment)
        history = EventHistory(
            {"inventory": inventory, "reservation": reservation, "fulfillment": fulfillment}
        )
        reservation_id = await orders.reservation_of(id) if is_order_id(id) else id
        if reservation_id is not None and pool_no_of(reservation_id) is not None:
            calls = await store.rows(AuditFilter(reservation_id=reservation_id), limit=SHOWN_MAX)
            return calls, await history.of_reservation(reservation_id)
        calls = await store.rows(
            AuditFilter(order_id=id) if is_order_id(id) else AuditFilter(request_id=id),
            limit=SHOWN_MAX,
        )
        led_to = {
            (row.reservation_id, row.command_id): None
            for row in calls
            if row.reservation_id is not None and row.command_id is not None
        }
        events = [
            event
            for reservation, command_id in led_to
            for event in await history.of_reservation(str(reservation), command_id=command_id)
        ]
        return calls, events


COMMANDS: tuple[Command[Any], ...] = (
    Command(
        name="audit search",
        help="find calls: mutations and refusals, newest first",
        settings=DirectorySettings,
        run=_search,
        arguments=_search_arguments,
        epilog=_SEARCH_EPILOG,
    ),
    Command(
        name="audit show",
        help="show a call with the events it led to, or a reservation's whole history",
        settings=HistorySettings,
        run=_show,
        arguments=_show_arguments,
        epilog=_SHOW_EPILOG,
    ),
)
