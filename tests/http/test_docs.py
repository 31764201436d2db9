"""The documentation that comes with the API: its pages, its files, its document."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tomllib
from datetime import timedelta
from html import unescape
from typing import Any

import pytest

from libs.runtime.problem import CATALOGUE, slug
from services.gateway.http.docs_assets import STATIC
from tests.http.world import World

PAGES = ("/docs", "/docs/getting-started", "/problems", "/problems/sold-out")
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
# Where a page's browser would fetch something from.
_FETCHED = re.compile(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'>) ]+)""")


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_needs_no_key_and_nobody_else(world: World, path: str) -> None:
    """All it loads comes from this server, and its policy forbids anything else."""
    async with world.client.get(path, headers=BROWSER) as response:
        text = await response.text()
        assert (200, "text/html") == (response.status, response.content_type)
        policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    fetched = _FETCHED.findall(text)
    assert fetched
    assert [] == [each for each in fetched if not each.startswith(("/", "#", "data:,"))]
    assert "<script>" not in text
    assert " style=" not in text
    for each in {each for each in fetched if each.startswith("/")}:
        async with world.client.get(each, headers=BROWSER) as response:
            assert 200 == response.status, each


async def test_files_are_sent_compressed_and_once(world: World) -> None:
    """Half a megabyte instead of two, and nothing at all to whoever has it."""
    path = "/docs/assets/swagger-ui-bundle.js"
    async with world.client.get(path, headers={"Accept-Encoding": "identity"}) as response:
        plain, tag = await response.read(), response.headers["ETag"]
    async with world.client.get(
        path, headers={"Accept-Encoding": "gzip"}, auto_decompress=False
    ) as response:
        assert "gzip" == response.headers["Content-Encoding"]
        assert plain == gzip.decompress(await response.read())
    async with world.client.get(path, headers={"If-None-Match": tag}) as response:
        assert (304, b"") == (response.status, await response.read())


@pytest.mark.parametrize("name", ["x.js", "..%2fdocs.css", "VENDORED.toml", "%2fetc%2fpasswd"])
async def test_no_other_file_is_served(world: World, name: str) -> None:
    """Only the files that the pages name."""
    async with world.client.get(f"/docs/assets/{name}") as response:
        assert 404 == response.status


def test_vendored_files_are_as_they_were_published() -> None:
    """Nobody has edited them, and no file lies beside them that is not listed."""
    folder = STATIC / "swagger-ui"
    listed = tomllib.loads((folder / "VENDORED.toml").read_text(encoding="utf-8"))["sha256"]
    assert set(listed) | {"VENDORED.toml"} == {path.name for path in folder.iterdir()}
    for name, digest in listed.items():
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest(), name


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (".swagger-ui .opblock-tag{", ".opblock-tag { display: grid;"),
        (
            ".swagger-ui .opblock-tag small{",
            ".opblock-tag > small { grid-row: 2; grid-column: 1 / -1;",
        ),
        (".swagger-ui table.headers td{", "table.headers th { color: var(--text); }"),
        (".swagger-ui .response-col_status{", ":is(tbody, tr, td) { display: block; width: 100%;"),
        (
            "html.dark-mode .swagger-ui .scheme-container{",
            "html.dark-mode .reference .swagger-ui .scheme-container { background: transparent;",
        ),
    ],
)
def test_our_style_mends_what_theirs_breaks(theirs: str, ours: str) -> None:
    """On telephones and in dark; another release of theirs may need another mend."""
    vendored = (STATIC / "swagger-ui" / "swagger-ui.css").read_text(encoding="utf-8")
    assert theirs in vendored
    assert ours in (STATIC / "docs.css").read_text(encoding="utf-8")


@pytest.mark.parametrize("word", sorted(CATALOGUE))
async def test_every_error_word_has_its_page(world: World, word: str) -> None:
    """For people as HTML, for programs as JSON; it says whether a repeat helps."""
    path = f"/problems/{slug(word)}"  # type: ignore[arg-type]
    async with world.client.get(path, headers=BROWSER) as response:
        text = await response.text()
        assert "Accept" == response.headers["Vary"]
    meaning = CATALOGUE[word]  # type: ignore[index]
    assert word in text
    assert ("a repeat may help" in text) == meaning.retryable
    async with world.client.get(path) as response:
        explained = await response.json()
    assert (word, meaning.status, meaning.retryable) == (
        explained["code"],
        explained["status"],
        explained["retryable"],
    )


@pytest.mark.parametrize("page", ["nothing", "sold_out", "SOLD-OUT", "%3Cscript%3E"])
async def test_another_word_has_none(world: World, page: str) -> None:
    """404 as a problem document, in which nothing is repeated unescaped."""
    async with world.client.get(f"/problems/{page}", headers=BROWSER) as response:
        assert (404, "application/problem+json") == (response.status, response.content_type)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        *((f"/problems/{word}", f"/problems/{slug(word)}") for word in sorted(CATALOGUE)),
        ("/docs/", "/docs"),
        ("/docs/getting-started/", "/docs/getting-started"),
        ("/problems/", "/problems"),
    ],
)
async def test_another_form_of_an_address_leads_to_the_page(
    world: World, path: str, target: str
) -> None:
    """A word as `code` has it, and a slash too many; with and without a browser."""
    for headers in (BROWSER, {}):
        async with world.client.get(path, headers=headers, allow_redirects=False) as response:
            assert (301, target) == (response.status, response.headers["Location"])
    async with world.client.get(path, headers=BROWSER) as response:
        assert (200, "text/html") == (response.status, response.content_type)


async def test_the_front_door_is_for_browsers(world: World) -> None:
    """They come to the reference; a program gets a problem; the document does not tell of it."""
    async with world.client.get("/", headers=BROWSER, allow_redirects=False) as response:
        assert (302, "/docs") == (response.status, response.headers["Location"])
        assert "Accept" == response.headers["Vary"]
    async with world.client.get("/") as response:
        assert (404, "NOT_FOUND") == (response.status, (await response.json())["code"])
    async with world.client.get("/openapi.json") as response:
        assert not {"/", "/docs/", "/problems/"} & set((await response.json())["paths"])


# Members that a word has of its own, as the contract names them.
_OWN = {
    "SOLD_OUT": {"available"},
    "HOLD_LIMIT_REACHED": {"limit", "held"},
    "ALREADY_ACTIVATED": {"order_id"},
    "RATE_LIMIT_EXCEEDED": {"limit", "window_seconds", "retry_after"},
    "OUTCOME_UNKNOWN": {"retry_after", "request_id"},
    "VALIDATION_ERROR": {"errors"},
    "NOT_FOUND": set(),
}


async def _shown(world: World, word: str) -> tuple[str, dict[str, Any]]:
    path = f"/problems/{slug(word)}"  # type: ignore[arg-type]
    async with world.client.get(path, headers=BROWSER) as response:
        text = await response.text()
    (example,) = re.findall(r"<pre><code>(.+?)</code></pre>", text, re.DOTALL)
    return text, json.loads(unescape(example))


@pytest.mark.parametrize("word", sorted(_OWN))
async def test_a_page_shows_a_whole_problem(world: World, word: str) -> None:
    """With the words for older clients, and each member of its own explained beside it."""
    text, example = await _shown(world, word)
    usual = {"type", "title", "status", "detail", "instance", "error", "code", "message"}
    assert usual | _OWN[word] == set(example)
    assert (word, word) == (example["code"], example["error"])
    assert example["detail"] == example["message"]
    for member in _OWN[word]:
        assert f"<td><code>{member}</code></td>" in text


async def test_what_a_page_shows_is_what_is_answered(world: World) -> None:
    """Its example is an answer, but for the figures."""
    answers = [
        await world.reserve(0),
        await world.call("POST", "/reserve", json={"product_id": 106}),
        await world.reserve(100, product_id=105),
        await world.call("GET", "/orders/ORD-6531189553717"),
        await world.call("GET", "/orders?page=0"),
        await world.call("GET", "/inventory?product_ids=x"),
        await world.call("GET", "/orders", key=None),
        await world.call("PUT", "/reserve"),
    ]
    for answered in answers:
        _, example = await _shown(world, answered.json["code"])
        assert list(example) == list(answered.json)
        assert example["detail"] == answered.json["detail"]
        assert example.get("errors") == answered.json.get("errors")


async def test_names_in_texts_look_like_code(world: World) -> None:
    """What stands so in requests and answers; the same word of plain English does not."""
    text, _ = await _shown(world, "SOLD_OUT")
    assert "see <code>available</code>." in text
    assert "units are <code>" not in text
    text, _ = await _shown(world, "METHOD_NOT_ALLOWED")
    assert "header <code>Allow</code>." in text
    async with world.client.get("/problems", headers=BROWSER) as response:
        assert "see <code>available</code>." in await response.text()


async def test_a_problem_leads_to_its_page(world: World) -> None:
    """What `type` names is there."""
    answered = await world.call("GET", "/orders/x")
    async with world.client.get(answered.json["type"]) as response:
        assert answered.json["code"] == (await response.json())["code"]


async def test_the_document_is_built_once_and_kept_by_its_tag(world: World) -> None:
    """The same bytes each time, compressed for whoever takes that; no key, no limit."""
    async with world.client.get("/openapi.json") as response:
        document, tag = json.loads(await response.read()), response.headers["ETag"]
        assert "X-RateLimit-Limit" not in response.headers
    assert "3.0.3" == document["openapi"]
    async with world.client.get("/openapi.json", headers={"If-None-Match": tag}) as response:
        assert 304 == response.status


async def test_examples_name_the_address_that_was_asked(world: World) -> None:
    """They run as they stand, wherever the server is."""
    async with world.client.get("/docs/getting-started") as response:
        assert f"http://127.0.0.1:{world.client.port}" in await response.text()


@pytest.mark.parametrize(
    "host", ["<script>", "a b", "x'y", 'x"y', "user@evil.example", "a/b", "a:123456"]
)
async def test_a_host_that_is_none_is_not_repeated(world: World, host: str) -> None:
    """Commands are meant to be pasted: nothing but a host gets into them."""
    async with world.client.get("/docs/getting-started", headers={"Host": host}) as response:
        text = await response.text()
    assert host not in text
    assert "http://localhost:8080" in text


async def test_reading_the_documentation_costs_no_calls(world: World) -> None:
    """Pages stand before authentication and before the partner's limit."""
    before = (await world.call("GET", "/inventory")).headers["X-RateLimit-Remaining"]
    for path in (*PAGES, "/openapi.json", "/healthz"):
        async with world.client.get(path, headers={"X-API-Key": "wrong"}) as response:
            assert 200 == response.status
    after = (await world.call("GET", "/inventory")).headers["X-RateLimit-Remaining"]
    assert int(before) - 1 == int(after)


async def test_the_document_says_how_long_each_list_is(world: World) -> None:
    """One text for all of them, with what each does when nothing is said."""
    order_id = await world.ordered(1)
    (told,) = {
        parameter["description"]
        for operation in (await _operations(world)).values()
        for parameter in operation["parameters"]
        if parameter.get("name") == "page_size"
    }
    found = [
        (await world.call("GET", path)).json["page_size"]
        for path in ("/products", f"/orders/{order_id}/tickets", "/reservations", "/orders")
    ]
    assert [100, 100, 20, 20] == found
    assert told.endswith("100 of products and tickets, 20 of reservations and orders.")


async def test_the_document_says_what_a_repeat_is(world: World) -> None:
    """The same number written otherwise is another body; spaces and order are not."""
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    bodies = (
        b'{"product_id":106,"quantity":1}',
        b'{ "quantity": 1, "product_id": 106 }',
        b'{"product_id":106,"quantity":1.0}',
    )
    found = [
        (await world.call("POST", "/reserve", headers=headers, data=body)).status for body in bodies
    ]
    assert [201, 201, 422] == found
    assert "`1.0` instead of `1` is another body" in await _header(world, "Idempotency-Key")


async def test_the_document_says_what_a_time_without_zone_is(world: World) -> None:
    """UTC, as everywhere."""
    until = (world.market.now + timedelta(hours=2)).replace(microsecond=0, tzinfo=None)
    answered = await world.reserve(1, fields={"reservation_expires_at": until.isoformat()})
    assert answered.json["expires_at"].startswith(f"{until.isoformat()}.000000Z")
    body = (await _operations(world))["post /api/ota/reserve"]["requestBody"]
    fields = body["content"]["application/json"]["schema"]["properties"]
    assert "time without offset is UTC" in fields["reservation_expires_at"]["description"]


async def test_the_document_says_how_many_names_are_told(world: World) -> None:
    """A long list of what we do not know is cut."""
    unknown = "&".join(f"unknown{number}=1" for number in range(25))
    answered = await world.call("GET", f"/inventory?{unknown}")
    assert 20 == len(answered.headers["OTA-Ignored"].split(","))
    assert "the first 20 of them" in await _header(world, "OTA-Ignored", "headers")


async def test_the_document_says_which_limits_prices_have(world: World) -> None:
    """No headers of a partner's limit, for nobody is known; a refused call says when to repeat."""
    async with world.client.get("/pricing/rules/106") as response:
        assert not [name for name in response.headers if "ratelimit" in name.lower()]
    document = await _document(world)
    (told,) = [tag["description"] for tag in document["tags"] if tag["name"] == "Pricing"]
    assert "no rate-limit headers here, only `Retry-After`" in told
    refused = document["paths"]["/pricing/calculate"]["post"]["responses"]["429"]
    assert {"X-Request-Id", "Retry-After"} <= set(refused["headers"])
    assert not [name for name in refused["headers"] if "ratelimit" in name.lower()]


async def test_the_document_says_what_a_position_is_on_a_write(world: World) -> None:
    """One text stands at reads and writes."""
    told = await _header(world, "OTA-Position")
    assert "this read" not in told
    assert "A write needs none" in told


async def _document(world: World) -> dict[str, Any]:
    async with world.client.get("/openapi.json") as response:
        document: dict[str, Any] = await response.json()
        return document


async def _operations(world: World) -> dict[str, Any]:
    paths = (await _document(world))["paths"]
    return {f"{method} {path}": paths[path][method] for path in paths for method in paths[path]}


async def _header(world: World, name: str, kind: str = "parameters") -> str:
    return str((await _document(world))["components"][kind][name]["description"])
