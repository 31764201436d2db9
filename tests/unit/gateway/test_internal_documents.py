"""The ops port's documents, for those who work inside."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from services.gateway.http import internal_documents
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


async def test_the_topics_document_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is first asked for: making it keeps the event loop for a while."""
    made: list[str] = []

    def make() -> str:
        made.append("made")
        return "{}"

    monkeypatch.setattr(internal_documents, "document_text", make)
    app = web.Application()
    app.add_routes(document_routes(lambda: b"{}"))
    assert [] == made
    async with TestClient(TestServer(app)) as client:
        for _ in range(3):
            assert {} == await (await client.get("/asyncapi.json")).json()
    assert ["made"] == made
