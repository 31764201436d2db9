"""The ops port's documents, for those who work inside."""

from __future__ import annotations

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from services.gateway.http.internal_documents import document_routes


async def test_the_index_leads_to_both_documents() -> None:
    """Topics and partner API, each where the index says."""
    app = web.Application()
    app.add_routes(document_routes(lambda: b'{"openapi": "3.0.3"}'))
    async with TestClient(TestServer(app)) as client:
        index = await (await client.get("/")).json()
        topics = await (await client.get(index["topics"])).json()
        partner_api = await (await client.get(index["partner_api"])).json()
    assert ("3.0.0", "3.0.3") == (topics["asyncapi"], partner_api["openapi"])
