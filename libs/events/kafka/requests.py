"""Request and reply over Kafka for a gateway: paced commands out, answers in.

One reply partition for each gateway instance, assigned by hand (ADR 7).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import RecordMetadata

from libs.events import codec
from libs.events.contracts.inventory import AvailabilityReported
from libs.events.envelope import Envelope
from libs.events.kafka.feed import consumer
from libs.events.kafka.lane import Lane
from libs.events.kafka.pace import Pace
from libs.events.kafka.publisher import producer, reaches_broker, send_in_batches
from libs.events.ports import Outgoing
from libs.events.registry import Unreadable
from libs.events.requests import (
    NotExecuted,
    OutcomeUnknown,
    Overloaded,
    Reply,
    Request,
    read_reply,
)
from libs.events.topics import (
    GATEWAY_REPLIES,
    INVENTORY_AVAILABILITY,
    INVENTORY_COMMANDS,
    RESERVATION_COMMANDS,
    Topic,
)

log = structlog.get_logger()

ROUND_S = {INVENTORY_COMMANDS: 0.005, RESERVATION_COMMANDS: 0.01}
"""So long a topic's next round waits for the last one, which takes longer over two services."""
TIMER_S = 0.01
FIGURES_PAUSE_S = 0.03
"""Figures are taken in gulps; what one gateway has sold, another shows within 100 ms."""
TOLD_EVERY_S = 5.0
IN_ALL = 0.4
"""An answer after so many seconds in all counts like one that waited this part of them."""
UNACKNOWLEDGED_S_MAX = 0.5
"""While the broker has not acknowledged a command for this long, new ones are refused."""


class RequestWatch(Protocol):
    """What the client tells its operators; see `libs.runtime.metrics`."""

    def unmatched(self) -> None:
        """Count an answer that nobody waits for."""
        ...

    def round_sent(self, commands: int) -> None:
        """Observe how many commands left together."""
        ...


@dataclass(slots=True, eq=False)
class _Pending:
    """A command on its way; *askers* has who waits for it, and until when (the loop's clock).

    *round* has by partition when the broker appended what left together with it.
    """

    request: Request
    lane: Lane
    entered_at: float
    ahead: int
    askers: dict[asyncio.Future[Reply | None], float] = field(default_factory=dict)
    in_lane: bool = True
    handed_over: bool = False
    sent_at: float = 0.0
    acknowledged: bool = False
    round: Mapping[tuple[str, int], int] = field(default_factory=dict)
    key: tuple[str, str] = field(default=("", ""))


class KafkaCommandClient:
    """See `libs.events.requests.CommandClient`.

    *on_availability* gets what the availability topic says. Call `start`, then keep
    `run_replies` and `run_rounds` running.
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        instance: int,
        watch: RequestWatch,
        on_availability: Callable[[AvailabilityReported], None],
    ) -> None:
        if not 0 <= instance < GATEWAY_REPLIES.partitions:
            raise ValueError(f"gateway instance {instance}: 0..{GATEWAY_REPLIES.partitions - 1}")
        self._instance = instance
        self._watch = watch
        self._on_availability = on_availability
        self._producer: AIOKafkaProducer = producer(
            bootstrap=bootstrap, client_id=f"gateway-{instance}"
        )
        self._replies = consumer(bootstrap=bootstrap, client_id=f"gateway-{instance}-replies")
        self._figures = consumer(bootstrap=bootstrap, client_id=f"gateway-{instance}-figures")
        self._pending: dict[tuple[str, str], _Pending] = {}
        self._lanes: defaultdict[tuple[str, int], Lane] = defaultdict(Lane)
        self._refused: Counter[tuple[str, int]] = Counter()
        self._told_at = -TOLD_EVERY_S
        self._paces: dict[str, Pace[_Pending]] = {
            topic.name: Pace(round_s=round_s) for topic, round_s in ROUND_S.items()
        }
        self._unacknowledged: deque[_Pending] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.ready = False

    async def start(self) -> None:
        """Connect, and take the reply position: older answers are of no interest."""
        await self._producer.start()
        await self._from_now(self._replies, GATEWAY_REPLIES, [self._instance])
        partitions = list(range(INVENTORY_AVAILABILITY.partitions))
        await self._from_now(self._figures, INVENTORY_AVAILABILITY, partitions)
        self.ready = True

    async def _from_now(
        self, consumer: AIOKafkaConsumer, topic: Topic, partitions: Sequence[int]
    ) -> None:
        await consumer.start()
        assigned = [TopicPartition(topic.name, partition) for partition in partitions]
        consumer.assign(assigned)
        for where, end in (await consumer.end_offsets(assigned)).items():
            consumer.seek(where, end)

    async def stop(self) -> None:
        """Disconnect; call when no request is waiting any more."""
        self.ready = False
        try:
            async with asyncio.timeout(2):
                await self._producer.stop()
        except TimeoutError:
            log.warning("requests.stop", reason="the broker is away")
        await self._replies.stop()
        await self._figures.stop()

    @property
    def pending(self) -> int:
        """How many commands wait for their answer."""
        return len(self._pending)

    async def reaches_broker(self) -> bool:
        """Ask a broker for the topics, and say whether one has answered."""
        return await reaches_broker(self._producer)

    async def submit(self, request: Request, *, timeout_s: float) -> Reply:
        """See `libs.events.requests.CommandClient.submit`."""
        key = (request.command_id, request.fingerprint)
        loop = asyncio.get_running_loop()
        now = loop.time()
        pending = self._pending.get(key)
        if pending is None:
            pending = self._enqueue(key, request, now)
        asker: asyncio.Future[Reply | None] = loop.create_future()
        pending.askers[asker] = deadline = now + timeout_s
        self._call_time(deadline)
        try:
            reply = await asker
        finally:
            del pending.askers[asker]
            if not pending.askers:
                self._forget(pending)
        if reply is not None:
            return reply
        if pending.handed_over:
            raise OutcomeUnknown(request.command_id)
        raise NotExecuted("the command could not be handed over in time")

    def _call_time(self, deadline: float) -> None:
        """See to it that `_end_overdue` runs at *deadline*: one timer serves all requests."""
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._end_overdue)

    def _end_overdue(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        waiting = []
        for pending in self._pending.values():
            for asker, deadline in pending.askers.items():
                if asker.done():
                    continue
                if deadline <= now:
                    asker.set_result(None)
                else:
                    waiting.append(deadline)
        if waiting:  # in a stall many are due shortly after one another: look at them together
            self._call_time(max(min(waiting), now + TIMER_S))

    def check(self, *, topic: str, partition: int) -> None:
        """See `libs.events.requests.CommandClient.check`."""
        self._lane_with_room(topic, partition, asyncio.get_running_loop().time())

    def _enqueue(self, key: tuple[str, str], request: Request, now: float) -> _Pending:
        lane = self._lane_with_room(request.topic, request.partition, now)
        pending = _Pending(request, lane, now, lane.enter(now), key=key)
        self._pending[key] = pending
        self._paces[request.topic].add(pending)
        return pending

    def _lane_with_room(self, topic: str, partition: int, now: float) -> Lane:
        if self._broker_is_silent(now):
            raise NotExecuted("the broker does not acknowledge commands")
        where = (topic, partition)
        lane = self._lanes[where]
        if not lane.has_room(now):
            self._refused[where] += 1
            if now - self._told_at >= TOLD_EVERY_S:
                self._tell_refused(now)
            raise Overloaded(f"{topic} partition {partition}: no answer would come soon")
        return lane

    def _tell_refused(self, now: float) -> None:
        """Log what was refused since the last time: a line for each would be a second overload."""
        self._told_at = now
        for (topic, partition), refused in self._refused.items():
            lane = self._lanes[topic, partition]
            log.warning(
                "requests.shed",
                topic=topic,
                partition=partition,
                refused=refused,
                unanswered=lane.unanswered,
                limit=lane.limit,
            )
        self._refused.clear()

    def _broker_is_silent(self, now: float) -> bool:
        while self._unacknowledged and self._unacknowledged[0].acknowledged:
            self._unacknowledged.popleft()
        return bool(
            self._unacknowledged and now - self._unacknowledged[0].sent_at > UNACKNOWLEDGED_S_MAX
        )

    def _forget(self, pending: _Pending) -> None:
        if self._pending.get(pending.key) is pending:
            del self._pending[pending.key]
        pace = self._paces[pending.request.topic]
        if not pending.handed_over:
            pace.remove(pending)
        if pending.in_lane:
            pending.in_lane = False
            pending.lane.given_up()
        pace.answered(pending)

    async def run_rounds(self) -> None:
        """Send what is queued, in rounds for each topic, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for topic, pace in self._paces.items():
                group.create_task(self._run_rounds(pace), name=f"rounds to {topic}")

    async def _run_rounds(self, pace: Pace[_Pending]) -> None:
        while True:
            batch = await pace.next_round()
            self._watch.round_sent(len(batch))
            await self._send(batch)

    async def _send(self, batch: list[_Pending]) -> None:
        now = time.monotonic()
        appended_ms: dict[tuple[str, int], int] = {}
        for pending in batch:
            pending.handed_over = True
            pending.sent_at = now
            pending.round = appended_ms
        self._unacknowledged.extend(batch)
        try:
            futures = await send_in_batches(
                self._producer, [self._record(pending.request) for pending in batch]
            )
        except KafkaError as error:  # it may or may not be there: the outcome is unknown
            log.warning("requests.send_failed", reason=repr(error))
            for pending in batch:  # nothing is awaited for these any more
                pending.acknowledged = True
            return

        def done(future: asyncio.Future[RecordMetadata]) -> None:
            if not future.cancelled():
                if (error := future.exception()) is not None:
                    log.warning("requests.not_acknowledged", reason=repr(error))
                else:
                    told = future.result()
                    appended_ms[told.topic, told.partition] = told.timestamp
            if all(each.done() for each in futures):
                for pending in batch:
                    pending.acknowledged = True

        for future in futures:
            future.add_done_callback(done)

    def _record(self, request: Request) -> Outgoing:
        envelope = Envelope(
            id=request.command_id,
            source="gateway",
            time=request.issued_at,
            data=request.data,
            correlation_id=request.command_id,
            causation_id=request.command_id,
            actor=request.actor,
            traceparent=request.traceparent,
            fingerprint=request.fingerprint,
            reply_to=self._instance,
        )
        headers, value = codec.encode(envelope)
        return Outgoing(
            topic=request.topic,
            partition=request.partition,
            key=request.command_id.encode(),
            headers=headers,
            value=value,
        )

    async def run_replies(self) -> None:
        """Hand answers to whoever waits, and figures to the view, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run(self._replies, pause_s=0.0), name="replies")
            group.create_task(self._run(self._figures, pause_s=FIGURES_PAUSE_S), name="figures")

    async def _run(self, consumer: AIOKafkaConsumer, *, pause_s: float) -> None:
        while True:
            try:
                batches = await consumer.getmany(timeout_ms=60_000)
            except OffsetOutOfRangeError as error:
                lost = [TopicPartition(*where) for where in error.args[0]]
                log.error("requests.tail_lost", partitions=[str(where) for where in lost])
                await consumer.seek_to_end(*lost)
                continue
            for where, records in batches.items():
                for record in records:
                    self._take(where.topic, record)
            await asyncio.sleep(pause_s)

    def _take(self, topic: str, record: ConsumerRecord) -> None:
        try:
            if topic == INVENTORY_AVAILABILITY.name:
                report = codec.decode(record.headers, record.value).data
                if isinstance(report, AvailabilityReported):
                    self._on_availability(report)
                return
            key, reply = read_reply(record.headers, record.value)
        except Unreadable as error:
            ids = {"topic": topic, "offset": record.offset, **codec.ids_of(record.headers)}
            log.error("requests.unreadable", reason=str(error), **ids)
            self._watch.unmatched()
            return
        pending = self._pending.get(key)
        if pending is not None:
            self._paces[pending.request.topic].answered(pending)
        if pending is not None and pending.in_lane:
            pending.in_lane = False
            now = time.monotonic()
            pending.lane.answered(now, took=_took(pending, record, now), ahead=pending.ahead)
        asking = [each for each in pending.askers if not each.done()] if pending else []
        if not asking or reply is None:
            self._watch.unmatched()
            return
        for asker in asking:
            asker.set_result(reply)


def _took(pending: _Pending, record: ConsumerRecord, now: float) -> float:
    """Return how long a command has waited for its answer, both by the broker's clock.

    What this process itself is late, while it is busy refusing, says nothing of the partition;
    it counts only in part, so that the answer is in time all in all.
    """
    in_all_s = now - pending.entered_at
    appended_ms = pending.round.get((pending.request.topic, pending.request.partition))
    if appended_ms is None:  # the answer was quicker than the acknowledgement
        return in_all_s
    waited_s: float = (record.timestamp - appended_ms) / 1000
    return max(waited_s, in_all_s * IN_ALL)
