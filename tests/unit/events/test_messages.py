"""The table of messages and the catalogue of topics are complete and named by their rules."""

from __future__ import annotations

import dataclasses
import re
from types import ModuleType

import pytest

from libs.events import topics
from libs.events.contracts import fulfillment, gateway, inventory, reservation
from libs.events.messages import ANSWERS, COMMANDS, EVENTS, MESSAGES, SIGNALS
from libs.events.registry import Message
from tests.support import examples

PARTS_ONLY = {"Sealed", "PoolFigures", "IssuedTicket"}
"""Classes that travel inside messages and never alone."""


@pytest.mark.parametrize("module", [fulfillment, gateway, inventory, reservation])
def test_every_class_of_the_contracts_is_registered(module: ModuleType) -> None:
    """What can be written can be read."""
    defined = {
        name
        for name, value in vars(module).items()
        if dataclasses.is_dataclass(value) and getattr(value, "__module__", "") == module.__name__
    }
    registered = {message.shape.__name__ for message in MESSAGES}
    assert set() == defined - registered - PARTS_ONLY


@pytest.mark.parametrize("message", list(MESSAGES), ids=lambda message: message.name)
def test_a_name_says_what_its_class_is(message: Message) -> None:
    """`ota.<aggregate>.<class>` in snake case; answers are those of nobody in particular."""
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", message.shape.__name__).lower()
    home = message.shape.__module__.rsplit(".", 1)[1]
    aggregate = "answer" if message in ANSWERS else home
    assert f"ota.{aggregate}.{words}" == message.name


def test_messages_are_frozen_values() -> None:
    """Slots, keywords, equality, no surprises; that they are frozen is for the type checker."""
    for message in MESSAGES:
        assert message.shape.__dataclass_params__.unsafe_hash, message.name  # type: ignore[attr-defined]
        assert "__slots__" in vars(message.shape), message.name
        assert all(field.kw_only for field in dataclasses.fields(message.shape)), message.name


def test_there_is_one_example_of_every_message() -> None:
    """Under the kind that it is registered as."""
    for group, entries in (
        (examples.COMMANDS, COMMANDS),
        (examples.EVENTS, EVENTS),
        (examples.SIGNALS, SIGNALS),
        (examples.ANSWERS, ANSWERS),
    ):
        assert [entry.shape for entry in entries] == [type(data) for data in group]


def test_events_and_commands_of_a_pool_say_which() -> None:
    """Everything about a hold is keyed by its pool, through every topic."""
    keyless = {"CataloguePublished"}
    for entry in EVENTS:
        names = {field.name for field in dataclasses.fields(entry.shape)}
        assert ("pool_no" in names) != (entry.shape.__name__ in keyless), entry.name


# Topics


def test_topics_are_named_by_their_rule() -> None:
    """`ota.<aggregate>.<kind>.v<major>`, each once, each found by its name."""
    for topic in topics.ALL:
        assert re.fullmatch(r"ota\.[a-z]+\.[a-z-]+\.v[1-9]", topic.name)
        assert topic is topics.BY_NAME[topic.name]
    assert len(topics.ALL) == len(topics.BY_NAME)
    declared = {value for value in vars(topics).values() if isinstance(value, topics.Topic)}
    assert declared == set(topics.ALL)


def test_partition_numbers_mean_the_same_pools_in_all_topics() -> None:
    """Only replies, dead letters and anchors are counted otherwise."""
    otherwise = {topics.GATEWAY_REPLIES, topics.DEAD_LETTERS, topics.ANCHORS}
    assert {topics.PARTITIONS} == {
        topic.partitions for topic in topics.ALL if topic not in otherwise
    }


def test_events_of_another_service_are_never_skipped() -> None:
    """Commands are parked, events halt, and only what may be lost is dropped."""
    poison = {topic.name.split(".")[2]: topic.poison for topic in topics.ALL}
    assert {
        "commands": "park",
        "events": "halt",
        "availability": "drop",
        "replies": "drop",
        "dead-letters": "drop",
        "anchors": "drop",
    } == poison


def test_every_command_has_the_topic_that_its_name_says() -> None:
    """Parked commands name it; the clock's own command travels nowhere."""
    for command in COMMANDS:
        assert f"{command.name.rsplit('.', 1)[0]}.commands.v1" in topics.BY_NAME
