"""The partner API: which endpoint a request is for, and what is said where there is none."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Any

from aiohttp import web

from services.gateway.http.docs import Document
from services.gateway.http.edge import Edge
from services.gateway.http.endpoint import Endpoint
from services.gateway.http.reading import BODY_BYTES_MAX

Methods = dict[str, Endpoint]
"""The endpoints at one path, by their methods."""


class PartnerApi:
    """Serves *endpoints* and the document of them.

    A path that is written out goes before one with a variable part, whatever the method: so
    ``GET /reservations/cleanup`` is 405 and not a reservation that nobody knows.
    """

    def __init__(self, *, edge: Edge, endpoints: Iterable[Endpoint]) -> None:
        endpoints = tuple(endpoints)
        self.document = Document(endpoints)
        self._edge = edge
        self._plain: dict[str, Methods] = {}
        self._variable: dict[tuple[str, str], Methods] = {}
        of_document = Endpoint(method="GET", path="/openapi.json", public=self.document.serve)
        for endpoint in (*endpoints, of_document):
            self._add(endpoint)

    def server(self) -> web.Server:
        """Return aiohttp's side of a server of this API; needs a running event loop."""
        return web.Server(lambda request: self.handle(request), request_factory=_request)

    def handle(self, request: web.BaseRequest) -> Awaitable[web.Response]:
        """Answer a request."""
        methods, variable = self.at(request.rel_url.path_safe)
        endpoint = methods.get(request.method)
        if endpoint is None:
            return self._edge.refuse_unmatched(request, allowed=sorted(methods))
        return self._edge.serve(endpoint, request, variable)

    def at(self, path: str) -> tuple[Methods, str | None]:
        """Return what is at a path, nothing if none of ours, and its variable part."""
        methods = self._plain.get(path)
        if methods is not None:
            return methods, None
        for (before, after), methods in self._variable.items():
            if path.startswith(before) and path.endswith(after):
                variable = path[len(before) : len(path) - len(after)]
                if variable and "/" not in variable:
                    return methods, _unquoted(variable)
        return {}, None

    def _add(self, endpoint: Endpoint) -> None:
        before, variable, rest = endpoint.path.partition("{")
        if variable:
            methods = self._variable.setdefault((before, rest.partition("}")[2]), {})
        else:
            methods = self._plain.setdefault(endpoint.path, {})
        methods[endpoint.method] = endpoint
        if endpoint.method == "GET":
            methods["HEAD"] = endpoint


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    return web.BaseRequest(
        message, payload, protocol, writer, task, task.get_loop(), client_max_size=BODY_BYTES_MAX
    )


def _unquoted(variable: str) -> str:
    """Undo what aiohttp leaves quoted in a path, so that it is split at real slashes only."""
    if "%" not in variable:
        return variable
    return variable.replace("%2F", "/").replace("%25", "%")
