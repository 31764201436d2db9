"""The directory of keys: how old it may get, and how it is kept fresh."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.gateway.app import directory as module
from services.gateway.app.directory import Directory
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.domain.keyed_hash import api_key_hash
from services.gateway.domain.partner import Caller, DirectoryContent

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
        self.current = 1
        self.away = False
        self.loads = 0
        self.looks = 0

    async def version(self) -> int:
        """See `services.gateway.app.directory.DirectorySource`."""
        self.looks += 1
        if self.away:
            raise StoreUnavailable("away")
        return self.current

    async def content(self) -> DirectoryContent:
        """See `services.gateway.app.directory.DirectorySource`."""
        self.loads += 1
        return DirectoryContent(version=self.current, callers=dict(self.callers))


async def test_a_key_ends_at_its_time() -> None:
    """From *expires_at* on a key is as good as unknown."""
    directory = Directory(source=Table(), pepper=b"p", monotonic=lambda: 0.0)
    await directory.refresh()
    before = NOW - timedelta(microseconds=1)
    assert CALLER == directory.caller(api_key="key", now=before)
    assert directory.caller(api_key="key", now=NOW) is None
    assert directory.caller(api_key="other", now=before) is None


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
