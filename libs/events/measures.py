"""What a deciding service measures of its loop and beside it: how far behind it is, who answers it.

Beside the loop all happens at a scrape or every few seconds, but for one observation a gulp.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import asyncpg
import structlog
from prometheus_client import Histogram

from libs.events.envelope import Envelope
from libs.events.kafka.feed import KafkaFeeds
from libs.events.messages import MESSAGES
from libs.events.postgres.chain import sample_chain
from libs.runtime.dependencies import Dependencies, Pool
from libs.runtime.metrics import Metrics
from libs.runtime.tracing import Tracing

CHAIN_PERIOD_S = 20.0

log = structlog.get_logger()


def trace_batch(tracing: Tracing, messages: Sequence[Envelope], took_s: float) -> None:
    """Give each message of a committed batch its span: from its turn to the commit."""
    for message in messages:
        if message.traceparent is not None:
            tracing.step(
                MESSAGES.message_of(message.data).name,
                message.traceparent,
                duration_s=took_s,
                attributes={
                    "messaging.system": "kafka",
                    "messaging.operation.type": "process",
                    "messaging.message.id": message.id,
                    "messaging.message.conversation_id": message.correlation_id,
                    "messaging.batch.message_count": len(messages),
                },
            )


@dataclass(slots=True)
class LoopWatch:
    """Turns what the loop tells into metrics."""

    metrics: Metrics

    def decided(
        self, *, events: Sequence[str], answers: Sequence[str], projected: int, replayed: int
    ) -> None:
        """See `libs.events.writer.Watch`."""
        self.metrics.replayed_answers.inc(replayed)
        self.metrics.batch_messages.observe(max(len(events), len(answers), projected))
        for event, times in Counter(events).items():
            self.metrics.events_appended.labels(event).inc(times)
        for answer, times in Counter(answers).items():
            self.metrics.commands.labels(self.metrics.service, answer).inc(times)

    def wrote(self, duration_s: float) -> None:
        """See `libs.events.writer.Watch`."""
        self.metrics.batch_write_duration_seconds.observe(duration_s)

    def dropped_stale(self) -> None:
        """See `libs.events.writer.Watch`."""
        self.metrics.stale_commands_dropped.inc()

    def parked(self, topic: str) -> None:
        """See `libs.events.writer.Watch`."""
        self.metrics.dead_letters.labels(topic).inc()

    def filled_gap(self, events: int) -> None:
        """See `libs.events.writer.Watch`."""
        self.metrics.event_gap_fills.inc()


class Measures:
    """The measurements of one process of *service*."""

    def __init__(self, *, metrics: Metrics, service: str) -> None:
        self._metrics = metrics
        self._service = service
        self._waits: dict[str, Histogram] = {}
        self._dependencies: Dependencies | None = None

    def waited(self, topic: str, waited_s: float) -> None:
        """Observe how long a gulp's oldest record had been at the broker."""
        wait = self._waits.get(topic)
        if wait is None:
            wait = self._waits[topic] = self._metrics.input_wait_seconds.labels(topic)
        wait.observe(max(0.0, waited_s))

    def watch(self, feeds: KafkaFeeds) -> None:
        """Show at each scrape how far *feeds* are behind."""
        self._metrics.at_scrape(lambda: self._show_lags(feeds))

    def _show_lags(self, feeds: KafkaFeeds) -> None:
        metrics = self._metrics
        # A partition that another instance serves now is that one's to show.
        metrics.consumer_lag_records.clear()
        metrics.consumer_lag_seconds.clear()
        metrics.topic_end_offset.clear()
        for lag in feeds.lags():
            where = (lag.topic, str(lag.partition))
            metrics.consumer_lag_records.labels(self._service, *where).set(lag.records)
            metrics.consumer_lag_seconds.labels(*where).set(lag.age_s)
            metrics.topic_end_offset.labels(*where).set(lag.end)

    async def run(
        self,
        *,
        pools: Mapping[str, Pool],
        certificates: Sequence[str],
        broker: Callable[[], Awaitable[bool]],
        owned: Callable[[], Collection[int]],
    ) -> None:
        """Ask database and broker, and sample the log's hashes, for ever."""
        dependencies = self._dependencies
        if dependencies is None:
            dependencies = Dependencies(
                metrics=self._metrics, pools=pools, own=self._service, certificates=certificates
            )
            self._dependencies = dependencies
        async with asyncio.TaskGroup() as group:
            group.create_task(dependencies.run(broker), name="dependencies")
            group.create_task(self._sample(pools[self._service], owned), name="chain")

    async def _sample(self, pool: Pool, owned: Callable[[], Collection[int]]) -> None:
        while True:
            for partition in sorted(owned()):
                try:
                    sample = await sample_chain(
                        pool, source=self._service, partition=partition, choose=random.randrange
                    )
                except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    break  # `ota_dependency_up` tells of it
                self._metrics.chain_checked_events.inc(sample.events)
                self._metrics.chain_breaks.inc(len(sample.broken))
            await asyncio.sleep(CHAIN_PERIOD_S)
