"""The OpenAPI 3.0.3 document, made of the declarations that requests are checked by."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from libs.runtime.problem import CATALOGUE, CONTENT_TYPE, Word, slug
from services.gateway.http import operations
from services.gateway.http.docs_page import HTML
from services.gateway.http.endpoint import Endpoint, Operation, Success
from services.gateway.http.openapi_answers import RESERVATION_ID_PATTERN, SHAPES
from services.gateway.http.openapi_headers import (
    ANSWER_HEADERS,
    OF_ALL_ANSWERS,
    OF_CALLERS,
    REQUEST_HEADERS,
    REQUIRED,
)
from services.gateway.http.openapi_problems import example_of
from services.gateway.http.openapi_public_answers import ORDER_ID_PATTERN
from services.gateway.http.openapi_schema import Schema, component, of_model, text, whole
from services.gateway.http.openapi_words import by_status, words_of

OPENAPI = "3.0.3"
API_VERSION = "1.0.0"
"""Of the contract: the first number is raised by a breaking change, the second by an addition."""

INTRODUCTION = """\
Sell cruise and ferry packages from your own shop: ask what is left, **reserve** up to 100 units, \
**activate** the reservation with a customer and a payment reference, get an **order** with signed \
QR **tickets**. Nothing is ever sold twice.

New here? [Getting started](/docs/getting-started) has the whole job in curl, Python and \
JavaScript. [Every error](/problems) has a page that says what to do.

- **Keys**: `X-API-Key`, or `Authorization: Bearer`. Never in an address.
- **Repeats are safe**: give every `POST` and `DELETE` an `Idempotency-Key`. After a lost \
connection, a 503 or a 504 send the same request with the same key again.
- **Errors** are problem documents (RFC 9457); decide by `code`, and by the status if you do not \
know the code: new ones may come. Other words of answers are all that there are.
- **Unknown** fields and query parameters are passed over and named in `OTA-Ignored`.
- **Times** are ISO 8601 in UTC, dates those of Hong Kong, amounts numbers in `currency`.
- **Limits**: never more than yours in any 60 seconds; the header `RateLimit` says what is left.
- `GET` answers `HEAD` as well.
"""

_PATH_PARAMETER = re.compile(r"{(\w+)}")
_PATH_PARAMETERS: dict[str, tuple[str, Schema]] = {
    "reservation_id": (
        "The reservation. Another form is 404, like an unknown one.",
        text(example="res_0005Q6R6ZE0CWQQK51WEDNM5FV", pattern=RESERVATION_ID_PATTERN),
    ),
    "order_id": (
        "The order. Another form is 404, like an unknown one.",
        text(example="ORD-6531189553717", pattern=ORDER_ID_PATTERN),
    ),
    "product_id": (
        "The product.",
        whole(example=106, minimum=1, maximum=10**18 - 1),
    ),
    "word": (
        "The word, as in a problem's `type`.",
        {"type": "string", "enum": [slug(word) for word in CATALOGUE], "example": "sold-out"},
    ),
    "receipt": ("The `OTA-Receipt` of an answer.", text(pattern="^[A-Za-z0-9_-]{86}$")),
}

_OF_STATUS = {
    401: ("WWW-Authenticate",),
    409: ("Retry-After",),
    429: ("Retry-After",),
    503: ("Retry-After",),
    504: ("Retry-After",),
}
_OF_WRITES = ("Idempotency-Key", "Idempotent-Replayed", "OTA-Position", "OTA-Ignored")
_BEFORE_READING = frozenset({401, 403, 429})
"""Statuses of requests that were refused before anything of them was looked at."""


def openapi_document(endpoints: Iterable[Endpoint]) -> dict[str, object]:
    """Return the document of all endpoints that are part of the contract."""
    paths: dict[str, Schema] = {}
    for endpoint in endpoints:
        if endpoint.operation is not None:
            at = paths.setdefault(endpoint.path, {})
            at[endpoint.method.lower()] = _operation(endpoint, endpoint.operation)
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "OTA channel platform: partner API",
            "version": API_VERSION,
            "description": INTRODUCTION,
        },
        "servers": [{"url": "/", "description": "The server that this document comes from"}],
        "tags": [
            {"name": name, "description": meaning} for name, meaning in operations.TAGS.items()
        ],
        "paths": paths,
        "components": {
            "schemas": SHAPES,
            "examples": {word: _example(word) for word in CATALOGUE},
            "headers": {name: _header(name) for name in ANSWER_HEADERS},
            "parameters": {name: _request_header(name) for name in REQUEST_HEADERS},
            "securitySchemes": {
                "ApiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-API-Key",
                    "description": "Your key. In a development system with the seed:"
                    " `ota_test_key_12345`.",
                },
                "Bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The same key as a bearer token.",
                },
            },
        },
    }


def document_bytes(document: dict[str, object]) -> bytes:
    """Return a document as JSON for a server to send."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _operation(endpoint: Endpoint, operation: Operation) -> Schema:
    described: Schema = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description + _needs(endpoint),
        "parameters": _parameters(endpoint, operation),
        "responses": _responses(endpoint, operation),
        "security": [] if endpoint.public is not None else [{"ApiKey": []}, {"Bearer": []}],
    }
    if endpoint.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": of_model(endpoint.body)}},
        }
    return described


def _needs(endpoint: Endpoint) -> str:
    if not endpoint.permissions:
        return ""
    return f"\n\nNeeds the permission {' or '.join(f'`{each}`' for each in endpoint.permissions)}."


def _parameters(endpoint: Endpoint, operation: Operation) -> list[Schema]:
    found: list[Schema] = []
    for name in _PATH_PARAMETER.findall(endpoint.path):
        description, schema = _PATH_PARAMETERS[name]
        found.append(
            {
                "name": name,
                "in": "path",
                "required": True,
                "description": description,
                "schema": schema,
            }
        )
    found += [parameter.described() for parameter in endpoint.query]
    headers = [*operation.request_headers, "X-Request-Id"]
    if endpoint.write is not None:
        headers.insert(0, "Idempotency-Key")
    if endpoint.public is None:
        headers += ["traceparent", "OTA-Position"]
    return [*found, *({"$ref": f"#/components/parameters/{name}"} for name in headers)]


def _responses(endpoint: Endpoint, operation: Operation) -> Schema:
    called = OF_CALLERS if endpoint.public is None else ()
    answers = {
        success.status: _success(success, (*OF_ALL_ANSWERS, *success.headers, *called))
        for success in operation.successes
    }
    for status, words in by_status(words_of(endpoint, operation)).items():
        answers[status] = _refused(endpoint, status, words, called)
    return {str(status): answers[status] for status in sorted(answers)}


def _success(success: Success, headers: Iterable[str]) -> Schema:
    answer: Schema = {"description": success.description, "headers": _headers(headers)}
    if success.shape is not None:
        content: Schema = {"schema": component(success.shape)}
        if success.example is not None:
            content["example"] = success.example
        answer["content"] = {success.content_type: content}
        if success.page:
            answer["content"][HTML] = {"schema": text("The same for people.")}
    if success.links:
        answer["links"] = {
            name: {"operationId": target, "parameters": dict(taken)}
            for name, (target, taken) in success.links.items()
        }
    return answer


def _refused(
    endpoint: Endpoint, status: int, words: tuple[Word, ...], called: tuple[str, ...]
) -> Schema:
    headers = [*OF_ALL_ANSWERS, *_OF_STATUS.get(status, ())]
    if status != 401:
        headers += called
    if status not in _BEFORE_READING:
        headers += _OF_WRITES if endpoint.write is not None else ("OTA-Ignored",)
    meanings = "\n".join(
        f"- [`{word}`](/problems/{slug(word)}): {CATALOGUE[word].meaning}" for word in words
    )
    return {
        "description": meanings,
        "headers": _headers(headers),
        "content": {
            CONTENT_TYPE: {
                "schema": {
                    "allOf": [
                        component("Problem"),
                        {"type": "object", "properties": {"code": {"enum": list(words)}}},
                    ]
                },
                "examples": {word: {"$ref": f"#/components/examples/{word}"} for word in words},
            }
        },
    }


def _example(word: Word) -> Schema:
    return {"summary": CATALOGUE[word].title, "value": example_of(word)}


def _headers(names: Iterable[str]) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in dict.fromkeys(names)}


def _header(name: str) -> Schema:
    description, schema = ANSWER_HEADERS[name]
    required = {"required": True} if name in REQUIRED else {}
    return {"description": description, **required, "schema": schema}


def _request_header(name: str) -> Schema:
    description, schema = REQUEST_HEADERS[name]
    return {"name": name, "in": "header", "description": description, "schema": schema}
