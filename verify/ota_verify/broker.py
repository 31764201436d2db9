"""Reads all topics of a running system into the files of an export."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from ota_verify.address import client_options
from ota_verify.files import Row, opened

Progress = Callable[[str, int], None]
PREFIX = "ota."
IDLE_MS = 500


async def export_topics(folder: Path, bootstrap: str, *, progress: Progress) -> dict[str, int]:
    """Write each topic's records up to its end as of now; return how many there were."""
    consumer = AIOKafkaConsumer(
        **client_options(bootstrap),
        client_id="ota-verify",
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=10_000,
    )
    await consumer.start()
    try:
        counts = {}
        for topic, numbers in sorted((await _partitions(bootstrap)).items()):
            places = [TopicPartition(topic, number) for number in numbers]
            with opened(folder / f"topics.{topic}.jsonl", "wt") as stream:
                count = await _export_topic(consumer, places, stream.write)
            counts[topic] = count
            progress(topic, count)
        return counts
    finally:
        await consumer.stop()


async def _partitions(bootstrap: str) -> dict[str, list[int]]:
    """Return our topics with the numbers of their partitions."""
    admin = AIOKafkaAdminClient(**client_options(bootstrap), request_timeout_ms=10_000)
    await admin.start()
    try:
        names = [name for name in await admin.list_topics() if name.startswith(PREFIX)]
        described = await admin.describe_topics(names)
    finally:
        await admin.close()
    return {
        topic["topic"]: sorted(each["partition"] for each in topic["partitions"])
        for topic in described
    }


async def _export_topic(
    consumer: AIOKafkaConsumer, places: list[TopicPartition], write: Callable[[str], object]
) -> int:
    consumer.assign(places)
    ends = await consumer.end_offsets(places)
    await consumer.seek_to_beginning(*places)
    count = 0
    for place in places:
        others = [each for each in places if each != place]
        consumer.pause(*others)
        consumer.resume(place)
        while await consumer.position(place) < ends[place]:
            batches = await consumer.getmany(place, timeout_ms=IDLE_MS)
            for record in batches.get(place, ()):
                if record.offset < ends[place]:
                    write(json.dumps(_row(record), ensure_ascii=False) + "\n")
                    count += 1
    return count


def _row(record: Any) -> Row:
    row: Row = {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "key": None if record.key is None else record.key.decode(errors="replace"),
        "headers": [[name, value.decode(errors="replace")] for name, value in record.headers],
    }
    if record.value is None:
        return {**row, "value": None}
    try:
        return {**row, "value": record.value.decode()}
    except UnicodeDecodeError:
        return {**row, "value_base64": base64.b64encode(record.value).decode()}
