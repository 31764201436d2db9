"""The ops port of a service: health checks and metrics, never on the partner port.

``/livez`` says that the event loop turns and nothing else; ``/startupz`` that the service
has started (it stays so); ``/readyz`` that it can do its work now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import cast

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

Check = Callable[[], str | None]
"""Returns None when all is well, else the reason in words. Must be quick: no I/O."""

BODY_BYTES_MAX = 16 * 1024
SHUTDOWN_TIMEOUT_S = 2.0
KEY_ID_LENGTH = 12


class OpsServer:
    """Serves the health checks, the metrics and a service's own ops *routes*.

    Checks may be added at any time, also by parts of the service that start later.
    """

    def __init__(
        self,
        *,
        service: str,
        host: str,
        port: int,
        registry: CollectorRegistry,
        routes: Iterable[web.AbstractRouteDef] = (),
    ) -> None:
        self._service = service
        self._host = host
        self._port = port
        self._registry = registry
        self._routes = tuple(routes)
        self._ready_checks: dict[str, Check] = {}
        self._startup_checks: dict[str, Check] = {}
        self._notes: dict[str, Callable[[], object]] = {}
        self._started = False
        self._draining = False
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; the real one, also when 0 was asked for."""
        if self._runner is None or not self._runner.addresses:
            return self._port
        return cast("int", self._runner.addresses[0][1])

    def add_ready_check(self, name: str, check: Check) -> None:
        """Let ``/readyz`` depend on *check*; a name that is taken is replaced."""
        self._ready_checks[name] = check

    def add_startup_check(self, name: str, check: Check) -> None:
        """Let ``/startupz`` depend on *check*, until all have passed once."""
        self._startup_checks[name] = check

    def add_note(self, name: str, note: Callable[[], object]) -> None:
        """Let ``/readyz`` say more: *note* returns what JSON can hold. Must be quick, too."""
        self._notes[name] = note

    def add_routes(self, routes: Iterable[web.AbstractRouteDef]) -> None:
        """Serve more; only before `start`."""
        self._routes = (*self._routes, *routes)

    def drain(self) -> None:
        """Report not ready from now on: the service is about to stop."""
        self._draining = True

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.on_response_prepare.append(_forbid_caching)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/startupz", self._startupz)
        app.router.add_get("/metrics", make_aiohttp_handler(self._registry))
        app.add_routes(self._routes)
        self._runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=75.0, shutdown_timeout=SHUTDOWN_TIMEOUT_S
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def close(self) -> None:
        """Stop listening; open answers get two seconds to finish."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _livez(self, request: web.Request) -> web.Response:
        return self._report(request, {})

    async def _readyz(self, request: web.Request) -> web.Response:
        reasons = {name: check() for name, check in self._ready_checks.items()}
        if self._draining:
            reasons["draining"] = "the service is stopping"
        return self._report(request, reasons, self._notes)

    async def _startupz(self, request: web.Request) -> web.Response:
        if self._started:
            return self._report(request, dict.fromkeys(self._startup_checks))
        reasons = {name: check() for name, check in self._startup_checks.items()}
        self._started = all(reason is None for reason in reasons.values())
        return self._report(request, reasons)

    def _report(
        self,
        request: web.Request,
        reasons: dict[str, str | None],
        notes: Mapping[str, Callable[[], object]] = MappingProxyType({}),
    ) -> web.Response:
        failed = {name: reason for name, reason in reasons.items() if reason is not None}
        body: dict[str, object] = {
            "status": "unavailable" if failed else "ok",
            "service": self._service,
            **{name: note() for name, note in notes.items()},
        }
        if failed:
            body["failed"] = failed
        if "verbose" in request.query:
            body["checks"] = [
                {"name": name, "status": "ok" if reason is None else "failed", "reason": reason}
                for name, reason in reasons.items()
            ]
        return web.json_response(body, status=503 if failed else 200)


def public_keys(path: str, keys: Iterable[bytes]) -> web.RouteDef:
    """Return the ops route that shows raw public Ed25519 keys with their ids."""
    listed = [
        {"key_id": hashlib.sha256(key).hexdigest()[:KEY_ID_LENGTH], "public_key": key.hex()}
        for key in keys
    ]
    body = {"algorithm": "Ed25519", "keys": listed}

    async def show(_: web.Request) -> web.Response:
        return web.json_response(body)

    return web.get(path, show)


async def _forbid_caching(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.setdefault("Cache-Control", "no-store")
