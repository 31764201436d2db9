"""The page for a developer's first hour: the whole job against this very server."""

from __future__ import annotations

import re
from html import escape

from services.gateway.http.docs_assets import example_text
from services.gateway.http.docs_page import example, page, table
from services.gateway.http.exchange import Answer

_HOST = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?\Z")
_SECTION = re.compile(r"^#% (.+)\n", re.MULTILINE)

_TEXTS = {
    "Your key": "The operator gave you one; it belongs on your server, never into a web page or an"
    " address. A development system takes the key below.",
    "What is left": "Answered from memory: ask as often as your limit allows. Sent back with its"
    " <code>ETag</code> in <code>If-None-Match</code>, it costs you no body.",
    "Reserve two units": "They are yours for 24 hours, at the prices in"
    " <code>pricing_snapshot</code>. The <code>Idempotency-Key</code> makes it safe to send this"
    " again: the same key never holds twice.",
    "Activate: order and tickets": "Once your customer has paid. Without <code>qr=token</code> each"
    " ticket carries its QR code as a PNG.",
    "Read the order again": "Whenever you like; only you can see your customers.",
}

_WHEN = [
    ("<code>409 SOLD_OUT</code>", "Show <code>available</code>; ask for fewer, with a new key."),
    ("<code>409 RESERVATION_EXPIRED</code>", "Reserve anew."),
    ("<code>422</code>", "Correct the fields in <code>errors</code>."),
    ("<code>429</code>", "Wait for the seconds in <code>Retry-After</code>."),
    (
        "<code>503</code>, <code>504</code>, no answer",
        "Send the same request with the same <code>Idempotency-Key</code> until you know.",
    ),
]


def base_url(*, scheme: str, host: str) -> str:
    """Return the address that a client used, a plain one if its Host header is no host."""
    return f"{scheme}://{host}" if _HOST.match(host) else "http://localhost:8080"


def getting_started(*, url: str) -> Answer:
    """Return the page, with examples for the server at *url*."""
    _, *pieces = _SECTION.split(_program("curl", url))
    steps = "".join(
        f"<h2>{number}. {escape(title)}</h2><p>{_TEXTS[title]}</p>{example(code.rstrip())}"
        for number, (title, code) in enumerate(zip(pieces[::2], pieces[1::2], strict=True), 1)
    )
    return page(
        title="Getting started",
        at="/docs/getting-started",
        content=(
            "<h1>Getting started</h1>"
            '<p class="lead">From the first call to a ticket in five steps. Everything here runs'
            f" as it stands, against <code>{escape(url)}</code>.</p>"
            f"{steps}"
            "<h2>When something goes wrong</h2>"
            "<p>Every refusal is a problem document: decide by <code>code</code>, read"
            " <code>detail</code>, follow <code>type</code> to its"
            ' <a href="/problems">page</a>.</p>'
            f"{table(('Answer', 'What to do'), _WHEN)}"
            '<div class="note"><p>While you integrate, look at the header'
            " <code>OTA-Ignored</code>: it names fields that we do not know, such as a misspelt"
            " <code>visit_date</code>.</p></div>"
            '<h2 id="python">The same in Python</h2>'
            f"<p>With nothing but the standard library.</p>{example(_program('python', url))}"
            '<h2 id="javascript">The same in JavaScript</h2>'
            f"<p>For your server: Node 18 or later.</p>{example(_program('javascript', url))}"
            '<p>All calls, fields and errors: <a href="/docs">reference</a>.</p>'
        ),
    )


def _program(name: str, url: str) -> str:
    return example_text(name).replace("{{base_url}}", url)
