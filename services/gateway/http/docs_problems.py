"""What each error word means: an address that every problem document names."""

from __future__ import annotations

import json
import re
from html import escape

from libs.runtime.problem import CATALOGUE, Word, slug
from services.gateway.http.docs_page import example, page, table
from services.gateway.http.exchange import Answer
from services.gateway.http.openapi_problems import example_of
from services.gateway.http.openapi_public_answers import PUBLIC_SHAPES

_REPEAT = '<span class="badge">a repeat may help</span>'
_STOP = '<span class="badge stop">a repeat does not help</span>'
_NAMES = re.compile(
    r"(?:GET|POST) /[\w/{}]*[\w}]|X-API-Key|Authorization: Bearer|Retry-After|Idempotency-Key"
    r"|Content-Type: application/json|Content-Encoding|(?<=header )Allow|YYYY-MM-DD"
    r"|errors\[\]|request_id|product_ids|(?<=see )available"
)
"""What the catalogue's texts name by the word that stands in requests and answers."""
_SENTENCES = re.compile(r"([A-Z_]{4,}): (.+?)(?= [A-Z_]{4,}: |$)")
"""The parts of a description that belong to one word each."""


def explanation(word: Word) -> dict[str, object]:
    """Return what a word means, for programs."""
    meaning = CATALOGUE[word]
    return {
        "type": f"/problems/{slug(word)}",
        "code": word,
        "status": meaning.status,
        "title": meaning.title,
        "meaning": meaning.meaning,
        "what_to_do": meaning.what_to_do,
        "retryable": meaning.retryable,
    }


def problem_json(word: Word) -> Answer:
    """Return a word's explanation as JSON."""
    body = json.dumps(explanation(word), ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(200, body, {"Cache-Control": "no-cache", "Vary": "Accept"})


def problem_page(word: Word) -> Answer:
    """Return a word's page."""
    meaning = CATALOGUE[word]
    document = json.dumps(example_of(word), indent=2, ensure_ascii=False)
    answer = page(
        title=meaning.title,
        at=f"/problems/{slug(word)}",
        content=(
            f"<h1>{escape(meaning.title)}</h1>"
            f"<p><code>{word}</code> · HTTP {meaning.status} ·"
            f" {_REPEAT if meaning.retryable else _STOP}</p>"
            f"<h2>What it means</h2><p>{_in_code(meaning.meaning)}</p>"
            f"<h2>What to do</h2><p>{_in_code(meaning.what_to_do)}</p>"
            f"<h2>Repeat it?</h2><p>{_advice(word)}</p>"
            f"<h2>How it looks</h2>{example(document)}"
            "<p>Decide by <code>code</code>; <code>detail</code> says what was wrong with your"
            " request. <code>error</code> and <code>message</code> repeat the two, for older"
            " clients.</p>" + _members(word) + '<p><a href="/problems">All errors</a></p>'
        ),
    )
    return Answer(200, answer.body, {**answer.headers, "Vary": "Accept"}, answer.content_type)


def index_page() -> Answer:
    """Return the list of all words."""
    words = sorted(CATALOGUE, key=lambda word: (CATALOGUE[word].status, word))
    rows = [
        (
            f'<a href="/problems/{slug(word)}"><code>{word}</code></a>',
            str(CATALOGUE[word].status),
            _in_code(CATALOGUE[word].meaning),
        )
        for word in words
    ]
    return page(
        title="Errors",
        at="/problems",
        content=(
            "<h1>Errors</h1>"
            '<p class="lead">Every refusal is a problem document (RFC 9457). Decide by its'
            " <code>code</code>; its <code>type</code> leads to one of these pages.</p>"
            + table(("Code", "Status", "Meaning"), rows)
        ),
    )


def _in_code(text: str) -> str:
    return _NAMES.sub(r"<code>\g<0></code>", escape(text))


def _members(word: Word) -> str:
    told, usual = PUBLIC_SHAPES["Problem"]["properties"], PUBLIC_SHAPES["Problem"]["required"]
    rows = [
        (f"<code>{name}</code>", _of_word(word, told[name]["description"]))
        for name in example_of(word)
        if name not in usual
    ]
    return table(("Member", "What it says"), rows) if rows else ""


def _of_word(word: Word, description: str) -> str:
    """Return what a description says of *word*; it names the word of each of its sentences."""
    text = dict(_SENTENCES.findall(description)).get(word, description)
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text[:1].upper() + text[1:]))


def _advice(word: Word) -> str:
    if not CATALOGUE[word].retryable:
        return "No: the same request gets the same answer."
    if word == "RATE_LIMIT_EXCEEDED":
        return "Yes, after the seconds in <code>Retry-After</code>."
    return (
        "Yes: the same request with the same <code>Idempotency-Key</code>, after the seconds in"
        " <code>Retry-After</code>. Nothing is done twice."
    )
