"""Creates the topics of the catalogue; a topic that exists is left as it is."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from libs.events.kafka.address import connection
from libs.events.topics import ALL, Topic

log = structlog.get_logger()


async def ensure_topics(*, bootstrap: str, topics: Sequence[Topic] = ALL) -> None:
    """Create the topics that do not exist yet.

    Raises aiokafka.errors.KafkaError when the broker refuses one or can't be reached.
    """
    admin = AIOKafkaAdminClient(**connection(bootstrap), request_timeout_ms=5_000)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        missing = [topic for topic in topics if topic.name not in existing]
        if not missing:
            return
        response = await admin.create_topics([_new(topic) for topic in missing])
        for name, code, *_ in response.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise error(f"creating topic {name}")
            log.info("topic.created", topic=name)
    finally:
        await admin.close()


def _new(topic: Topic) -> NewTopic:
    return NewTopic(
        name=topic.name,
        num_partitions=topic.partitions,
        replication_factor=1,
        topic_configs={
            "cleanup.policy": "delete",
            "retention.ms": str(topic.retention_ms),
            "max.message.bytes": str(topic.message_bytes_max),
            "message.timestamp.type": "LogAppendTime",
            **({"flush.messages": "1"} if topic.flushed else {}),
        },
    )
