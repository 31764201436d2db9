"""The documentation's files: read once, sent compressed, never from anywhere else."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from services.gateway.http.docs_page import SAFETY
from services.gateway.http.exchange import Answer, Exchange
from services.gateway.http.headers import tag_matches

STATIC = Path(__file__).parent / "static"

_FILES = {
    "docs.css": "text/css",
    "copy.js": "text/javascript",
    "reference.js": "text/javascript",
    "swagger-ui/swagger-ui.css": "text/css",
    "swagger-ui/swagger-ui-bundle.js": "text/javascript",
}
_BY_NAME = {name.rsplit("/", 1)[-1]: name for name in _FILES}


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes to send, compressed as well, and their entity tag."""

    raw: bytes
    compressed: bytes
    etag: str
    content_type: str

    @classmethod
    def of(cls, raw: bytes, *, content_type: str) -> Sent:
        """Prepare bytes."""
        tag = hashlib.blake2b(raw, digest_size=12).hexdigest()
        return cls(raw, gzip.compress(raw, 6, mtime=0), f'W/"{tag}"', content_type)

    def answer(self, exchange: Exchange) -> Answer:
        """Return the answer to a request for them: whole, compressed, or 304."""
        given = exchange.request.headers
        headers = {
            **SAFETY,
            "ETag": self.etag,
            "Cache-Control": "public, no-cache",
            "Vary": "Accept-Encoding",
        }
        if tag_matches(given.get("If-None-Match"), self.etag):
            return Answer(304, b"", headers)
        if "gzip" in given.get("Accept-Encoding", ""):
            compressed = {**headers, "Content-Encoding": "gzip"}
            return Answer(200, self.compressed, compressed, self.content_type)
        return Answer(200, self.raw, headers, self.content_type)


@lru_cache(maxsize=16)
def asset(name: str) -> Sent | None:
    """Return one of the documentation's files; None for any other name."""
    path = _BY_NAME.get(name)
    if path is None:
        return None
    return Sent.of((STATIC / path).read_bytes(), content_type=f"{_FILES[path]}; charset=utf-8")


@lru_cache(maxsize=16)
def example_text(name: str) -> str:
    """Return the text of an example program."""
    return (STATIC / "examples" / f"{name}.txt").read_text(encoding="utf-8")
