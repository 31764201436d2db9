"""The master key changes while a gateway sells; without a key that is needed, that is said."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploy.local.settings import CHECKOUT
from tests.support.admin import admin, run_admin
from tests.support.agency import Agency
from tests.support.customers import Customer, a_customer, expected, read, sell, told
from tests.support.deciders import Deciders
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

PARTNERS = str(CHECKOUT / "deploy" / "seed" / "partners.toml")


@dataclass
class KeyFile:
    """The gateway's file of master keys."""

    path: Path
    keys: list[str] = field(default_factory=lambda: [secrets.token_hex(32)])

    def write(self) -> None:
        """Put the keys into the file, at one stroke."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text("# master keys\n" + "\n".join(self.keys) + "\n", encoding="ascii")
        fresh.replace(self.path)


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    """A file with one master key."""
    made = KeyFile(tmp_path_factory.mktemp("keys") / "master_keys")
    made.write()
    return made


@pytest.fixture(scope="module")
def platform(all_deciders: Deciders, key_file: KeyFile) -> Iterator[Deciders]:
    """The four processes, the gateway with its master keys in a file."""
    all_deciders.fresh()
    all_deciders.stack.run_command("gateway", "load-partners", PARTNERS)
    gateway = all_deciders.stack.service("gateway", env={"OTA_MASTER_KEY_FILE": str(key_file.path)})
    all_deciders.processes["gateway"] = gateway
    all_deciders.start("gateway").wait_ready()
    yield all_deciders
    all_deciders.kill("gateway")
    del all_deciders.processes["gateway"]


@asynccontextmanager
async def busy(agency: Agency, known: list[tuple[dict[str, Any], Customer]]) -> AsyncIterator[None]:
    """Sell and read, again and again; every answer has to be right."""
    over = asyncio.Event()

    async def trade() -> None:
        while not over.is_set():
            customer = a_customer()
            known.append((await sell(agency, customer), customer))
            for order, whose in (known[0], known[-1]):
                assert expected(whose) == told(await read(agency, order))
            await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        group.create_task(trade())
        try:
            yield
        finally:
            over.set()


async def test_the_master_key_changes_under_a_running_gateway(
    agency: Agency, deciders: Deciders, key_file: KeyFile
) -> None:
    """What is old and what is new opens before, meanwhile, after, and without the old key."""
    known = [(await sell(agency, customer), customer) for customer in (a_customer(), a_customer())]
    old, new = key_file.keys[0], secrets.token_hex(32)
    env = {**deciders.env, "OTA_MASTER_KEY_FILE": str(key_file.path)}
    async with busy(agency, known):
        await asyncio.sleep(0.3)
        key_file.keys = [new, old]
        key_file.write()
        printed = await asyncio.to_thread(
            admin, env, "data", "rotate-master-key", "--json", owner=True
        )
        report = json.loads(printed)
        await asyncio.sleep(0.3)
    assert len(known) > 3
    assert report["rewrapped"] > 0
    assert [report["current"]] == list(report["in_use"])
    key_file.keys = [new]
    key_file.write()
    await restarted(deciders)
    for order, customer in known:
        assert expected(customer) == told(await read(agency, order))
    printed = await asyncio.to_thread(admin, env, "data", "history", "--json", owner=True)
    assert {"MasterKeyRotated"} == {event["type"] for event in json.loads(printed)}


async def test_a_missing_master_key_is_told_and_nothing_is_lost(
    agency: Agency, deciders: Deciders, key_file: KeyFile
) -> None:
    """Neither the gateway nor the console guesses; with the key back all is as before."""
    order, right = await sell(agency, ann := a_customer()), list(key_file.keys)
    key_file.keys = [secrets.token_hex(32)]
    key_file.write()
    env = {**deciders.env, "OTA_MASTER_KEY_FILE": str(key_file.path)}
    words = ("data", "rotate-master-key")
    ended = await asyncio.to_thread(run_admin, env, *words, owner=True)
    assert (1, True) == (ended.returncode, "is not known" in ended.stderr)
    await restarted(deciders)
    answer = await agency.call("GET", f"/orders/{order['order_id']}")
    assert (503, "NOT_EXECUTED") == answer.word
    key_file.keys = right
    key_file.write()

    async def back() -> bool:
        return (await agency.call("GET", f"/orders/{order['order_id']}")).status == 200

    await eventually(back)
    assert expected(ann) == told(await read(agency, order))
    unknown = {**deciders.env, "OTA_MASTER_KEY_FILE": "", "OTA_MASTER_KEY": secrets.token_hex(32)}
    ended = await asyncio.to_thread(run_admin, unknown, *words, owner=True)
    assert (1, True) == (ended.returncode, "add --yes" in ended.stderr)
    key_file.path.write_text("no key\n", encoding="ascii")
    ended = await asyncio.to_thread(run_admin, env, *words, owner=True)
    assert (2, True) == (ended.returncode, "OTA_MASTER_KEY_FILE: line 1" in ended.stderr)
    key_file.write()


async def restarted(deciders: Deciders) -> None:
    """Stop the gateway and start it again."""
    await asyncio.to_thread(deciders.processes["gateway"].stop)
    await deciders.restart("gateway")
