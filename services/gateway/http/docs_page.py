"""The frame of the documentation's pages: plain functions, everything escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from services.gateway.http.exchange import Answer

HTML = "text/html"
HTML_UTF8 = "text/html; charset=utf-8"
ASSETS = "/docs/assets"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, nothing inline."""

SAFETY = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_LINKS = (
    ("/docs/getting-started", "Getting started"),
    ("/docs", "Reference"),
    ("/problems", "Errors"),
    ("/openapi.json", "OpenAPI"),
)


def page(
    *,
    title: str,
    at: str,
    content: str,
    styles: tuple[str, ...] = ("docs.css",),
    scripts: tuple[str, ...] = ("copy.js",),
    kind: str = "text",
) -> Answer:
    """Return a page; *content* is HTML, *at* its own address."""
    links = "".join(
        f'<a href="{target}"{_current(target, at)}>{escape(text)}</a>' for target, text in _LINKS
    )
    sheets = "".join(f'<link rel="stylesheet" href="{ASSETS}/{name}">' for name in styles)
    code = "".join(f'<script src="{ASSETS}/{name}" defer></script>' for name in scripts)
    document = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<link rel="icon" href="data:,"><title>{escape(title)} · OTA partner API</title>'
        f"{sheets}{code}</head><body>"
        f'<header class="top"><a class="name" href="/docs">OTA partner API</a><nav>{links}</nav>'
        f'</header><main class="{escape(kind)}">{content}</main></body></html>'
    )
    return Answer(200, document.encode(), {**SAFETY, "Cache-Control": "no-cache"}, HTML_UTF8)


def example(code: str) -> str:
    """Return a block of code."""
    return f"<pre><code>{escape(code)}</code></pre>"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table whose cells are HTML."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _current(target: str, at: str) -> str:
    return ' aria-current="page"' if target == at else ""
