"""The AsyncAPI 3.0 document of all topics, made of the registry and the topic catalogue."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from libs.events import topics
from libs.events.messages import ANSWERS, COMMANDS, EVENTS, MESSAGES, SIGNALS
from libs.events.registry import Message
from libs.events.topics import Topic

Json = dict[str, Any]

ASYNCAPI: Final = "3.0.0"
BINDING: Final = "0.5.0"
"""Of AsyncAPI's Kafka bindings."""

DESCRIPTION: Final = """\
What the services tell each other, for those who work inside. CloudEvents 1.0 in Kafka's binary \
mode: attributes in headers `ce_*`, the data as JSON in the value. PostgreSQL holds the truth: a \
reader keeps the position of the last event it has taken, drops what is at or below it, and reads \
gaps from the owner's view. A message's name never changes its meaning; a changed shape is a new \
`ce_dataversion`.
"""

_POISON: Final = {
    "park": "goes to the dead letters, and the next one follows",
    "halt": "halts its partition and alarms; it is never skipped",
    "drop": "is dropped and counted",
}


def asyncapi_document() -> Json:
    """Return the document of every topic and every message."""
    schemas, definitions = _payloads()
    by_topic = {topic: _messages_in(topic) for topic in topics.ALL}
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "OTA channel platform: topics",
            "version": "1.0.0",
            "description": DESCRIPTION,
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "The broker of OTA_KAFKA_BOOTSTRAP.",
                "variables": {"bootstrap": {"default": "127.0.0.1:9092"}},
            }
        },
        "channels": {topic.name: _channel(topic, held) for topic, held in by_topic.items()},
        "operations": {
            f"{_action(topic)}.{topic.name}": _operation(topic, held)
            for topic, held in by_topic.items()
        },
        "components": {
            "messages": {message.name: _message(message, schemas) for message in MESSAGES}
            | {_DEAD: _dead_letter()},
            "messageTraits": {"cloudEvent": _cloud_event()},
            "schemas": definitions,
        },
    }


def document_text() -> str:
    """Return the document as it is committed: indented, one line at its end."""
    return json.dumps(asyncapi_document(), indent=1, ensure_ascii=False) + "\n"


def topic_of(message: Message) -> Topic:
    """Return the topic that a message travels in."""
    service = message.name.split(".")[1]
    if message in ANSWERS:
        return topics.GATEWAY_REPLIES
    if message.name == "ota.inventory.availability_reported":
        return topics.INVENTORY_AVAILABILITY
    if message.name == "ota.platform.head_anchored":
        return topics.ANCHORS
    kind = "commands" if message in COMMANDS else "events"
    return topics.BY_NAME[f"ota.{service}.{kind}.v1"]


_DEAD: Final = "dead_letter"


def _messages_in(topic: Topic) -> tuple[str, ...]:
    if topic is topics.DEAD_LETTERS:
        return (_DEAD,)
    listed = (*COMMANDS, *EVENTS, *SIGNALS, *ANSWERS)
    return tuple(message.name for message in listed if topic_of(message) is topic)


def _channel(topic: Topic, messages: Iterable[str]) -> Json:
    return {
        "address": topic.name,
        "description": f"{topic.purpose} Keyed by {topic.key}. A record that can't be read or"
        f" decided {_POISON[topic.poison]}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": ["delete"],
                    "retention.ms": topic.retention_ms,
                    "max.message.bytes": topic.message_bytes_max,
                },
                "bindingVersion": BINDING,
            }
        },
        "x-key": topic.key,
        "x-poison": topic.poison,
    }


def _action(topic: Topic) -> str:
    return "receive" if ".commands." in topic.name else "send"


def _operation(topic: Topic, messages: Iterable[str]) -> Json:
    channel = f"#/channels/{topic.name}"
    return {
        "action": _action(topic),
        "summary": topic.purpose,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in messages],
    }


def _message(message: Message, schemas: dict[str, Json]) -> Json:
    topic = topic_of(message)
    return {
        "name": message.name,
        "title": message.shape.__name__,
        "summary": _first_sentence(message.shape),
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "headers": {
            "type": "object",
            "required": ["ce_type", "ce_dataversion"],
            "properties": {
                "ce_type": {"type": "string", "const": message.name},
                "ce_dataversion": {
                    "type": "string",
                    "enum": [str(version) for version in range(1, message.version + 1)],
                    "description": "Version of the data; readers lift older ones.",
                },
            },
        },
        "payload": schemas[message.name],
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": topic.key},
                "bindingVersion": BINDING,
            }
        },
        "x-version": message.version,
        "x-kind": _kind(message),
    }


def _kind(message: Message) -> str:
    kinds = {"command": COMMANDS, "event": EVENTS, "signal": SIGNALS, "answer": ANSWERS}
    return next(kind for kind, listed in kinds.items() if message in listed)


def _dead_letter() -> Json:
    return {
        "name": _DEAD,
        "title": "DeadLetter",
        "summary": "A record as it came, key, value and headers untouched.",
        "payload": {"description": "Whatever it was."},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": topics.DEAD_LETTERS.key},
                "bindingVersion": BINDING,
            }
        },
    }


def _cloud_event() -> Json:
    def text(description: str, **rules: object) -> Json:
        return {"type": "string", "description": description, **rules}

    required = {
        "ce_specversion": text("CloudEvents.", const="1.0"),
        "ce_id": text("A command's id; an event's position; unique within its source."),
        "ce_source": text("Who wrote it.", pattern="^/ota/"),
        "ce_time": text("Issue time or decision time.", format="date-time"),
        "content-type": text("Of the value.", const="application/json"),
        "ce_correlationid": text("The command that started it all."),
        "ce_causationid": text("The message that led to this one."),
    }
    optional = {
        "ce_partnerid": text("Who acted: the partner."),
        "ce_keyid": text("Who acted: the key's id, never the key."),
        "ce_requestid": text("Who acted: the request."),
        "traceparent": text("W3C Trace Context of the request that started it all."),
        "ce_fingerprint": text("Keyed hash of what the client sent; on commands and answers."),
        "ce_replyto": text("Reply partition of the gateway that waits.", pattern="^[0-9]+$"),
        "ce_position": text(
            "Generation, partition and sequence of a recorded event.",
            pattern="^[0-9]+-[0-9]+-[0-9]+$",
        ),
        "ce_replayed": text("There when an answer had been recorded before.", const="1"),
        "ce_figures": text("A pool's figures beside an answer, as JSON."),
        "ce_evidence": text(
            "Beside an answer: position and hash (base64) of the event that the command led to.",
            pattern="^[0-9]+-[0-9]+-[0-9]+[.][A-Za-z0-9+/]{43}=$",
        ),
    }
    return {
        "headers": {
            "type": "object",
            "required": list(required),
            "properties": {**required, **optional},
        },
        "correlationId": {"location": "$message.header#/ce_correlationid"},
    }


def _payloads() -> tuple[dict[str, Json], dict[str, Json]]:
    """Return each message's schema, and the definitions that they share."""
    adapters: list[tuple[str, Literal["serialization"], TypeAdapter[Any]]] = [
        (message.name, "serialization", TypeAdapter(message.shape)) for message in MESSAGES
    ]
    by_key, shared = TypeAdapter.json_schemas(adapters, ref_template="#/components/schemas/{model}")
    return {str(key[0]): schema for key, schema in by_key.items()}, shared["$defs"]


def _first_sentence(shape: type) -> str:
    return (inspect.getdoc(shape) or "").split("\n\n")[0].replace("\n", " ")
