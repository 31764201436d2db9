"""What a service says of its database, asked of a real one; and the sampled hash chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from libs.runtime.dependencies import Dependencies, Pool, waiting
from libs.runtime.metrics import Metrics
from libs.runtime.postgres import acquire, create_pool
from tests.support.stack import Databases, Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def databases(stack: Stack) -> Databases:
    """A database of this module's own."""
    return stack.fresh_databases(services=["inventory"])


@pytest.fixture
async def pool(databases: Databases) -> AsyncIterator[Pool]:
    """A pool of one connection."""
    made = await create_pool(
        databases.env["OTA_INVENTORY_DSN"],
        application_name="ota-test",
        size_max=1,
        read_only=False,
    )
    yield made
    made.terminate()


async def test_database_and_broker_are_watched(stack: Stack, pool: Pool) -> None:
    """Both answer; then the database is frozen and does not."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, service="inventory", version="1")
    watch = Dependencies(
        metrics=metrics, pools={"inventory": pool}, own="inventory", certificates=()
    )
    answers = [True]

    async def broker() -> bool:
        return answers[0]

    def value(name: str, **labels: str) -> float:
        return registry.get_sample_value(name, labels) or 0.0

    async def up(dependency: str) -> bool:
        return value("ota_dependency_up", dependency=dependency) == 1

    async def down(dependency: str) -> bool:
        found = registry.get_sample_value("ota_dependency_up", {"dependency": dependency})
        return found == 0

    async with asyncio.TaskGroup() as group:
        running = group.create_task(watch.run(broker), name="watch")
        await eventually(lambda: up("kafka"))
        assert await up("postgres")
        name = next(
            sample.labels["datname"]
            for family in registry.collect()
            for sample in family.samples
            if sample.name == "pg_database_size_bytes"
        )
        assert value("pg_database_size_bytes", datname=name) > 1_000_000
        assert value("pg_settings_max_connections", datname=name) > 10
        assert abs(value("ota_clock_offset_seconds")) < 2
        assert 1 == value("db_client_connections_max", pool_name="inventory")
        answers[0] = False
        await asyncio.to_thread(stack.postgres.pause)
        try:
            await eventually(lambda: down("postgres"))
            await eventually(lambda: down("kafka"))
        finally:
            await asyncio.to_thread(stack.postgres.resume)
        await eventually(lambda: up("postgres"))
        running.cancel()


async def test_who_waits_for_a_connection_is_counted(pool: Pool) -> None:
    """The driver keeps its queue to itself; this shows that we read it right."""

    async def one_waits() -> bool:
        return waiting(pool) == 1

    async def borrow() -> None:
        async with acquire(pool, timeout_s=30):
            pass

    async with asyncio.TaskGroup() as group, acquire(pool):
        assert 0 == waiting(pool)
        group.create_task(borrow(), name="second")
        await eventually(one_waits)
    assert 0 == waiting(pool)
