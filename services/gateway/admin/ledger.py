"""``ota-admin stock``: units, sales, caps and holds, as commands that the ledger decides.

Nothing is changed here: each command goes to the pool's partition like a partner's, and
stands in the log with the operator's name.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import Any

from libs.events.contracts.inventory import (
    CapPartner,
    LedgerChanged,
    LedgerChangeRefused,
    ResumeSales,
    SetAllotment,
    StopSales,
)
from libs.events.host import VERSION
from libs.events.kafka.operator import (
    BrokerAway,
    Unanswered,
    operator_commands,
    operator_request,
)
from libs.events.topics import INVENTORY_COMMANDS
from libs.runtime.cli import Command, CommandFailed
from libs.runtime.logs import configure_logs
from services.gateway.admin.databases import reading
from services.gateway.admin.releasing import Released, release_holds
from services.gateway.admin.terminal import (
    actor,
    add_actor,
    add_json,
    add_yes,
    confirm,
    show_json,
    show_table,
)
from services.gateway.domain.directory import Partner
from services.gateway.settings import StockSettings
from services.gateway.store.directory import DirectoryStore
from services.gateway.store.stock_views import OpenHold, StockRow, StockViews

_POOL_COLUMNS = (
    *("product_id", "channel", "allotted", "held", "sold", "available", "sales", "pool_no"),
)
_CAP_COLUMNS = ("partner_id", "product_id", "channel", "units", "held")
UNITS_MAX = 10**9
SUSPENSION_FOLLOWED_S = 3.0
"""Every gateway refuses a suspended partner within 2 s; the rest is for what is on its way."""

Work = Callable[[StockSettings, argparse.Namespace], Coroutine[Any, Any, None]]


def _running(work: Work) -> Callable[[StockSettings, argparse.Namespace], int]:
    """Return the command's function; what goes wrong on the way is told, not shown."""

    def run(settings: StockSettings, arguments: argparse.Namespace) -> int:
        configure_logs(
            service="admin",
            version=VERSION,
            level=settings.log_level,
            log_format="console",
            stream=sys.stderr,
        )
        try:
            asyncio.run(work(settings, arguments))
        except BrokerAway as error:
            raise CommandFailed(
                f"Kafka cannot be reached, is it up and OTA_KAFKA_BOOTSTRAP right? ({error})"
            ) from error
        except Unanswered as error:
            raise CommandFailed(
                "the service does not answer, is it running? Whether the change was made is"
                " unknown; the same command again is harmless"
            ) from error
        except KeyboardInterrupt:
            raise CommandFailed("stopped; the same command again goes on") from None
        return 0

    return run


async def _pools(settings: StockSettings) -> list[StockRow]:
    async with reading(settings.inventory_read_dsn, variable="OTA_INVENTORY_READ_DSN") as pool:
        return list(await StockViews(pool).pools())


async def _pool(settings: StockSettings, *, product_id: int, channel: str) -> StockRow:
    pools = await _pools(settings)
    for pool in pools:
        if (pool.product_id, pool.channel) == (product_id, channel):
            return pool
    channels = sorted({pool.channel for pool in pools if pool.product_id == product_id})
    raise CommandFailed(
        f"product {product_id} has no pool in channel {channel}"
        + (f", only in {', '.join(channels)}" if channels else "")
        + "; pools come with the catalogue: ota-inventory load-catalogue FILE"
    )


async def _partner(settings: StockSettings, partner_id: str) -> tuple[Partner, float]:
    """Return a partner, and for how many seconds it has been suspended (0: it is not)."""
    async with reading(settings.gateway_dsn, variable="OTA_GATEWAY_DSN") as pool:
        look = await DirectoryStore(pool).look()
    partner = look.state.partners.get(partner_id)
    if partner is None:
        raise CommandFailed(f"there is no partner {partner_id}: ota-admin partner list")
    since = partner.suspended_at
    return partner, (look.now - since).total_seconds() if since is not None else 0.0


async def _change(
    settings: StockSettings, arguments: argparse.Namespace, *, partition: int, data: object
) -> None:
    """Have the ledger carry out a command; raises CommandFailed when it refuses."""
    name = actor(arguments)
    id = str(uuid.uuid4())
    async with operator_commands(bootstrap=settings.kafka_bootstrap) as commands:
        reply = await commands.insist(
            operator_request(
                INVENTORY_COMMANDS,
                partition=partition,
                command_id=id,
                identity=id,
                data=data,
                name=name,
            )
        )
    match reply.answer:
        case LedgerChanged():
            return
        case LedgerChangeRefused(reason=reason, detail=detail):
            raise CommandFailed(f"nothing was changed: {reason.replace('_', ' ')} ({detail})")
        case answer:
            raise TypeError(f"no answer of the ledger: {type(answer).__name__}")


async def _show(settings: StockSettings, arguments: argparse.Namespace) -> None:
    async with reading(settings.inventory_read_dsn, variable="OTA_INVENTORY_READ_DSN") as pool:
        views = StockViews(pool)
        pools, caps = await views.pools(), await views.caps()
    wanted = arguments.product
    pools = [each for each in pools if wanted is None or each.product_id == wanted]
    caps = [each for each in caps if wanted is None or each.product_id == wanted]
    if wanted is not None and not pools:
        raise CommandFailed(f"there is no product {wanted}: ota-admin stock show")
    if arguments.json:
        show_json({"pools": [asdict(row) for row in pools], "caps": [asdict(row) for row in caps]})
        return
    show_table(
        _POOL_COLUMNS,
        [{**asdict(row), "sales": "open" if row.selling else "stopped"} for row in pools],
    )
    if caps:
        print()
        show_table(_CAP_COLUMNS, [asdict(row) for row in caps])


async def _allot(settings: StockSettings, arguments: argparse.Namespace) -> None:
    pool = await _pool(settings, product_id=arguments.product, channel=arguments.channel)
    data = SetAllotment(
        pool_no=pool.pool_no,
        product_id=pool.product_id,
        channel=pool.channel,
        units=arguments.units,
    )
    await _change(settings, arguments, partition=pool.partition, data=data)
    print(f"{_named(pool)}: {arguments.units} units allotted, {pool.allotted} before")


async def _stop(settings: StockSettings, arguments: argparse.Namespace) -> None:
    pool = await _pool(settings, product_id=arguments.product, channel=arguments.channel)
    data = StopSales(pool_no=pool.pool_no, reason=arguments.reason)
    await _change(settings, arguments, partition=pool.partition, data=data)
    before = "" if pool.selling else ", as they were before"
    print(f"{_named(pool)}: sales are stopped{before}; open holds can still be activated")


async def _resume(settings: StockSettings, arguments: argparse.Namespace) -> None:
    pool = await _pool(settings, product_id=arguments.product, channel=arguments.channel)
    data = ResumeSales(pool_no=pool.pool_no)
    await _change(settings, arguments, partition=pool.partition, data=data)
    print(f"{_named(pool)}: sales are open{', as they were before' if pool.selling else ''}")


async def _cap(settings: StockSettings, arguments: argparse.Namespace) -> None:
    partner, _ = await _partner(settings, arguments.partner)
    pool = await _pool(settings, product_id=arguments.product, channel=partner.channel)
    data = CapPartner(pool_no=pool.pool_no, partner_id=partner.partner_id, units=arguments.units)
    await _change(settings, arguments, partition=pool.partition, data=data)
    if arguments.units is None:
        print(f"{_named(pool)}: {partner.partner_id} may hold as many units as there are")
    else:
        print(f"{_named(pool)}: {partner.partner_id} may hold {arguments.units} units at once")


def _named(pool: StockRow) -> str:
    return f"product {pool.product_id} in channel {pool.channel}"


@dataclass(slots=True)
class _Progress:
    """Shows on the terminal how far a release is; programs read the report instead."""

    shown: int = -1

    def show(self, released: Released) -> None:
        """Write over the last line where there is a terminal."""
        if sys.stderr.isatty() or released.done >= self.shown + 1_000:
            end = "\r" if sys.stderr.isatty() else "\n"
            print(f"{released.done} of {released.found} holds", end=end, file=sys.stderr)
            self.shown = released.done


async def _release(settings: StockSettings, arguments: argparse.Namespace) -> None:
    partner, suspended_s = await _partner(settings, arguments.partner)
    id = partner.partner_id
    if partner.suspended_at is None and not arguments.force:
        raise CommandFailed(
            f"{id} is not suspended and could hold again at once: ota-admin partner suspend {id}"
            " first, or --force"
        )
    async with reading(settings.inventory_read_dsn, variable="OTA_INVENTORY_READ_DSN") as pool:
        views = StockViews(pool)
        holds = await views.open_holds(partner_id=id)
        if holds:
            units = sum(hold.quantity for hold in holds)
            confirm(f"Give back {len(holds)} holds of {id} with {units} units?", arguments)
        if partner.suspended_at is not None and suspended_s < SUSPENSION_FOLLOWED_S:
            await asyncio.sleep(SUSPENSION_FOLLOWED_S - suspended_s)

        async def open_holds() -> list[OpenHold]:
            return list(await views.open_holds(partner_id=id))

        async with operator_commands(bootstrap=settings.kafka_bootstrap) as commands:
            released = await release_holds(
                commands=commands,
                partner_id=id,
                name=actor(arguments),
                open_holds=open_holds,
                progress=_Progress().show,
            )
    if arguments.json:
        show_json({"partner_id": id, **asdict(released)})
    else:
        print(f"{id}: {released.holds} holds with {released.units} units given back", end="")
        print(f", {released.ended} had ended by themselves" if released.ended else "")
    if released.left:
        raise CommandFailed(
            f"{released.left} holds were not given back, see the log of the reservation service;"
            " the same command again is harmless"
        )


# --- Arguments -------------------------------------------------------------------------------


def _units(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 10 or int(text) > UNITS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of units, 0 to {UNITS_MAX}")
    return int(text)


def _product(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is no product id, such as 106")
    return int(text)


def _units_or_none(text: str) -> int | None:
    return None if text == "none" else _units(text)


def _reason(text: str) -> str:
    if not 1 <= len(text) <= 200 or not text.isprintable():
        raise argparse.ArgumentTypeError("a reason has 1 to 200 characters on one line")
    return text


def _pool_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("product", type=_product, help="the product's id, as 106")
    parser.add_argument("channel", help="the channel, as ota")
    add_actor(parser)


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--product", type=_product, help="only this product")
    add_json(parser)


def _allot_arguments(parser: argparse.ArgumentParser) -> None:
    _pool_arguments(parser)
    parser.add_argument("units", type=_units, help="units in all, held and sold ones included")


def _stop_arguments(parser: argparse.ArgumentParser) -> None:
    _pool_arguments(parser)
    parser.add_argument(
        "--reason", required=True, type=_reason, help="why, for the record; no personal data"
    )


def _cap_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("partner", help="the partner's id")
    parser.add_argument("product", type=_product, help="the product's id, as 106")
    parser.add_argument("units", type=_units_or_none, help="units at once, or none for no cap")
    add_actor(parser)


def _release_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("partner", help="the partner's id")
    parser.add_argument("--force", action="store_true", help="also if it is not suspended")
    add_actor(parser)
    add_yes(parser)
    add_json(parser)


def _command(
    name: str,
    help: str,
    work: Work,
    arguments: Callable[[argparse.ArgumentParser], None],
    epilog: str | None = None,
) -> Command[StockSettings]:
    return Command(
        name=f"stock {name}",
        help=help,
        settings=StockSettings,
        run=_running(work),
        arguments=arguments,
        epilog=epilog,
    )


COMMANDS: tuple[Command[Any], ...] = (
    _command("show", "units of every pool, and caps of partners", _show, _show_arguments),
    _command(
        "allot",
        "set how many units of a product a channel may sell",
        _allot,
        _allot_arguments,
        "Units are those in all: an allotment below what is held and sold is refused. To move\n"
        "units between channels, lower one first, then raise the other.",
    ),
    _command("stop", "take no new holds of a product in a channel", _stop, _stop_arguments),
    _command("resume", "take holds of it again", _resume, _pool_arguments),
    _command(
        "cap",
        "limit how many units of a product a partner may hold at once",
        _cap,
        _cap_arguments,
        "What the partner holds above a new cap stays; only new holds are refused\n"
        "(409 HOLD_LIMIT_REACHED) until it is below.",
    ),
    _command(
        "release",
        "give back all open holds of a suspended partner",
        _release,
        _release_arguments,
        "Each hold is cancelled by the reservation service, as if the partner had done it, and\n"
        "stands in the record with your name. Whatever interrupts it: the same command goes on.",
    ),
)
