"""The dead letters as operators see them: listed newest first, and given to their topic again.

What a record carried is not shown: only who sent what when, and why it was put aside.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from libs.events.kafka.feed import consumer
from libs.events.kafka.operator import BrokerAway
from libs.events.kafka.publisher import producer
from libs.events.topics import BY_NAME, DEAD_LETTERS
from libs.kernel.values import dataclass

READ_TIMEOUT_S = 5.0
SEND_TIMEOUT_S = 5.0
REASON_LENGTH_MAX = 300
_WHERE = TopicPartition(DEAD_LETTERS.name, 0)
_NOT_AGAIN = frozenset({"x-dlq-reason", "x-dlq-topic", "x-dlq-partition", "ce_time", "ce_replyto"})
"""Headers that a replayed record has anew, or not at all: nobody waits for its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that was put aside; *fault* says why it can't be replayed, if it can't."""

    offset: int
    at: datetime
    topic: str
    partition: int | None
    reason: str
    record_id: str
    type: str
    partner_id: str
    request_id: str
    size_bytes: int
    fault: str | None

    @property
    def subject(self) -> str:
        """What names this letter in the operators' record, also after the topic was made anew."""
        return f"{self.offset}/{self.record_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterList:
    """The newest letters, newest first, and how many there are in all."""

    letters: Sequence[DeadLetter]
    total: int


class DeadLetters:
    """Connects for each call; operators call seldom."""

    def __init__(self, *, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    async def newest(self, *, limit: int) -> DeadLetterList:
        """Return the newest letters; raises BrokerAway."""
        async with self._reading() as reader:
            begin, end = await _bounds(reader)
            records = await _records(reader, max(begin, end - limit), end)
        letters = [letter_of(record) for record in reversed(records)]
        return DeadLetterList(letters=letters, total=end - begin)

    async def find(self, offset: int) -> DeadLetter | None:
        """Return the letter at *offset*, None if it is not there (any more); raises BrokerAway."""
        record = await self._record(offset)
        return None if record is None else letter_of(record)

    async def replay(self, offset: int, *, now: datetime) -> DeadLetter | None:
        """Send a letter's record to its topic again, as issued *now*; return it, None if gone.

        Its id stays, so what was decided under it before is not decided again. A letter with a
        *fault* is not sent. Raises BrokerAway.
        """
        record = await self._record(offset)
        if record is None:
            return None
        letter = letter_of(record)
        if letter.fault is None:
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._send(letter, record, now)
            except (TimeoutError, OSError, KafkaError) as error:
                raise BrokerAway(f"whether it was sent is unknown: {error!r}") from error
        return letter

    async def _send(self, letter: DeadLetter, record: ConsumerRecord, now: datetime) -> None:
        sender = producer(bootstrap=self._bootstrap, client_id="dead-letters")
        await sender.start()
        try:
            await sender.send_and_wait(
                letter.topic,
                value=record.value,
                partition=letter.partition,
                headers=replay_headers(record.headers, now=now),
            )
        finally:
            await sender.stop()

    async def _record(self, offset: int) -> ConsumerRecord | None:
        async with self._reading() as reader:
            begin, end = await _bounds(reader)
            if not begin <= offset < end:
                return None
            return next(iter(await _records(reader, offset, offset + 1)), None)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AIOKafkaConsumer]:
        reader = consumer(bootstrap=self._bootstrap, client_id="dead-letters")
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                await reader.start()
                reader.assign([_WHERE])
                yield reader
        except (TimeoutError, OSError, KafkaError) as error:
            raise BrokerAway(str(error) or type(error).__name__) from error
        finally:
            await reader.stop()


def letter_of(record: ConsumerRecord) -> DeadLetter:
    """Return what is shown of a record, whatever its bytes."""
    found = {name: value.decode(errors="replace") for name, value in record.headers if value}
    topic = found.get("x-dlq-topic", "")
    partition = found.get("x-dlq-partition", "")
    number = int(partition) if partition.isascii() and partition.isdecimal() else None
    known = BY_NAME.get(topic)
    fault = None
    if known is None or known.poison != "park":
        fault = "it comes from no topic of commands"
    elif number is None or number >= known.partitions:
        fault = "its partition was not noted"
    elif "ce_id" not in found:
        fault = "it has no id, so a repeat could take effect twice"
    return DeadLetter(
        offset=record.offset,
        at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        topic=topic,
        partition=number,
        reason=found.get("x-dlq-reason", "")[:REASON_LENGTH_MAX],
        record_id=found.get("ce_id", ""),
        type=found.get("ce_type", ""),
        partner_id=found.get("ce_partnerid", ""),
        request_id=found.get("ce_requestid", ""),
        size_bytes=len(record.value or b""),
        fault=fault,
    )


def replay_headers(
    headers: Iterable[tuple[str, bytes]], *, now: datetime
) -> list[tuple[str, bytes]]:
    """Return a letter's headers as its command had them, but issued *now*.

    Deciders drop what was issued long ago: its asker was told that nothing is known.
    """
    kept = [(name, value) for name, value in headers if name not in _NOT_AGAIN]
    return [*kept, ("ce_time", now.isoformat().encode())]


async def _bounds(reader: AIOKafkaConsumer) -> tuple[int, int]:
    begin = (await reader.beginning_offsets([_WHERE]))[_WHERE]
    return begin, (await reader.end_offsets([_WHERE]))[_WHERE]


async def _records(reader: AIOKafkaConsumer, start: int, end: int) -> list[ConsumerRecord]:
    reader.seek(_WHERE, start)
    found: list[ConsumerRecord] = []
    while start < end:
        for record in (await reader.getmany(_WHERE, timeout_ms=500)).get(_WHERE, []):
            start = record.offset + 1
            if record.offset < end:
                found.append(record)
    return found
