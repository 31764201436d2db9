"""The partner API as one aiohttp application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from aiohttp import web

from services.gateway.http.edge import Edge, Endpoint
from services.gateway.http.endpoints import healthz
from services.gateway.http.reading import BODY_BYTES_MAX

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def partner_api(*, edge: Edge, endpoints: Iterable[Endpoint]) -> web.Application:
    """Return the application that serves *endpoints*, and its health to anybody."""

    @web.middleware
    async def unmatched(request: web.Request, handler: Handler) -> web.StreamResponse:
        error = request.match_info.http_exception
        if error is None:
            return await handler(request)
        return await edge.refuse_unmatched(request, error)

    app = web.Application(middlewares=[unmatched], client_max_size=BODY_BYTES_MAX)
    for endpoint in (Endpoint(method="GET", path="/healthz", public=healthz), *endpoints):
        serve = partial(edge.serve, endpoint)
        app.router.add_route(endpoint.method, endpoint.path, serve)
        if endpoint.method == "GET":
            app.router.add_route("HEAD", endpoint.path, serve)
    return app
