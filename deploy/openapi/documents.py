"""Which documents are generated, and where their committed copies are."""

from __future__ import annotations

import json
from pathlib import Path

from libs.events import asyncapi
from services.gateway.http.contract import contract_document

DOCS = Path(__file__).parents[2] / "docs"
OPENAPI = DOCS / "openapi.json"
RELEASED = DOCS / "openapi.released.json"
ASYNCAPI = DOCS / "asyncapi.json"


def openapi_text() -> str:
    """Return the OpenAPI document as it is committed: indented, one line at its end."""
    return json.dumps(contract_document(), indent=1, ensure_ascii=False) + "\n"


def generated() -> dict[Path, str]:
    """Return what each copy should hold."""
    return {OPENAPI: openapi_text(), ASYNCAPI: asyncapi.document_text()}
