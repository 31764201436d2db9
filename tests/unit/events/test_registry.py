"""The registry: names and versions are complete, and old shapes are lifted step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from libs.events.registry import Message, Registry, Unreadable, Upcaster


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """A message whose third version is current."""

    guest: str
    seats: int
    deck: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Another message."""

    guest: str


def named_guest(old: dict[str, Any]) -> dict[str, Any]:
    """Version 1 called the guest a name, and counted no seats."""
    return {"guest": old["name"], "seats": 1}


def with_deck(old: dict[str, Any]) -> dict[str, Any]:
    """Version 2 knew no decks; seats above 100 were on the upper one."""
    return {**old, "deck": "upper" if old["seats"] > 100 else "lower"}


BOOKED = Message(name="demo.booked", version=3, shape=Booked, upcasters=(named_guest, with_deck))
LEFT = Message(name="demo.left", version=1, shape=Left)
REGISTRY = Registry((BOOKED, LEFT))


@pytest.mark.parametrize(
    "version, body, expected",
    [
        (1, b'{"name":"Ada"}', Booked(guest="Ada", seats=1, deck="lower")),
        (2, b'{"guest":"Ada","seats":101}', Booked(guest="Ada", seats=101, deck="upper")),
        (
            3,
            b'{"guest":"Ada","seats":2,"deck":"sun"}',
            Booked(guest="Ada", seats=2, deck="sun"),
        ),
    ],
)
def test_every_version_is_read_as_the_newest_class(
    version: int, body: bytes, expected: Booked
) -> None:
    """Handlers know one shape only; text is as good as bytes."""
    assert expected == REGISTRY.read(name="demo.booked", version=version, body=body)
    assert expected == REGISTRY.read(name="demo.booked", version=version, body=body.decode())


def test_only_the_newest_version_is_written() -> None:
    """What is read from version 1 is written as version 3."""
    booked = REGISTRY.read(name="demo.booked", version=1, body=b'{"name":"Ada"}')
    assert BOOKED is REGISTRY.message_of(booked)
    assert b'{"guest":"Ada","seats":1,"deck":"lower"}' == REGISTRY.write(booked)


@pytest.mark.parametrize("name", ["demo.unheard", "", "demo.booked.v3", "Booked"])
def test_an_unknown_name_is_unreadable(name: str) -> None:
    """Names are written out; nothing is guessed."""
    with pytest.raises(Unreadable, match="unknown message"):
        REGISTRY.read(name=name, version=1, body=b"{}")


@pytest.mark.parametrize("version", [-1, 0, 4, 10**9])
def test_an_unknown_version_is_unreadable(version: int) -> None:
    """Neither a version before the first nor one of a newer release."""
    with pytest.raises(Unreadable, match=rf"demo\.booked version {version}"):
        REGISTRY.read(name="demo.booked", version=version, body=b'{"name":"Ada"}')


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"{", b"null", b"1", b'"text"', b"[]", b"{}", b'{"seats":"many"}', b"\xff"],
)
def test_another_shape_is_unreadable(version: int, body: bytes) -> None:
    """In every version, whether an upcaster stumbles over it or the check of the result."""
    with pytest.raises(Unreadable):
        REGISTRY.read(name="demo.booked", version=version, body=body)


@pytest.mark.parametrize(
    "stumble",
    [
        lambda old: old["missing"],
        lambda old: old["seats"][7],
        lambda old: old["seats"].upper(),
        lambda old: int(old["fare"]),
        lambda old: 1 // (old["seats"] - 1),
        lambda old: old["seats"] + "1",
    ],
)
def test_whatever_an_upcaster_stumbles_over_is_unreadable(stumble: Upcaster) -> None:
    """It sees what nobody has checked."""
    registry = Registry(
        [Message(name="demo.booked", version=2, shape=Booked, upcasters=(stumble,))]
    )
    with pytest.raises(Unreadable, match=r"demo\.booked v1 has the wrong shape"):
        registry.read(name="demo.booked", version=1, body=b'{"seats":1,"fare":Infinity}')


def test_a_reason_never_quotes_what_came() -> None:
    """It may be personal data, and goes to logs and dead letters."""
    with pytest.raises(Unreadable) as raised:
        REGISTRY.read(
            name="demo.booked", version=3, body=b'{"guest":"Ada","seats":"secret","deck":7}'
        )
    assert "seats: int_parsing; deck: string_type" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("upcasters", [(), (named_guest,), (named_guest, with_deck, with_deck)])
def test_a_gap_between_versions_is_refused(upcasters: tuple[Upcaster, ...]) -> None:
    """Each older version needs exactly one step."""
    with pytest.raises(ValueError, match=r"demo\.booked v3 needs an upcaster a version"):
        Registry([Message(name="demo.booked", version=3, shape=Booked, upcasters=upcasters)])


@pytest.mark.parametrize(
    "second",
    [
        Message(name="demo.left", version=1, shape=Booked),
        Message(name="demo.went", version=1, shape=Left),
        LEFT,
    ],
)
def test_a_name_or_class_registered_twice_is_refused(second: Message) -> None:
    """One name means one class, and the other way round."""
    with pytest.raises(ValueError, match="registered twice"):
        Registry([LEFT, second])


def test_an_unregistered_class_is_a_defect() -> None:
    """Nothing is stored that could not be read again."""
    with pytest.raises(KeyError):
        Registry([LEFT]).message_of(Booked(guest="Ada", seats=1, deck="sun"))
