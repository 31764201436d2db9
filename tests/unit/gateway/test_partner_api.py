"""Which endpoint a path is for."""

from __future__ import annotations

from typing import cast

import pytest

from services.gateway.http.api import PartnerApi
from services.gateway.http.edge import Edge
from services.gateway.http.endpoint import Endpoint
from services.gateway.http.exchange import Answer, Exchange


async def nothing(exchange: Exchange) -> Answer:
    return Answer(204)


API = PartnerApi(
    edge=cast("Edge", None),
    endpoints=[
        Endpoint(method="GET", path="/things/{id}", public=nothing),
        Endpoint(method="DELETE", path="/things/{id}", public=nothing),
        Endpoint(method="POST", path="/things/{id}/use", public=nothing),
        Endpoint(method="POST", path="/things/tidy", public=nothing),
        Endpoint(method="GET", path="/things", public=nothing),
    ],
)


@pytest.mark.parametrize(
    ("path", "methods", "variable"),
    [
        ("/things", {"GET", "HEAD"}, None),
        ("/things/1", {"GET", "HEAD", "DELETE"}, "1"),
        ("/things/1/use", {"POST"}, "1"),
        ("/things/tidy", {"POST"}, None),
        ("/things/tidy/use", {"POST"}, "tidy"),
        ("/things/a%2Fb", {"GET", "HEAD", "DELETE"}, "a/b"),
        ("/things/100%25", {"GET", "HEAD", "DELETE"}, "100%"),
        ("/openapi.json", {"GET", "HEAD"}, None),
    ],
)
def test_paths_lead_to_their_methods(path: str, methods: set[str], variable: str | None) -> None:
    """A path that is written out goes before one with a variable part."""
    found, part = API.at(path)
    assert (methods, variable) == (set(found), part)


@pytest.mark.parametrize(
    "path", ["", "*", "/", "/things/", "/things//use", "/things/1/", "/things/1/2", "/thing"]
)
def test_other_paths_lead_nowhere(path: str) -> None:
    """No slash is added, left out or taken for a part of a name."""
    assert ({}, None) == API.at(path)
