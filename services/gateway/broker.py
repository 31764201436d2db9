"""The gateway's way to the broker, which may be away at any time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from libs.events.contracts.inventory import AvailabilityReported
from libs.events.kafka.requests import KafkaCommandClient
from libs.events.requests import NotExecuted, Reply, Request
from libs.runtime.metrics import Metrics
from libs.runtime.supervise import spawn


class BrokerLink:
    """The command client, connected anew whenever the broker was away at the start or is lost.

    See `libs.events.requests.CommandClient`.
    """

    def __init__(
        self, *, bootstrap: str, instance: int, metrics: Metrics, step: Callable[[str], None]
    ) -> None:
        self._bootstrap = bootstrap
        self._instance = instance
        self._metrics = metrics
        self._step = step
        self._client: KafkaCommandClient | None = None

    def check(self, *, topic: str, partition: int) -> None:
        """See `libs.events.requests.CommandClient.check`."""
        if self._client is None:
            raise NotExecuted("the broker is not connected")
        self._client.check(topic=topic, partition=partition)

    async def submit(self, request: Request, *, timeout_s: float) -> Reply:
        """See `libs.events.requests.CommandClient.submit`."""
        if self._client is None:
            raise NotExecuted("the broker is not connected")
        self._step("gateway.accepted")
        reply = await self._client.submit(request, timeout_s=timeout_s)
        self._step("gateway.answered")
        return reply

    def pending(self) -> int:
        """Return how many commands wait for their answer."""
        return self._client.pending if self._client is not None else 0

    async def reaches_broker(self) -> bool:
        """Ask a broker for the topics, and say whether one has answered."""
        return self._client is not None and await self._client.reaches_broker()

    def unmatched(self) -> None:
        """See `libs.events.kafka.requests.RequestWatch`."""
        self._metrics.replies_unmatched.inc()

    def round_sent(self, commands: int) -> None:
        """See `libs.events.kafka.requests.RequestWatch`."""
        self._metrics.batch_messages.observe(commands)

    def missing(self) -> str | None:
        """Say why no command can be sent now."""
        return None if self._client is not None else "the broker is not connected"

    async def run(self, heard: Callable[[AvailabilityReported], None]) -> None:
        """Connect, and serve until something fails; *heard* gets the availability reports."""
        client = KafkaCommandClient(
            bootstrap=self._bootstrap,
            instance=self._instance,
            watch=self,
            on_availability=heard,
        )
        try:
            await client.start()
            self._client = client
            async with asyncio.TaskGroup() as group:
                spawn(group, "kafka-replies", client.run_replies())
                spawn(group, "kafka-rounds", client.run_rounds())
        finally:
            self._client = None
            await client.stop()
