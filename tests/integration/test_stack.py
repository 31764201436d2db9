"""The tests' own servers and the launcher: what is told of them is true of real processes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local.display import SAMPLE_API_KEY
from deploy.local.ports import free_ports
from deploy.local.postgres import PostgresError
from deploy.local.processes import wait_until
from deploy.local.settings import CHECKOUT, DEFAULTS, MONITORING, SERVICES
from tests.support.stack import ServerError, Stack, running_stack

pytestmark = [pytest.mark.integration, pytest.mark.services]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Give servers of this module's own, because it kills them."""
    with running_stack() as found:
        yield found


async def create_topic(stack: Stack, name: str) -> None:
    """Make a topic of one partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.broker.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def topics(stack: Stack) -> set[str]:
    """Return the names of all topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.broker.bootstrap)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()


async def read_all(stack: Stack, topic: str) -> list[bytes]:
    """Return the values of a topic's records from the beginning to what is its end now."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=stack.broker.bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        found: list[bytes] = []
        async with asyncio.timeout(20):
            while len(found) < end:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += [record.value for record in records]
        return found
    finally:
        await consumer.stop()


def test_postgres_keeps_what_it_has_committed(stack: Stack) -> None:
    """Killed as by a failing machine, it comes back with the committed row."""
    assert stack.postgres.running
    assert "on" == stack.cluster.run_sql(script="SHOW fsync")
    assert "on" == stack.cluster.run_sql(script="SHOW data_checksums")
    stack.cluster.run_sql(script="CREATE TABLE kept (word text); INSERT INTO kept VALUES ('yes');")
    stack.postgres.kill()
    assert not stack.postgres.running
    stack.postgres.restart()
    assert "yes" == stack.cluster.run_sql(script="SELECT word FROM kept")


def test_a_failing_statement_is_told_in_the_servers_words(stack: Stack) -> None:
    """Nothing after it is run."""
    assert stack.postgres.running
    with pytest.raises(PostgresError, match="no_such_table"):
        stack.cluster.run_sql(script="SELECT * FROM no_such_table; CREATE TABLE never ();")
    assert "f" == stack.cluster.run_sql(
        script="SELECT EXISTS (SELECT FROM pg_tables WHERE tablename = 'never')"
    )


async def test_kafka_keeps_what_it_has_acknowledged(stack: Stack) -> None:
    """Killed right after an acknowledgement, it comes back with the record."""
    assert stack.kafka.running
    await create_topic(stack, "kept")
    producer = AIOKafkaProducer(bootstrap_servers=stack.broker.bootstrap, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait("kept", b"yes")
    finally:
        await producer.stop()
    stack.kafka.kill()
    stack.kafka.restart()
    assert [b"yes"] == await read_all(stack, "kept")


async def test_only_the_topics_of_a_prefix_are_wiped(stack: Stack) -> None:
    """Ours are gone at once and can be made again; others stay."""
    assert stack.kafka.running
    for name in ("ota.a.v1", "ota.b.v1", "theirs"):
        await create_topic(stack, name)
    stack.broker.delete_topics(prefix="ota.")
    assert {"theirs"} == await topics(stack) & {"ota.a.v1", "ota.b.v1", "theirs"}
    await create_topic(stack, "ota.a.v1")
    assert "ota.a.v1" in await topics(stack)


async def test_a_topic_that_nobody_made_does_not_appear(stack: Stack) -> None:
    """A misspelt name is an error, not a new topic."""
    assert stack.kafka.running
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.broker.bootstrap)
    await consumer.start()
    try:
        consumer.assign([TopicPartition("misspelt", 0)])
        await consumer.getmany(timeout_ms=200)
    finally:
        await consumer.stop()
    assert "misspelt" not in await topics(stack)


def test_a_paused_server_is_there_and_does_not_answer(stack: Stack) -> None:
    """Frozen, PostgreSQL takes no session; let go, it does."""
    assert stack.postgres.running
    stack.postgres.pause()
    try:
        assert stack.postgres.running
        assert not stack.cluster.probe()
    finally:
        stack.postgres.resume()
    stack.postgres.wait_ready()


async def test_a_service_reaches_its_own_database_only(stack: Stack) -> None:
    """Its role is turned away by the databases of others, and the reader cannot write."""
    with_all = stack.fresh_databases()
    try:
        inventory = with_all.env["OTA_INVENTORY_DSN"].rpartition("/")[2]
        foreign = with_all.env["OTA_GATEWAY_DSN"].rpartition("/")[0] + f"/{inventory}"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(foreign)
        reader = await asyncpg.connect(with_all.env["OTA_INVENTORY_READ_DSN"])
        with pytest.raises(asyncpg.PostgresError):
            await reader.execute("CREATE TABLE public.mine ()")
        await reader.close()
    finally:
        with_all.drop()


async def test_sets_of_databases_are_migrated_and_apart(stack: Stack) -> None:
    """What is written into one set is not in the next, and a dropped set is gone."""
    first = stack.fresh_databases(services=("inventory",))
    second = stack.fresh_databases(services=("inventory",))
    owner = await asyncpg.connect(first.env["OTA_INVENTORY_OWNER_DSN"])
    assert 0 < await owner.fetchval("SELECT count(*) FROM schema_migration")
    await owner.execute("CREATE TABLE mine ()")
    other = await asyncpg.connect(second.env["OTA_INVENTORY_OWNER_DSN"])
    assert await other.fetchval("SELECT to_regclass('mine')") is None
    await other.close()
    # Open sessions do not keep a set from being dropped.
    first.drop()
    with suppress(asyncpg.PostgresError, OSError):
        await owner.close()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(first.env["OTA_INVENTORY_DSN"])
    second.drop()


def test_a_service_is_killed_and_started_again(stack: Stack) -> None:
    """Each start is a new process on the same port, ready when it says so."""
    stack.fresh_data()
    inventory = stack.service("inventory")
    inventory.start()
    inventory.wait_ready()
    first = inventory.pid
    inventory.kill()
    assert -9 == inventory.wait_exit()
    inventory.restart()
    assert first != inventory.pid
    with urllib.request.urlopen(f"{inventory.ops_url}/livez", timeout=5) as answer:
        assert 200 == answer.status
    assert 0 == inventory.stop()
    assert inventory.stop() is None


async def test_a_start_from_another_thread_is_refused(stack: Stack) -> None:
    """The process would end with that thread; the mistake is told instead."""
    with pytest.raises(ServerError, match="main thread"):
        await asyncio.to_thread(stack.kafka.start)


def test_the_launcher_from_up_to_clean(tmp_path: Path) -> None:
    """Up, up again, down, up with data kept, reset, clean: on ports and in a folder of its own."""
    names = [name for name in DEFAULTS if name.endswith("_PORT")]
    ports = dict(zip(names, map(str, free_ports(count=len(names))), strict=True))
    folder = tmp_path / "stack"
    environment = {**os.environ, **ports, "OTA_DATA_DIR": str(folder), "FORMAT": "json"}

    def launcher(command: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", "deploy.local", command],
            env=environment,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert 0 == ended.returncode, ended.stdout + ended.stderr
        return ended.stdout

    def status() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(launcher("status"))
        return found

    def available() -> int:
        return int(call("inventory?product_ids=106")["available_quantities"]["106"])

    def call(path: str, body: dict[str, int] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{ports['OTA_PARTNER_PORT']}/api/ota/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-API-Key": SAMPLE_API_KEY, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    try:
        assert f"http://127.0.0.1:{ports['OTA_PARTNER_PORT']}/api/ota" in launcher("up")
        before = {each["name"]: each for each in status()["processes"]}
        servers = {"postgres", "kafka", *SERVICES, *(name for name, _, _ in MONITORING)}
        assert servers == {name for name, each in before.items() if each["state"] == "ready"}
        assert "already running" in launcher("up")
        seeded = available()
        call("reserve", {"product_id": 106, "quantity": 2})
        assert seeded - 2 == available()

        os.kill(before["gateway"]["pid"], 9)
        assert wait_until(condition=lambda: restarts(status(), "gateway") == 1, timeout_s=30)

        launcher("down")
        assert "stopped" == status()["phase"]
        assert [] == status()["leftover_pids"]
        launcher("up")
        assert seeded - 2 == available()

        before = {each["name"]: each for each in status()["processes"]}
        launcher("reset")
        after = {each["name"]: each for each in status()["processes"]}
        assert before["kafka"]["pid"] == after["kafka"]["pid"]
        assert before["inventory"]["pid"] != after["inventory"]["pid"]
        assert seeded == available()
    finally:
        launcher("clean")
    assert not folder.exists()


def restarts(status: dict[str, Any], name: str) -> int:
    """Return how often a process was restarted, or -1 while it is not ready."""
    (found,) = [each for each in status["processes"] if each["name"] == name]
    return int(found["restarts"]) if found["state"] == "ready" else -1
