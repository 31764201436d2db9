"""Who comes in: passwords, one-time codes, sessions, tries; letters are replayed once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.gateway.app.dead_letters import NotReplayed, replay_letter
from services.gateway.console.entrance import Entrance, Refused
from services.gateway.console.sessions import Session, Sessions
from services.gateway.console.tries import ADDRESS_TRIES_MAX, NAME_TRIES_MAX, WINDOW_S, Tries
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.operators import (
    code_hash,
    code_text,
    hash_password,
    nobodys_hash,
    password_fault,
    password_matches,
)
from tests.support.operators import NOW, PASSWORD, PASSWORD_HASH, Letters, Operators


def test_a_password_is_kept_as_a_slow_salted_hash() -> None:
    """Two of the same differ, and neither tells the password."""
    one, other = (hash_password(PASSWORD, salt=bytes([n]) * 16) for n in (1, 2))
    assert one != other
    assert PASSWORD not in one
    assert [True, False] == [password_matches(text, one) for text in (PASSWORD, PASSWORD + "x")]
    for broken in ("", "scrypt$x", "scrypt$16384$8$5$!$!", one.replace("scrypt", "plain")):
        assert not password_matches(PASSWORD, broken)
    nobodys = nobodys_hash(bytes)
    assert len(one) == len(nobodys)
    assert one.split("$")[:4] == nobodys.split("$")[:4], "as slow, so that time tells nothing"
    assert not password_matches(PASSWORD, nobodys)
    assert [None, True] == [password_fault(PASSWORD), bool(password_fault("short"))]
    assert code_hash(code_text(b"x" * 20)) == code_hash(code_text(b"x" * 20).upper() + " ")


def test_a_session_is_signed_ends_and_cannot_be_changed() -> None:
    """Each character of its cookie counts."""
    sessions = Sessions(key=b"k" * 32, length=timedelta(hours=8))
    session = sessions.begin(name="wing", generation=3, now=NOW, random=b"r" * 16)
    cookie = sessions.write(session)
    assert session == sessions.read(cookie, now=NOW + timedelta(hours=7))
    assert None is sessions.read(cookie, now=NOW + timedelta(hours=8))
    assert None is Sessions(key=b"x" * 32, length=timedelta(1)).read(cookie, now=NOW)
    for place in range(len(cookie)):
        changed = cookie[:place] + ("A" if cookie[place] != "A" else "B") + cookie[place + 1 :]
        found = sessions.read(changed, now=NOW)
        # The last character of base 64 has bits that mean nothing.
        assert found is None or found == session
    for junk in ("", ".", "a.b", "a.b.c", "é.é", cookie + ".", cookie.split(".", maxsplit=1)[0]):
        assert None is sessions.read(junk, now=NOW)


def test_a_form_token_belongs_to_one_session() -> None:
    """And is not the session's own signature."""
    sessions = Sessions(key=b"k" * 32, length=timedelta(hours=8))
    mine = Session(name="wing", generation=1, ends_s=1, id="a")
    other = replace(mine, id="b")
    token = sessions.form_token(mine)
    assert sessions.is_form_token(mine, token)
    assert not sessions.is_form_token(other, token)
    assert not sessions.is_form_token(mine, "")
    assert not sessions.is_form_token(mine, "é")
    assert token not in sessions.write(mine)


def test_tries_are_limited_by_name_and_address_never_by_name_alone() -> None:
    """Nobody can keep somebody else out from elsewhere."""
    tries = Tries()
    for second in range(NAME_TRIES_MAX):
        assert 0 == tries.wait_s(name="wing", address="1", now_s=second)
        tries.failed(name="wing", address="1", now_s=second)
    assert WINDOW_S - 5 == tries.wait_s(name="wing", address="1", now_s=5)
    assert 0 == tries.wait_s(name="wing", address="2", now_s=5)
    assert 0 == tries.wait_s(name="other", address="1", now_s=5)
    assert 0 == tries.wait_s(name="wing", address="1", now_s=WINDOW_S + 1)
    for number in range(ADDRESS_TRIES_MAX):
        tries.failed(name=f"n{number}", address="1", now_s=6)
    assert tries.wait_s(name="fresh", address="1", now_s=7) > 0
    tries = Tries()
    tries.failed(name="wing", address="1", now_s=0)
    tries.succeeded(name="wing", address="1")
    assert [("1",)] == list(tries._failed)


@pytest.fixture
def operators() -> Operators:
    """Operators in memory: wing, who may act, with a password."""
    found = Operators()
    found.put("wing", "operator", password_hash=PASSWORD_HASH)
    return found


class Clock:
    """A time that the test moves."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        """Return it."""
        return self.at


def entrance(operators: Operators, clock: Clock | None = None) -> Entrance:
    """Return an entrance."""
    return Entrance(
        operators=operators,  # type: ignore[arg-type]  # the twin of the store
        sessions=Sessions(key=b"k" * 32, length=timedelta(hours=8)),
        now=(clock or Clock()).now,
        monotonic=lambda: 0.0,
        random=bytes,
    )


async def test_a_password_or_a_code_lets_in(operators: Operators) -> None:
    """A code once; both are recorded, with the network of the address."""
    door = entrance(operators)
    cookie = await door.sign_in(name="wing", secret=PASSWORD, address="192.0.2.77")
    assert isinstance(cookie, str)
    visitor = await door.visitor(cookie)
    assert visitor is not None
    assert ("wing", True) == (visitor.operator.name, visitor.may_act)
    code = operators.give_code("wing")
    assert isinstance(await door.sign_in(name="wing", secret=code, address="192.0.2.77"), str)
    assert isinstance(await door.sign_in(name="wing", secret=code, address="192.0.2.77"), Refused)
    assert [("wing", each, "console", "192.0.2.0/24") for each in ("signed_in", "signed_in")] == [
        each for each in operators.notes if each[1] == "signed_in"
    ]


@pytest.mark.parametrize(
    "name, secret",
    [("wing", "wrong"), ("nobody", PASSWORD), ("<b>", PASSWORD), ("wing", "x" * 10_000), ("", "")],
)
async def test_who_does_not_fit_stays_out(operators: Operators, name: str, secret: str) -> None:
    """The record has no name that was made up."""
    refused = await entrance(operators).sign_in(name=name, secret=secret, address="192.0.2.77")
    assert isinstance(refused, Refused)
    (noted,) = operators.notes
    assert noted[0] in ("wing", "nobody", "?")
    assert secret not in noted or not secret


async def test_many_tries_at_once_count_as_many(operators: Operators) -> None:
    """They can't be made all before the first is counted."""
    door = entrance(operators)
    async with asyncio.TaskGroup() as group:
        tried = [
            group.create_task(door.sign_in(name="wing", secret=f"w{n}", address="1.2.3.4"))
            for n in range(20)
        ]
    let_try = [each.result() for each in tried if each.result() == Refused()]
    assert NAME_TRIES_MAX == len(let_try)


async def test_a_removed_operator_is_out_at_once(operators: Operators) -> None:
    """So are sessions of an older password or role."""
    door = entrance(operators)
    cookie = await door.sign_in(name="wing", secret=PASSWORD, address="1.2.3.4")
    assert isinstance(cookie, str)
    operators.change("wing", generation=2)
    assert None is await door.visitor(cookie)
    operators.change("wing", generation=1)
    assert await door.visitor(cookie)
    operators.rows.clear()
    assert None is await door.visitor(cookie)


async def test_without_our_database_one_may_look_for_a_while(operators: Operators) -> None:
    """But not act, and not come in."""
    clock = Clock()
    door = entrance(operators, clock)
    cookie = await door.sign_in(name="wing", secret=PASSWORD, address="1.2.3.4")
    assert isinstance(cookie, str)
    assert await door.visitor(cookie)
    operators.away = True
    clock.at += timedelta(minutes=9)
    visitor = await door.visitor(cookie)
    assert visitor is not None
    assert not visitor.may_act
    clock.at += timedelta(minutes=2)
    with pytest.raises(StoreUnavailable):
        await door.visitor(cookie)
    with pytest.raises(StoreUnavailable):
        await door.sign_in(name="wing", secret=PASSWORD, address="1.2.3.4")


async def replay(
    offset: int, letters: Letters, record: Operators, *, again: bool = False
) -> object:
    """Replay as wing."""
    return await replay_letter(
        offset, letters=letters, record=record, by="wing", again=again, now=NOW
    )


async def test_a_letter_is_recorded_and_then_sent_once() -> None:
    """Unless it is asked for again; what can't be recorded is not done."""
    letters, record = Letters(), Operators()
    letters.add("c1")
    letters.add("c2", fault="it has no id")
    assert "ota.inventory.commands.v1" == getattr(await replay(0, letters, record), "topic", None)
    assert [("wing", "dead_letter_replayed", "0/c1", "")] == record.notes
    assert isinstance(await replay(0, letters, record), NotReplayed)
    assert [0] == letters.sent
    await replay(0, letters, record, again=True)
    assert [0, 0] == letters.sent
    for offset, reason in ((1, "has no id"), (7, "no dead letter 7")):
        refused = await replay(offset, letters, record)
        assert isinstance(refused, NotReplayed)
        assert reason in refused.reason
    letters.add("c3")
    record.away = True
    with pytest.raises(StoreUnavailable):
        await replay(2, letters, record)
    assert [0, 0] == letters.sent
