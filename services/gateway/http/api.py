"""The partner API as one aiohttp application."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from aiohttp import web

from services.gateway.http.docs import Document
from services.gateway.http.edge import Edge
from services.gateway.http.endpoint import Endpoint
from services.gateway.http.reading import BODY_BYTES_MAX

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

DOCUMENT: web.AppKey[Document] = web.AppKey("document", Document)
"""Under which an application keeps the document of its endpoints."""


def partner_api(*, edge: Edge, endpoints: Iterable[Endpoint]) -> web.Application:
    """Return the application that serves *endpoints* and the document of them."""

    @web.middleware
    async def unmatched(request: web.Request, handler: Handler) -> web.StreamResponse:
        error = request.match_info.http_exception
        if error is None:
            return await handler(request)
        return await edge.refuse_unmatched(request, error)

    endpoints = tuple(endpoints)
    document = Document(endpoints)
    app = web.Application(middlewares=[unmatched], client_max_size=BODY_BYTES_MAX)
    app[DOCUMENT] = document
    of_document = Endpoint(method="GET", path="/openapi.json", public=document.serve)
    for endpoint in (*endpoints, of_document):
        serve = partial(edge.serve, endpoint)
        path = _apart(endpoint.path, [other.path for other in endpoints])
        app.router.add_route(endpoint.method, path, serve)
        if endpoint.method == "GET":
            app.router.add_route("HEAD", path, serve)
    return app


def _apart(path: str, others: Iterable[str]) -> str:
    """Let a variable part of *path* not match a word that another path has in its place.

    So ``GET /reservations/cleanup`` is 405 and not a reservation that nobody knows.
    """
    before, variable, after = path.partition("{")
    if not variable:
        return path
    tails = {other.removeprefix(before) for other in others if other.startswith(before)}
    words = sorted(tail for tail in tails if tail and "{" not in tail and "/" not in tail)
    if not words:
        return path
    name, end, rest = after.partition("}")
    return f"{before}{{{name}:(?!(?:{'|'.join(map(re.escape, words))})$)[^/]+{end}{rest}"
