"""Holds every answer that a test gets against the document that describes it."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, cast

from aiohttp import web
from openapi_schema_validator import OAS30Validator

from services.gateway.http.api import PartnerApi

Json = dict[str, Any]

_PLAIN = {
    "Cache-Control",
    "Content-Length",
    "Content-Type",
    "Date",
    "Server",
    "Connection",
    "Allow",
    "Content-Security-Policy",
    "Referrer-Policy",
    "X-Content-Type-Options",
}
"""What HTTP itself has, and the document need not tell."""

_UNMATCHED = {"NOT_FOUND", "METHOD_NOT_ALLOWED", "RATE_LIMIT_EXCEEDED"}


class Described:
    """A document, with its answers closed: a field that it does not tell is a fault."""

    def __init__(self, content: bytes) -> None:
        self._document: Json = json.loads(content)
        components = json.loads(content)["components"]
        for shape in components["schemas"].values():
            _close(shape)
        self._components = components
        self._validators: dict[str, OAS30Validator] = {}

    def faults(self, method: str, path: str | None, answer: web.Response) -> list[str]:
        """Return what of an answer is not as it is told; *path* is None where no route matched."""
        if path is None:
            return self._unmatched(answer)
        operation = self._document["paths"].get(path, {}).get(_described(method))
        if operation is None:
            return []
        told = operation["responses"].get(str(answer.status))
        where = f"{method} {path} {answer.status}"
        if told is None:
            return [f"{where}: the status is not told"]
        return [f"{where}: {fault}" for fault in self._compared(told, answer)]

    def _unmatched(self, answer: web.Response) -> list[str]:
        problem = {"$ref": "#/components/schemas/Problem"}
        found = list(self._shape_faults(problem, answer))
        word = json.loads(answer.body)["code"] if answer.body else None  # type: ignore[arg-type]
        return found if word in _UNMATCHED else [*found, f"{word} where no route matched"]

    def _compared(self, told: Json, answer: web.Response) -> list[str]:
        found = []
        headers = told.get("headers", {})
        known = {name.lower() for name in (*headers, *_PLAIN)}
        found += [
            f"header {name} is not told" for name in answer.headers if name.lower() not in known
        ]
        for name in headers:
            header = self._document["components"]["headers"][name]
            value = answer.headers.get(name)
            if value is None:
                found += [f"header {name} is missing"] if header.get("required") else []
            else:
                found += self._value_faults(name, header["schema"], value)
        content = told.get("content", {})
        if not content or not answer.body:
            return [*found, *(["a body that is not told"] if answer.body else [])]
        media = content.get(answer.content_type)
        if media is None:
            return [*found, f"{answer.content_type} is not told"]
        is_json = answer.content_type.endswith("json")
        return [*found, *(self._shape_faults(media["schema"], answer) if is_json else [])]

    def _value_faults(self, name: str, schema: Json, value: str) -> list[str]:
        sent: object = int(value) if schema["type"] == "integer" and value.isdigit() else value
        errors = self._validator(schema).iter_errors(sent)
        return [f"header {name}: {error.message}" for error in errors]

    def _shape_faults(self, schema: Json, answer: web.Response) -> list[str]:
        errors = self._validator(schema).iter_errors(json.loads(cast("bytes", answer.body)))
        return [f"{error.json_path}: {error.message[:200]}" for error in errors]

    def _validator(self, schema: Json) -> OAS30Validator:
        written = json.dumps(schema, sort_keys=True)
        known = self._validators.get(written)
        if known is None:
            whole = {**schema, "components": self._components}
            known = self._validators[written] = OAS30Validator(whole)
        return known


@lru_cache(maxsize=4)
def described(content: bytes) -> Described:
    """Return a document, read once for all tests."""
    return Described(content)


class Watch:
    """Looks at every answer of an API, whoever asked; *faults* are what it found."""

    def __init__(self, api: PartnerApi) -> None:
        self.faults: list[str] = []
        self._described = described(api.document.content)
        self._at = api.at
        self._handle = api.handle
        api.handle = self._look  # type: ignore[method-assign]  # seen by every server of it

    async def _look(self, request: web.BaseRequest) -> web.Response:
        answer = await self._handle(request)
        endpoint = self._at(request.rel_url.path_safe)[0].get(request.method)
        path = None if endpoint is None else endpoint.path
        self.faults += self._described.faults(request.method, path, answer)
        return answer


def _described(method: str) -> str:
    return "get" if method == "HEAD" else method.lower()


def _close(schema: object) -> None:
    if isinstance(schema, list):
        for each in schema:
            _close(each)
    elif isinstance(schema, dict):
        if "properties" in schema:
            schema["additionalProperties"] = False
        for each in schema.values():
            _close(each)
