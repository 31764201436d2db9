"""The documentation beside the API: public, counted against no limit, from this server alone."""

from __future__ import annotations

from collections.abc import Iterable

from libs.runtime.problem import word_of
from services.gateway.domain.refusal import Refusal
from services.gateway.http import operations
from services.gateway.http.docs_assets import Sent, asset
from services.gateway.http.docs_getting_started import base_url, getting_started
from services.gateway.http.docs_page import ASSETS, HTML, page
from services.gateway.http.docs_problems import index_page, problem_json, problem_page
from services.gateway.http.endpoint import Endpoint
from services.gateway.http.exchange import JSON, Answer, Exchange
from services.gateway.http.openapi_document import document_bytes, openapi_document

NO_PAGE = Refusal(word="NOT_FOUND", detail="There is no page at this address; see /docs.")

_NO_SCRIPT = (
    '<div id="swagger-ui"><noscript><p>The reference needs JavaScript. The same content is in'
    ' <a href="/openapi.json">openapi.json</a>.</p></noscript></div>'
)


async def reference(exchange: Exchange) -> Answer:
    """GET /docs: Swagger UI on our document."""
    return page(
        title="Reference",
        at="/docs",
        content=_NO_SCRIPT,
        styles=("swagger-ui.css", "docs.css"),
        scripts=("swagger-ui-bundle.js", "reference.js"),
        kind="reference",
    )


async def first_steps(exchange: Exchange) -> Answer:
    """GET /docs/getting-started."""
    request = exchange.request
    answer = getting_started(url=base_url(scheme=request.scheme, host=request.host))
    return Answer(200, answer.body, {**answer.headers, "Vary": "Host"}, answer.content_type)


async def file(exchange: Exchange) -> Answer | Refusal:
    """GET /docs/assets/{name}."""
    found = asset(exchange.id_in_path)
    return NO_PAGE if found is None else found.answer(exchange)


async def problems(exchange: Exchange) -> Answer:
    """GET /problems: all words."""
    return index_page()


async def problem(exchange: Exchange) -> Answer | Refusal:
    """GET /problems/{word}: for browsers a page, for programs JSON."""
    exchange.ignored = exchange.parameters.ignored
    word = word_of(exchange.id_in_path)
    if word is None:
        return NO_PAGE
    wants_page = HTML in exchange.request.headers.get("Accept", "")
    return problem_page(word) if wants_page else problem_json(word)


class Document:
    """The OpenAPI document of the endpoints, built once."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self.content = document_bytes(openapi_document(endpoints))
        self._sent = Sent.of(self.content, content_type=JSON)

    async def serve(self, exchange: Exchange) -> Answer:
        """GET /openapi.json."""
        return self._sent.answer(exchange)


def docs_endpoints() -> tuple[Endpoint, ...]:
    """Return the pages."""
    return (
        Endpoint(
            method="GET",
            path="/problems/{word}",
            operation=operations.PROBLEM_PAGE,
            public=problem,
        ),
        Endpoint(method="GET", path="/problems", public=problems),
        Endpoint(method="GET", path="/docs", public=reference),
        Endpoint(method="GET", path="/docs/getting-started", public=first_steps),
        Endpoint(method="GET", path=f"{ASSETS}/{{name}}", public=file),
    )
