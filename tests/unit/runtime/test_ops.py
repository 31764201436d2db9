"""The ops port: health as Kubernetes asks for it, metrics, and a service's own routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from libs.runtime.metrics import Metrics
from libs.runtime.ops import OpsServer


async def ticket_keys(_: web.Request) -> web.Response:
    """Answer as a service's own route does."""
    return web.json_response({"keys": []})


@pytest.fixture
async def ops() -> AsyncIterator[OpsServer]:
    """A server on a port that the system chose."""
    registry = CollectorRegistry()
    Metrics(registry, service="inventory", version="1")
    server = OpsServer(
        service="inventory",
        host="127.0.0.1",
        port=0,
        registry=registry,
        routes=[web.get("/ticket-keys", ticket_keys)],
    )
    await server.start()
    yield server
    await server.close()


async def get(ops: OpsServer, path: str) -> tuple[int, str, Any]:
    """Return status, Cache-Control and body (JSON where it is)."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{ops.port}{path}") as answer,
    ):
        text = answer.content_type != "application/json"
        body = await answer.text() if text else await answer.json()
        return answer.status, answer.headers["Cache-Control"], body


async def test_the_port_is_the_real_one(ops: OpsServer) -> None:
    """Port 0 becomes the port that the system gave."""
    assert ops.port > 0


async def test_a_service_without_checks_is_well(ops: OpsServer) -> None:
    """All three answers are 200 and never cached."""
    for path in ("/livez", "/readyz", "/startupz"):
        expected = (200, "no-store", {"status": "ok", "service": "inventory"})
        assert expected == await get(ops, path)


async def test_readiness_follows_its_checks(ops: OpsServer) -> None:
    """A failing check makes 503 and is named with its reason; once it passes, 200 again."""
    reasons: dict[str, str | None] = {"postgres": None, "kafka": "no broker"}
    for name in reasons:
        ops.add_ready_check(name, partial(reasons.__getitem__, name))
    status, _, body = await get(ops, "/readyz")
    assert (503, "unavailable", {"kafka": "no broker"}) == (status, body["status"], body["failed"])
    reasons["kafka"] = None
    assert 200 == (await get(ops, "/readyz"))[0]


async def test_the_loop_is_alive_whatever_fails(ops: OpsServer) -> None:
    """Liveness depends on nothing, or an outage of the database would restart all services."""
    ops.add_ready_check("postgres", lambda: "down")
    ops.add_startup_check("migrations", lambda: "pending")
    assert 200 == (await get(ops, "/livez"))[0]


async def test_verbose_lists_all_checks(ops: OpsServer) -> None:
    """With ?verbose one sees what passed as well."""
    ops.add_ready_check("postgres", lambda: None)
    ops.add_ready_check("kafka", lambda: "no broker")
    assert [
        {"name": "postgres", "status": "ok", "reason": None},
        {"name": "kafka", "status": "failed", "reason": "no broker"},
    ] == (await get(ops, "/readyz?verbose"))[2]["checks"]


async def test_a_draining_service_is_not_ready(ops: OpsServer) -> None:
    """Before it stops, a service says so, while it goes on answering."""
    ops.drain()
    assert 503 == (await get(ops, "/readyz"))[0]
    assert 200 == (await get(ops, "/livez"))[0]


async def test_started_is_for_ever(ops: OpsServer) -> None:
    """Startup fails until all checks have passed once, and never again."""
    reason: list[str | None] = ["0001_pre_ledger.sql is missing"]
    ops.add_startup_check("migrations", lambda: reason[0])
    assert (503, "no-store") == (await get(ops, "/startupz"))[:2]
    reason[0] = None
    assert 200 == (await get(ops, "/startupz"))[0]
    reason[0] = "pending"
    assert 200 == (await get(ops, "/startupz"))[0]


async def test_metrics_are_served(ops: OpsServer) -> None:
    """Prometheus reads the registry that was given."""
    status, cache, body = await get(ops, "/metrics")
    assert (200, "no-store") == (status, cache)
    assert "ota_oversell_incidents_total 0.0" in body


async def test_a_service_brings_its_own_routes(ops: OpsServer) -> None:
    """Extra routes are served beside the standard ones; others are 404."""
    assert (200, "no-store", {"keys": []}) == await get(ops, "/ticket-keys")
    assert 404 == (await get(ops, "/unknown"))[0]


async def test_a_taken_port_is_an_error(ops: OpsServer) -> None:
    """The service must not run without its ops port."""
    second = OpsServer(
        service="inventory", host="127.0.0.1", port=ops.port, registry=CollectorRegistry()
    )
    with pytest.raises(OSError, match=str(ops.port)):
        await second.start()
    await second.close()
