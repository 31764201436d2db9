"""The document of the topics: valid, complete, the same as committed.

The schema beside this file is AsyncAPI's own (npm package `@asyncapi/specs` 6.11.1, Apache-2.0,
`schemas/3.0.0-without-$id.json`), unchanged.
"""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator, Draft202012Validator

from libs.events import codec, topics
from libs.events.asyncapi import asyncapi_document
from libs.events.messages import MESSAGES
from tests.support import examples

Json = dict[str, Any]

SCHEMA = Path(__file__).with_name("asyncapi-3.0.0.schema.json")
DOCUMENT = asyncapi_document()


@cache
def validator() -> Draft7Validator:
    """Return AsyncAPI's own judgement."""
    return Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_it_is_a_valid_asyncapi_document() -> None:
    """The official schema has nothing to say; it does about broken copies."""
    assert [] == [error.message for error in validator().iter_errors(DOCUMENT)]
    broken = copy.deepcopy(DOCUMENT)
    channel = broken["channels"][topics.INVENTORY_EVENTS.name]
    channel["bindings"]["kafka"]["partitions"] = -1
    assert not validator().is_valid(broken)
    incomplete = copy.deepcopy(DOCUMENT)
    del incomplete["info"]["title"]
    assert not validator().is_valid(incomplete)


def test_every_topic_is_told_as_it_is_declared() -> None:
    """Name, partitions, retention and key are those of the catalogue."""
    for topic in topics.ALL:
        channel = DOCUMENT["channels"][topic.name]
        kafka = channel["bindings"]["kafka"]
        assert (topic.name, topic.partitions) == (channel["address"], kafka["partitions"])
        assert topic.retention_ms == kafka["topicConfiguration"]["retention.ms"]
        assert (topic.key, topic.poison) == (channel["x-key"], channel["x-poison"])
    assert {topic.name for topic in topics.ALL} == set(DOCUMENT["channels"])


def test_every_message_is_in_one_topic() -> None:
    """None is forgotten, and none travels twice."""
    held = [name for channel in DOCUMENT["channels"].values() for name in channel["messages"]]
    assert len(held) == len(set(held))
    assert {message.name for message in MESSAGES} | {"dead_letter"} == set(held)


def test_every_example_fits_its_payload_and_headers() -> None:
    """What is written to Kafka is what the document tells, field by field."""
    definitions = DOCUMENT["components"]["schemas"]
    trait = DOCUMENT["components"]["messageTraits"]["cloudEvent"]["headers"]
    for example in examples.EXAMPLES:
        envelope = examples.envelope_of(example)
        headers, body = codec.encode(envelope)
        told = DOCUMENT["components"]["messages"][MESSAGES.message_of(example).name]
        payload = {**told["payload"], "components": {"schemas": definitions}}
        faults = Draft202012Validator(payload).iter_errors(json.loads(body))
        assert [] == [f"{told['name']} {fault.json_path}: {fault.message}" for fault in faults]
        sent = {name: value.decode() for name, value in headers}
        for schema in (trait, told["headers"]):
            faults = Draft202012Validator(schema).iter_errors(sent)
            assert [] == [f"{told['name']}: {fault.message}" for fault in faults]
        unknown = set(sent) - set(trait["properties"]) - set(told["headers"]["properties"])
        assert set() == unknown


def test_a_message_that_is_another_does_not_fit() -> None:
    """The schemas are not so wide that anything fits."""
    _, body = codec.encode(examples.envelope_of(examples.HOLD_PLACED))
    told = DOCUMENT["components"]["messages"]["ota.inventory.allotment_set"]
    payload = {**told["payload"], "components": {"schemas": DOCUMENT["components"]["schemas"]}}
    assert not Draft202012Validator(payload).is_valid(json.loads(body))
