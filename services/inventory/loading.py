"""Loads a catalogue into the ledger, as commands like any other (every change is an event)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from pydantic import TypeAdapter

from libs.events.contracts.inventory import (
    LedgerChanged,
    LedgerChangeRefused,
    PublishCatalogue,
    SetAllotment,
)
from libs.events.envelope import Actor
from libs.events.kafka.requests import KafkaCommandClient
from libs.events.requests import NotExecuted, OutcomeUnknown, Request
from libs.events.topics import GATEWAY_REPLIES, INVENTORY_COMMANDS
from libs.kernel.catalogue import Catalogue
from libs.kernel.ids import derived_uuid
from libs.runtime.postgres import connect

log = structlog.get_logger()

OPERATOR_INSTANCE = GATEWAY_REPLIES.partitions - 1
"""The reply partition of operators' commands; no gateway uses it."""
TRIES = 30
ANSWER_TIMEOUT_S = 2.0
_DOCUMENT = TypeAdapter(Catalogue)


class LoadRefused(Exception):
    """The ledger did not accept the catalogue; the message says why."""


class _Silent:
    """A watch for a process without metrics."""

    def unmatched(self) -> None:
        """See `libs.events.kafka.requests.RequestWatch`."""

    def round_sent(self, commands: int) -> None:
        """See `libs.events.kafka.requests.RequestWatch`."""


async def load_into_ledger(catalogue: Catalogue, *, bootstrap: str, dsn: str) -> None:
    """Publish *catalogue* and set its allotments; a repeat changes nothing.

    Waits up to a minute for the ledger to answer. Raises LoadRefused.
    """
    await _refuse_moves(catalogue, dsn)
    client = KafkaCommandClient(
        bootstrap=bootstrap,
        instance=OPERATOR_INSTANCE,
        watch=_Silent(),
        on_availability=lambda _: None,
    )
    await client.start()
    try:
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(client.run_replies()),
                group.create_task(client.run_rounds()),
            ]
            for request in _requests(catalogue):
                await _submit(client, request)
            for task in running:
                task.cancel()
    except* LoadRefused as refused:
        raise LoadRefused(str(refused.exceptions[0])) from refused
    finally:
        await client.stop()


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
    command_id = derived_uuid("load-catalogue", identity)
    return Request(
        topic=INVENTORY_COMMANDS.name,
        partition=partition,
        command_id=command_id,
        fingerprint=identity,
        data=data,
        actor=Actor(partner_id="operator", key_id="console", request_id=command_id),
        traceparent=None,
        issued_at=datetime.now(UTC),
    )


async def _submit(client: KafkaCommandClient, request: Request) -> None:
    for attempt in range(TRIES):
        fresh = replace(request, issued_at=datetime.now(UTC))
        try:
            reply = await client.submit(fresh, timeout_s=ANSWER_TIMEOUT_S)
        except (NotExecuted, OutcomeUnknown) as error:
            log.info("load.waiting", attempt=attempt + 1, reason=str(error))
            continue
        if isinstance(reply.answer, LedgerChangeRefused):
            raise LoadRefused(f"{reply.answer.reason}: {reply.answer.detail}")
        if isinstance(reply.answer, LedgerChanged):
            return
        raise LoadRefused(f"the ledger answered {type(reply.answer).__name__}")
    raise LoadRefused("the ledger does not answer; is the inventory service running?")
