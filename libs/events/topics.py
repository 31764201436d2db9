"""The topic catalogue: every topic, its partitions, key, retention and poison policy.

Names are ``ota.<aggregate>.<kind>.v<major>``; auto-creation is off, the admin of
`libs.events.kafka` creates what is listed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PARTITIONS = 4
"""Partitions of every pool-keyed topic; one number means the same pools in all of them."""

REPLY_PARTITIONS = 8
"""One per gateway instance."""

_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic as it is declared to the broker.

    *poison* says what happens to a record that can't be read or decided: it is
    parked in the dead letters, it halts its partition, or it is dropped and counted.
    *flushed*: the broker acknowledges a record when it is on its disk, since nobody sends it
    again if a power cut takes it; for topics with few records.
    """

    name: str
    partitions: int
    key: str
    retention_ms: int
    poison: Literal["park", "halt", "drop"]
    purpose: str
    message_bytes_max: int = 1_048_576
    flushed: bool = False


INVENTORY_COMMANDS = Topic(
    name="ota.inventory.commands.v1",
    partitions=PARTITIONS,
    key="pool number",
    retention_ms=24 * _HOUR_MS,
    poison="park",
    purpose="What the ledger is asked to do.",
)
INVENTORY_EVENTS = Topic(
    name="ota.inventory.events.v1",
    partitions=PARTITIONS,
    key="pool number",
    retention_ms=7 * 24 * _HOUR_MS,
    poison="halt",
    purpose="What the ledger has recorded.",
)
INVENTORY_AVAILABILITY = Topic(
    name="ota.inventory.availability.v1",
    partitions=PARTITIONS,
    key="partition",
    retention_ms=_HOUR_MS,
    poison="drop",
    purpose="Figures of the pools, again each second and after changes.",
)
RESERVATION_COMMANDS = Topic(
    name="ota.reservation.commands.v1",
    partitions=PARTITIONS,
    key="pool number",
    retention_ms=24 * _HOUR_MS,
    poison="park",
    purpose="What is asked of a hold's life.",
)
RESERVATION_EVENTS = Topic(
    name="ota.reservation.events.v1",
    partitions=PARTITIONS,
    key="pool number",
    retention_ms=7 * 24 * _HOUR_MS,
    poison="halt",
    purpose="How holds began and ended.",
)
FULFILLMENT_EVENTS = Topic(
    name="ota.fulfillment.events.v1",
    partitions=PARTITIONS,
    key="pool number",
    retention_ms=7 * 24 * _HOUR_MS,
    poison="halt",
    purpose="Orders and their tickets.",
)
GATEWAY_REPLIES = Topic(
    name="ota.gateway.replies.v1",
    partitions=REPLY_PARTITIONS,
    key="command id",
    retention_ms=_HOUR_MS // 6,
    poison="drop",
    purpose="Answers, one partition for each gateway instance.",
)
DEAD_LETTERS = Topic(
    name="ota.platform.dead-letters.v1",
    partitions=1,
    key="source topic",
    retention_ms=30 * 24 * _HOUR_MS,
    poison="drop",
    purpose="Records that could not be read or decided, as they came.",
    flushed=True,
)

ANCHORS = Topic(
    name="ota.platform.anchors.v1",
    partitions=1,
    key="service and partition",
    retention_ms=10 * 365 * 24 * _HOUR_MS,
    poison="drop",
    purpose="Heads of the logs as they were, signed.",
    flushed=True,
)

ALL: tuple[Topic, ...] = (
    INVENTORY_COMMANDS,
    INVENTORY_EVENTS,
    INVENTORY_AVAILABILITY,
    RESERVATION_COMMANDS,
    RESERVATION_EVENTS,
    FULFILLMENT_EVENTS,
    GATEWAY_REPLIES,
    DEAD_LETTERS,
    ANCHORS,
)
BY_NAME: dict[str, Topic] = {topic.name: topic for topic in ALL}
