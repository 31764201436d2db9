"""The pages' frame: templates with everything escaped, and the console's own files."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.gateway.console.moments import count, countdown, hong_kong, moment, money, span

FOLDER = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, nothing inline."""
SAFETY = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_FILES = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "theme.js": "text/javascript",
    "vendor/htmx.min.js": "text/javascript",
    "vendor/sse.min.js": "text/javascript",
    "vendor/uPlot.iife.min.js": "text/javascript",
    "vendor/uPlot.min.css": "text/css",
}
_BY_NAME = {name.rsplit("/", 1)[-1]: name for name in _FILES}
PAGES = (
    ("overview", "Overview", "/console", "o"),
    ("holds", "Holds", "/console/holds", "h"),
    ("events", "Events", "/console/events", "e"),
    ("partners", "Partners", "/console/partners", "p"),
    ("letters", "Dead letters", "/console/dead-letters", "d"),
    ("services", "Services", "/console/services", "s"),
    ("alerts", "Alerts", "/console/alerts", "a"),
    ("runbook", "Runbook", "/console/runbook", "r"),
)
"""Key, title, address, and the letter that goes there after g."""


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "moment": moment,
        "countdown": countdown,
        "hong_kong": hong_kong,
        "span": span,
        "count": count,
        "money": money,
    }
    made.globals["pages"] = PAGES
    return made


def rendered(template: str, **values: Any) -> str:
    """Return a template filled in; what it does not escape itself is escaped."""
    return _environment().get_template(template).render(**values)


@dataclass(frozen=True, slots=True)
class File:
    """A file to send: compressed, because every browser can read that."""

    compressed: bytes
    etag: str
    content_type: str


@lru_cache(maxsize=16)
def file(name: str) -> File | None:
    """Return one of the console's files, None for any other name."""
    path = _BY_NAME.get(name)
    if path is None:
        return None
    raw = (FOLDER / "static" / path).read_bytes()
    tag = hashlib.blake2b(raw, digest_size=12).hexdigest()
    return File(gzip.compress(raw, 6, mtime=0), f'"{tag}"', f"{_FILES[path]}; charset=utf-8")
