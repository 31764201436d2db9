"""The documentation beside the API: public, counted against no limit, from this server alone."""

from __future__ import annotations

from collections.abc import Iterable

from libs.runtime.problem import CATALOGUE, slug, word_of
from services.gateway.domain.refusal import Refusal
from services.gateway.http import operations
from services.gateway.http.docs_assets import Sent, asset
from services.gateway.http.docs_getting_started import base_url, getting_started
from services.gateway.http.docs_page import ASSETS, HTML, SAFETY, page
from services.gateway.http.docs_problems import index_page, problem_json, problem_page
from services.gateway.http.endpoint import Endpoint
from services.gateway.http.exchange import JSON, Answer, Exchange
from services.gateway.http.openapi_document import document_bytes, openapi_document

REFERENCE = "/docs"
NO_PAGE = Refusal(word="NOT_FOUND", detail="There is no page at this address; see /docs.")

_NO_SCRIPT = (
    '<div id="swagger-ui"><noscript><p>The reference needs JavaScript. The same content is in'
    ' <a href="/openapi.json">openapi.json</a>.</p></noscript></div>'
)


async def reference(exchange: Exchange) -> Answer:
    """GET /docs: Swagger UI on our document."""
    return page(
        title="Reference",
        at=REFERENCE,
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
    asked = exchange.id_in_path
    code = next((each for each in CATALOGUE if each == asked), None)
    if code is not None:
        return _moved(f"/problems/{slug(code)}")
    word = word_of(asked)
    if word is None:
        return NO_PAGE
    return problem_page(word) if _wants_page(exchange) else problem_json(word)


async def front(exchange: Exchange) -> Answer | Refusal:
    """GET /: for browsers the way to the reference, for programs nothing."""
    if not _wants_page(exchange):
        return NO_PAGE
    return Answer(302, b"", {**_moved(REFERENCE).headers, "Vary": "Accept"})


async def without_slash(exchange: Exchange) -> Answer:
    """GET of a page's address with a slash too many."""
    return _moved(exchange.request.path.rstrip("/"))


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
        Endpoint(method="GET", path=REFERENCE, public=reference),
        Endpoint(method="GET", path="/docs/getting-started", public=first_steps),
        Endpoint(method="GET", path=f"{ASSETS}/{{name}}", public=file),
        Endpoint(method="GET", path="/", public=front),
        *(
            Endpoint(method="GET", path=f"{path}/", public=without_slash)
            for path in (REFERENCE, "/docs/getting-started", "/problems")
        ),
    )


def _wants_page(exchange: Exchange) -> bool:
    return HTML in exchange.request.headers.get("Accept", "")


def _moved(path: str) -> Answer:
    return Answer(301, b"", {**SAFETY, "Location": path, "Cache-Control": "no-cache"})
