"""The directory of keys: how old it may get, and how it is kept fresh."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from services.gateway.app import directory as module
from services.gateway.app.directory import Directory
from services.gateway.domain.api_key import make_api_key
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.keyed_hash import api_key_hash
from services.gateway.domain.partner import Caller, DirectoryContent, Ended

NOW = datetime(2026, 1, 5, tzinfo=UTC)
CALLER = Caller(
    key_id="k",
    partner_id="p",
    name="P",
    channel="ota",
    permissions=frozenset({"orders:read"}),
    calls_per_minute=1,
    expires_at=NOW,
)


class Table:
    """The partners' table; *away* makes it unreachable."""

    def __init__(self) -> None:
        self.callers = {api_key_hash(pepper=b"p", api_key="key"): CALLER}
        self.revoked: dict[bytes, Caller] = {}
        self.current = 1
        self.away = False
        self.loads = 0
        self.looks = 0
        self.uses: list[dict[str, datetime]] = []
        self.noted = asyncio.Event()

    async def version(self) -> int:
        """See `services.gateway.app.directory.DirectorySource`."""
        self.looks += 1
        if self.away:
            raise StoreUnavailable("away")
        return self.current

    async def content(self) -> DirectoryContent:
        """See `services.gateway.app.directory.DirectorySource`."""
        self.loads += 1
        return DirectoryContent(
            version=self.current, callers=dict(self.callers), revoked=dict(self.revoked)
        )

    async def note_uses(self, uses: Mapping[str, datetime]) -> None:
        """See `services.gateway.app.directory.DirectorySource`."""
        if self.away:
            raise StoreUnavailable("away")
        self.uses.append(dict(uses))
        self.noted.set()


async def test_a_key_ends_at_its_time() -> None:
    """From *expires_at* on it lets nobody in; whose it was is known."""
    directory = Directory(source=Table(), pepper=b"p", monotonic=lambda: 0.0)
    await directory.refresh()
    before = NOW - timedelta(microseconds=1)
    assert CALLER == directory.caller(api_key="key", now=before)
    assert Ended(CALLER) == directory.caller(api_key="key", now=NOW)
    assert directory.caller(api_key="other", now=before) is None


async def test_a_revoked_key_lets_nobody_in() -> None:
    """Whose it was is known, it counts as no key, and its use is not noted."""
    table = Table()
    table.callers, table.revoked = {}, table.callers
    directory = Directory(source=table, pepper=b"p", monotonic=lambda: 0.0)
    await directory.refresh()
    assert Ended(CALLER) == directory.caller(api_key="key", now=NOW - timedelta(seconds=1))
    await directory.write_uses()
    assert ({}, []) == (directory.callers, table.uses)


async def test_content_is_loaded_when_its_version_has_changed() -> None:
    """A look is one number; a change brings the whole directory."""
    table = Table()
    directory = Directory(source=table, pepper=b"p", monotonic=lambda: 0.0)
    for _ in range(3):
        await directory.refresh()
    before = NOW - timedelta(seconds=1)
    assert (1, True) == (table.loads, directory.loaded)
    table.callers.clear()
    assert CALLER == directory.caller(api_key="key", now=before)
    table.current = 2
    await directory.refresh()
    assert (2, None) == (table.loads, directory.caller(api_key="key", now=before))


async def test_keys_are_confirmed_for_a_minute() -> None:
    """Counted from when the question was asked, not from when it was answered."""
    at = [0.0]
    directory = Directory(source=Table(), pepper=b"p", monotonic=lambda: at[0])
    assert (False, False) == (directory.confirmed, directory.loaded)
    await directory.refresh()
    at[0] = 60.0
    assert directory.confirmed
    at[0] = 60.1
    assert not directory.confirmed


async def test_the_directory_goes_on_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away for a while changes nothing but the confirmation."""
    monkeypatch.setattr(module, "POLL_S", 0)
    table = Table()
    table.away = True
    directory = Directory(source=table, pepper=b"p", monotonic=lambda: 0.0)
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(directory.run())
        while table.looks < 3:  # noqa: ASYNC110  # the fake tells nobody
            await asyncio.sleep(0)
        assert not directory.loaded
        table.away = False
        while not directory.loaded:  # noqa: ASYNC110  # likewise
            await asyncio.sleep(0)
        looking.cancel()


def test_one_of_several_permissions_is_enough() -> None:
    """No names need none."""
    caller = replace(CALLER, permissions=frozenset({"orders:read"}))
    assert caller.may(())
    assert caller.may(("reserve:activate", "orders:read"))
    assert not caller.may(("reserve:activate",))


class Watched(Mapping[bytes, Caller]):
    """Callers that write down every way in which somebody looks for one."""

    def __init__(self, callers: Mapping[bytes, Caller], steps: list[str]) -> None:
        self._callers = callers
        self._steps = steps

    def __getitem__(self, key_hash: bytes) -> Caller:
        self._steps.append(f"look up {len(key_hash)} bytes")
        return self._callers[key_hash]

    def __iter__(self) -> Iterator[bytes]:
        raise AssertionError("nobody may go through the keys")

    def __len__(self) -> int:
        return len(self._callers)


async def test_a_wrong_key_costs_the_work_of_a_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One hash of the whole key and one look-up of that hash, whatever the key is.

    Nothing compares keys, or parts of them, with those that there are, so no time can tell how
    near a guess is. Only a wrong checksum ends it earlier, which depends on the guess alone.
    """
    right = make_api_key(random=lambda size: b"r" * size).text
    other = make_api_key(random=lambda size: b"o" * size).text
    wrong = {
        "unknown": other,
        "of another form": "ota_test_key_12345",
        "free form, one character off": right.replace("otak", "otbk"),
        "ended": "ended",
        "suspended": "suspended",
    }
    steps: list[str] = []
    table = Table()
    callers = {
        api_key_hash(pepper=b"p", api_key=text): replace(
            CALLER, key_id=text[:8], expires_at=end, suspended=text == "suspended"
        )
        for text, end in ((right, None), ("ended", NOW), ("suspended", None))
    }
    table.callers = callers
    directory = Directory(source=table, pepper=b"p", monotonic=lambda: 0.0)
    await directory.refresh()

    def hash_of(*, pepper: bytes, api_key: str) -> bytes:
        steps.append("hash")
        return api_key_hash(pepper=pepper, api_key=api_key)

    monkeypatch.setattr(module, "api_key_hash", hash_of)
    content = DirectoryContent(version=1, callers=Watched(callers, steps))
    monkeypatch.setattr(directory, "_content", content)

    def work(api_key: str) -> list[str]:
        steps.clear()
        directory.caller(api_key=api_key, now=NOW)
        return list(steps)

    assert ["hash", "look up 32 bytes"] == work(right)
    assert {name: work(right) for name in wrong} == {name: work(key) for name, key in wrong.items()}
    assert [] == work(right[:-1] + ("a" if right[-1] != "a" else "b")) == work(other[:-1])


async def test_uses_are_stored_together_and_kept_until_they_are() -> None:
    """Right keys only, each once with its last time; a database that is away loses none."""
    table = Table()
    directory = Directory(source=table, pepper=b"p", monotonic=lambda: 0.0)
    await directory.refresh()
    await directory.write_uses()
    first, second = NOW - timedelta(seconds=2), NOW - timedelta(seconds=1)
    for key in ("key", "wrong"):
        directory.caller(api_key=key, now=first)
    table.away = True
    with suppress(StoreUnavailable):
        await directory.write_uses()
    table.away = False
    directory.caller(api_key="key", now=second)
    await directory.write_uses()
    await directory.write_uses()
    assert [{"k": second}] == table.uses


async def test_uses_are_stored_by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """For ever, through times without a database."""
    monkeypatch.setattr(module, "NOTE_USES_S", 0)
    table = Table()
    directory = Directory(source=table, pepper=b"p", monotonic=lambda: 0.0)
    await directory.refresh()
    table.away = True
    directory.caller(api_key="key", now=NOW - timedelta(seconds=1))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(directory.run_uses())
        for _ in range(10):
            await asyncio.sleep(0)
        table.away = False
        async with asyncio.timeout(10):
            await table.noted.wait()
        task.cancel()
    assert [{"k": NOW - timedelta(seconds=1)}] == table.uses


async def test_an_empty_directory_says_how_to_begin() -> None:
    """A production start has no partner; the log has the two commands that make the first."""
    table = Table()
    table.callers.clear()
    directory = Directory(source=table, pepper=b"p", monotonic=lambda: 0.0)
    with structlog.testing.capture_logs() as lines:
        await directory.refresh()
    (line,) = (line for line in lines if line["event"] == "gateway.directory.empty")
    assert "ota-admin partner create" in line["hint"]
    assert "ota-admin key issue" in line["hint"]
