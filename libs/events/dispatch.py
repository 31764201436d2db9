"""What goes out after a write: answers first, then events and signals in log order."""

from __future__ import annotations

import structlog

from libs.events import codec
from libs.events.behaviour import Behaviour
from libs.events.envelope import Envelope
from libs.events.outbox import Outbox
from libs.events.ports import Head, NotSent, Outgoing, Publisher
from libs.events.stage import PlannedReply, PlannedSignal, Stage
from libs.events.topics import GATEWAY_REPLIES

log = structlog.get_logger()


class Dispatch:
    """Publishes what a committed stage holds."""

    def __init__(
        self, *, behaviour: Behaviour, publisher: Publisher, outbox: Outbox, partition: int
    ) -> None:
        self._behaviour = behaviour
        self._publisher = publisher
        self._outbox = outbox
        self._partition = partition

    async def publish(self, stage: Stage, head: Head) -> None:
        """Send answers, since somebody waits, then the rest; *head* is what is durable now."""
        records = [self._reply(stage, head, planned) for planned in stage.replies]
        for envelope, body in stage.events:
            headers, value = codec.encode(envelope, body=body)
            records.append(self._record(envelope, headers, value))
        for signal in stage.signals:
            records.append(self._signal(head, signal))
        if not records:
            return
        try:
            acknowledged = await self._publisher.send(records)
        except NotSent as error:  # askers learn by trying again, the outbox sends events again
            log.warning("dispatch.not_sent", partition=self._partition, reason=str(error))
            acknowledged = ()
        if stage.rows:
            self._outbox.sent(stage.rows[-1].seq, acknowledged)

    def _record(self, envelope: Envelope, headers: codec.Headers, value: bytes) -> Outgoing:
        return Outgoing(
            topic=self._behaviour.events_out.name,
            partition=self._partition,
            key=str(getattr(envelope.data, "pool_no", "")).encode(),
            headers=headers,
            value=value,
        )

    def _signal(self, head: Head, planned: PlannedSignal) -> Outgoing:
        envelope = planned.message.follow(
            id=f"signal:{planned.message.id}",
            source=self._behaviour.source,
            time=head.decided_at,
            data=planned.signal,
            replayed=planned.replayed,
        )
        return self._record(envelope, *codec.encode(envelope))

    def _reply(self, stage: Stage, head: Head, planned: PlannedReply) -> Outgoing:
        message = planned.message
        assert message.reply_to is not None, "answers are planned for askers only"
        envelope = message.follow(
            id=f"answer:{message.id}",
            source=self._behaviour.source,
            time=head.decided_at,
            data=planned.answer,
            position=head.position,
            replayed=planned.replayed,
        )
        figures = self._behaviour.figures(stage.state, message, head)
        headers, value = codec.encode(
            envelope, figures=figures, evidence=planned.evidence, body=planned.body
        )
        return Outgoing(
            topic=GATEWAY_REPLIES.name,
            partition=message.reply_to,
            key=message.correlation_id.encode(),
            headers=headers,
            value=value,
        )
