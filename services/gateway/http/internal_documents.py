"""The documents for those who work inside, on the ops port: topics and partner API."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

from aiohttp import web

from libs.events.asyncapi import document_text
from services.gateway.http.exchange import JSON

_INDEX = json.dumps(
    {
        "topics": "/asyncapi.json",
        "partner_api": "/openapi.json",
        "health": ["/livez", "/readyz?verbose", "/startupz"],
        "metrics": "/metrics",
    }
)


def document_routes(openapi: Callable[[], bytes]) -> list[web.RouteDef]:
    """Return the ops port's routes to both documents, and a page that leads to them."""
    topics_text = cache(document_text)  # made when first asked for, then kept: it never changes

    async def index(_: web.Request) -> web.Response:
        return web.Response(text=_INDEX, content_type=JSON)

    async def partner_api(_: web.Request) -> web.Response:
        return web.Response(body=openapi(), content_type=JSON)

    async def topics(_: web.Request) -> web.Response:
        return web.Response(text=topics_text(), content_type=JSON)

    return [
        web.get("/", index),
        web.get("/openapi.json", partner_api),
        web.get("/asyncapi.json", topics),
    ]
