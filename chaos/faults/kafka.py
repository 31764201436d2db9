"""Faults of Kafka: crashes, a power cut, lost answers, repeats, rewinds, unreadable records."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from chaos.faults.fault import Hurt
from chaos.faults.postgres import cut_power
from chaos.ground import Ground, Skipped
from chaos.layout import DECIDERS
from chaos.rules import Rule

BACK_TIMEOUT_S = 60.0
LOST_ANSWERS = 3
CLIENT_TIMEOUT_S = 15.0
READ_MAX = 400
Headers = list[tuple[str, bytes]]
COMMANDS = ("ota.inventory.commands.v1", "ota.reservation.commands.v1")
EVENTS = ("ota.inventory.events.v1", "ota.reservation.events.v1", "ota.fulfillment.events.v1")
OTHERS = (
    "ota.gateway.replies.v1",
    "ota.inventory.availability.v1",
    "ota.platform.dead-letters.v1",
)


@asynccontextmanager
async def crash(ground: Ground, dice: random.Random, _: float) -> AsyncIterator[Hurt]:
    """F6: the broker is killed, paused, or ended gently and started again."""
    kafka = ground.processes["kafka"]
    async with ground.claim("kafka"):
        way = dice.choice(("kill -9", "SIGSTOP", "restart"))
        if way == "kill -9":
            kafka.kill()
        elif way == "SIGSTOP":
            kafka.signal(signal.SIGSTOP)
        else:
            kafka.signal(signal.SIGTERM)
        try:
            yield Hurt(f"Kafka: {way}")
        finally:
            if way == "SIGSTOP":
                kafka.signal(signal.SIGCONT)
        await kafka.until_ready(timeout_s=BACK_TIMEOUT_S)


@asynccontextmanager
async def power_cut(ground: Ground, _: random.Random, __: float) -> AsyncIterator[Hurt]:
    """F7: the broker comes back without the records that it had not flushed."""
    async with ground.claim("kafka"):
        await cut_power(ground, "kafka")
        yield Hurt("power cut of Kafka")
        await ground.processes["kafka"].until_ready(timeout_s=BACK_TIMEOUT_S)


@asynccontextmanager
async def lost_produce(ground: Ground, dice: random.Random, _: float) -> AsyncIterator[Hurt]:
    """F10: records are appended, and the broker's word of it is lost with the connection."""
    who = dice.choice((*DECIDERS, "gateway-"))
    rule = Rule(mode="drop_produce", door="kafka", who=who, value=LOST_ANSWERS)
    async with ground.rule(rule):
        yield Hurt(f"{LOST_ANSWERS} answers to records of {who} are lost")


@asynccontextmanager
async def repeat(ground: Ground, dice: random.Random, _: float) -> AsyncIterator[Hurt]:
    """F11: records come again, or a consumer is set back."""
    if dice.random() < 0.5:
        async with _rewound(ground, dice) as hurt:
            yield hurt
        return
    topic = dice.choice((*COMMANDS, *EVENTS, *OTHERS))
    partition = dice.randrange(4 if topic not in OTHERS[2:] else 1)
    async with _kafka(ground) as (consumer, producer):
        records = await _last(consumer, topic, partition, READ_MAX)
        if not records:
            raise Skipped(f"{topic} {partition} has no records")
        times = dice.randint(1, 10)
        for record in dice.choices(records, k=min(len(records), 20)):
            for _again in range(times):
                await producer.send_and_wait(
                    topic,
                    partition=partition,
                    key=record.key,
                    value=record.value,
                    headers=list(record.headers),
                )
    yield Hurt(f"20 records of {topic} {partition} come {times} times more")


@asynccontextmanager
async def _rewound(ground: Ground, dice: random.Random) -> AsyncIterator[Hurt]:
    """While all instances of a service are down, let it believe that it had read less."""
    service = dice.choice(DECIDERS)
    partition = dice.randrange(4)
    names = [each.name for each in ground.instances(service)]
    async with ground.claim(*names, "postgres"):
        for name in names:
            ground.processes[name].wanted = False
            ground.processes[name].kill()
        try:
            back = await _set_back(ground, service, partition, dice)
        finally:
            for name in names:
                ground.processes[name].wanted = True
        yield Hurt(f"{service} {partition} reads {back} records again", tuple(names))
        for name in names:
            await ground.processes[name].until_ready(timeout_s=BACK_TIMEOUT_S)


async def _set_back(ground: Ground, service: str, partition: int, dice: random.Random) -> str:
    try:
        async with ground.database(service) as database, _kafka(ground) as (consumer, _):
            text = await database.fetchval(
                "SELECT inputs::text FROM partition_head WHERE partition = $1", partition
            )
            inputs: dict[str, Any] = json.loads(text or "{}")
            if not inputs:
                raise Skipped(f"{service} {partition} has read nothing yet")
            topic = dice.choice(sorted(inputs))
            records = await _last(consumer, topic, partition, dice.randint(1, READ_MAX))
            if not records:
                raise Skipped(f"{topic} {partition} has no records")
            first = records[0]
            if first.offset >= inputs[topic]["offset"]:
                raise Skipped(f"{service} {partition} lags behind {topic} already")
            back = inputs[topic]["offset"] - first.offset
            inputs[topic]["offset"] = first.offset
            inputs[topic]["record_id"] = dict(first.headers).get("ce_id", b"").decode()
            await database.execute(
                "UPDATE partition_head SET inputs = $2::text::json WHERE partition = $1",
                partition,
                json.dumps(inputs),
            )
            return f"{back} of {topic}"
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise Skipped(f"PostgreSQL: {error!r}") from error


@asynccontextmanager
async def poison(ground: Ground, dice: random.Random, _: float) -> AsyncIterator[Hurt]:
    """F18: records that cannot be read or decided, on every topic.

    An unreadable event halts its partition by design, until an operator acts; what is put among
    events is therefore of an unknown type, which everybody has to pass over.
    """
    async with _kafka(ground) as (consumer, producer):
        for topic in (*COMMANDS, *EVENTS, *OTHERS):
            partition = dice.randrange(1 if topic == OTHERS[2] else 4)
            records = await _last(consumer, topic, partition, 50) if topic in COMMANDS else []
            for headers, value in _poisons(topic, records, dice):
                await producer.send_and_wait(
                    topic,
                    partition=partition,
                    key=b"poison" if value is None else None,
                    value=value,
                    headers=headers,
                )
    yield Hurt("records that nobody can read, on every topic")


def _poisons(
    topic: str, records: Sequence[ConsumerRecord], dice: random.Random
) -> list[tuple[Headers, bytes | None]]:
    unknown: Headers = [
        ("ce_type", b"ota.nobody.knows_this"),
        ("ce_dataversion", b"1"),
        ("ce_id", uuid.UUID(int=dice.getrandbits(128)).bytes.hex().encode()),
    ]
    if topic in EVENTS:
        return [(unknown, b"{}"), (unknown, None)]
    found: list[tuple[Headers, bytes | None]] = [
        ([], b"\xff\xfe no message"),
        (unknown, b"{}"),
        ([("ce_type", b"\xff"), ("ce_dataversion", b"one")], None),
        ([], dice.randbytes(900_000)),
    ]
    found += [_negative(each, dice) for each in records[-1:]]
    found += [_newer(each) for each in records[-1:]]
    return found


def _negative(record: ConsumerRecord, dice: random.Random) -> tuple[Headers, bytes | None]:
    """Return a fresh command that asks for less than nothing."""
    headers = dict(record.headers)
    headers["ce_id"] = str(uuid.UUID(int=dice.getrandbits(128), version=4)).encode()
    headers["ce_correlationid"] = headers["ce_causationid"] = headers["ce_id"]
    headers["ce_time"] = datetime.now(UTC).isoformat().encode()
    try:
        data = json.loads(record.value or b"{}")
    except ValueError:
        data = {}
    return list(headers.items()), json.dumps({**data, "quantity": -5}).encode()


def _newer(record: ConsumerRecord) -> tuple[Headers, bytes | None]:
    headers = {**dict(record.headers), "ce_dataversion": b"99"}
    return list(headers.items()), record.value


@asynccontextmanager
async def _kafka(ground: Ground) -> AsyncIterator[tuple[AIOKafkaConsumer, AIOKafkaProducer]]:
    """Give clients of the broker; raises Skipped when it is away."""
    bootstrap = ground.layout.broker.bootstrap
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id="harness",
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=100,
        request_timeout_ms=5_000,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, client_id="harness", request_timeout_ms=5_000
    )
    try:
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT_S):
                await consumer.start()
                await producer.start()
                reached = True
        except (OSError, TimeoutError, KafkaError) as error:
            raise Skipped("Kafka is away") from error
        assert reached
        try:
            async with asyncio.timeout(2 * CLIENT_TIMEOUT_S):
                yield consumer, producer
        except (OSError, TimeoutError, KafkaError) as error:
            raise Skipped(f"Kafka went away: {error!r}") from error
    finally:
        for client in (consumer, producer):
            try:
                async with asyncio.timeout(3):
                    await client.stop()
            except (OSError, TimeoutError, KafkaError):
                continue


async def _last(
    consumer: AIOKafkaConsumer, topic: str, partition: int, count: int
) -> list[ConsumerRecord]:
    """Return the last records of a partition."""
    where = TopicPartition(topic, partition)
    consumer.assign([where])
    begin = (await consumer.beginning_offsets([where]))[where]
    end = (await consumer.end_offsets([where]))[where]
    offset = max(begin, end - count)
    consumer.seek(where, offset)
    found: list[ConsumerRecord] = []
    while offset < end:
        for record in (await consumer.getmany(where, timeout_ms=200)).get(where, []):
            found.append(record)
            offset = record.offset + 1
    return found
