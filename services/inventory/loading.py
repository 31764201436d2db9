"""Loads a catalogue into the ledger, as commands like any other (every change is an event)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pydantic import TypeAdapter

from libs.events.contracts.inventory import (
    LedgerChanged,
    LedgerChangeRefused,
    PublishCatalogue,
    SetAllotment,
)
from libs.events.kafka.operator import (
    BrokerAway,
    OperatorCommands,
    Unanswered,
    operator_commands,
    operator_request,
)
from libs.events.requests import Request
from libs.events.topics import INVENTORY_COMMANDS
from libs.kernel.catalogue import Catalogue
from libs.kernel.ids import derived_uuid
from libs.runtime.postgres import connect

_DOCUMENT = TypeAdapter(Catalogue)


class LoadRefused(Exception):
    """The ledger did not accept the catalogue; the message says why."""


async def load_into_ledger(catalogue: Catalogue, *, bootstrap: str, dsn: str) -> None:
    """Publish *catalogue* and set its allotments; a repeat changes nothing.

    Waits up to a minute for the ledger to answer. Raises LoadRefused.
    """
    await _refuse_moves(catalogue, dsn)
    try:
        async with operator_commands(bootstrap=bootstrap) as commands:
            for request in _requests(catalogue):
                await _submit(commands, request)
    except BrokerAway as error:
        raise LoadRefused(f"the broker is away: {error}") from error


async def _refuse_moves(catalogue: Catalogue, dsn: str) -> None:
    """A pool's place is for good: reservation ids carry its number, topics its partition."""
    connection = await connect(dsn, application_name="ota-load-catalogue")
    try:
        rows = await connection.fetch("SELECT pool_no, product_id, channel, partition FROM pool")
    finally:
        await connection.close(timeout=2)
    by_number = {row["pool_no"]: row for row in rows}
    by_use = {(row["product_id"], row["channel"]): row["pool_no"] for row in rows}
    for pool in catalogue.pools:
        known = by_number.get(pool.pool_no)
        place = (pool.product_id, pool.channel, pool.partition)
        if known is not None and place != tuple(known)[1:]:
            raise LoadRefused(
                f"pool {pool.pool_no} is product {known['product_id']}, channel"
                f" {known['channel']}, partition {known['partition']}, and can't be moved"
            )
        other = by_use.get((pool.product_id, pool.channel), pool.pool_no)
        if other != pool.pool_no:
            raise LoadRefused(
                f"product {pool.product_id} in channel {pool.channel} is pool {other} already"
            )


def _requests(catalogue: Catalogue) -> Sequence[Request]:
    digest = hashlib.sha256(_DOCUMENT.dump_json(catalogue)).hexdigest()
    requests = [_request(0, PublishCatalogue(catalogue=catalogue), digest)]
    for pool in catalogue.pools:
        allotment = SetAllotment(
            pool_no=pool.pool_no,
            product_id=pool.product_id,
            channel=pool.channel,
            units=pool.units,
        )
        requests.append(_request(pool.partition, allotment, f"{digest}/{pool.pool_no}"))
    return requests


def _request(partition: int, data: object, identity: str) -> Request:
    return operator_request(
        INVENTORY_COMMANDS,
        partition=partition,
        command_id=derived_uuid("load-catalogue", identity),
        identity=identity,
        data=data,
        name="console",
    )


async def _submit(commands: OperatorCommands, request: Request) -> None:
    try:
        reply = await commands.insist(request)
    except Unanswered as error:
        raise LoadRefused(
            "the ledger does not answer; is the inventory service running?"
        ) from error
    if isinstance(reply.answer, LedgerChangeRefused):
        raise LoadRefused(f"{reply.answer.reason}: {reply.answer.detail}")
    if not isinstance(reply.answer, LedgerChanged):
        raise LoadRefused(f"the ledger answered {type(reply.answer).__name__}")
