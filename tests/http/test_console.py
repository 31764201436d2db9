"""The console over HTTP: who gets in, what pages are made of, what is sent by itself, actions."""

from __future__ import annotations

import asyncio
import re
import time
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from aiohttp import ClientResponse, CookieJar, web
from aiohttp.test_utils import TestClient, TestServer

from libs.kernel.ids import reservation_id
from services.gateway.console.entrance import Entrance
from services.gateway.console.events import EventFilter, EventPage
from services.gateway.console.live import Hub, Unreadable
from services.gateway.console.pages import FOLDER, PAGES, POLICY
from services.gateway.console.panels import Panels
from services.gateway.console.sessions import COOKIE, Sessions
from services.gateway.console.story import Story, Told, tell
from services.gateway.console.tries import NAME_TRIES_MAX
from services.gateway.console.web import Console
from services.gateway.store.stock_views import StockRow
from tests.support.operators import NOW, PASSWORD, PASSWORD_HASH, Letters, Operators

HOSTILE = "<script>alert(1)</script>"
RESERVATION = reservation_id(command_id="c", pool_no=1)


class Sources:
    """What the panels read, in memory: one pool, whose figures the test changes."""

    def __init__(self) -> None:
        self.available = 100
        self.asked = 0
        self.hung = asyncio.Event()
        self.now = lambda: NOW

    async def stock(self) -> list[StockRow]:
        """One pool."""
        self.asked += 1
        return [
            StockRow(
                pool_no=1,
                product_id=106,
                channel="ota",
                partition=0,
                allotted=100,
                held=100 - self.available,
                sold=0,
                available=self.available,
                selling=True,
            )
        ]

    async def movements(self, *, within_s: float) -> list[Any]:
        """Nothing moved before."""
        return []

    async def due(self, *, limit: int) -> tuple[list[Any], dict[str, int]]:
        """No answer for ever: a database that hangs."""
        await self.hung.wait()
        return [], {}

    async def lag(self) -> list[Any]:
        """A database that is away."""
        raise Unreadable("the inventory database does not answer")

    async def services(self) -> list[Any]:
        """No other service."""
        return []

    async def alerts(self) -> None:
        """No Prometheus."""
        return

    async def partners(self) -> list[Any]:
        """No partner."""
        return []

    async def events(self, asked: EventFilter) -> EventPage:
        """No event."""
        return EventPage(lines=[], older=None, searched_to=None)

    async def story(self, id: str) -> Story:
        """A reservation that nobody knows."""
        found = Told(
            reservation_id=id, hold=None, life=None, order=None, events=(), calls=(), away=()
        )
        return tell(found, now=NOW)

    async def reservations_named(self, text: str) -> list[str]:
        """One order and one call with two reservations."""
        return {"ORD-1": [RESERVATION], "req_2": [RESERVATION, "res_b"]}.get(text, [])


@dataclass
class World:
    """A console and a browser without scripts."""

    client: TestClient[web.Request, web.Application]
    operators: Operators
    letters: Letters
    sources: Sources
    hub: Hub

    async def get(self, path: str, **more: Any) -> tuple[int, str, ClientResponse]:
        """Return status and text of a page."""
        async with self.client.get(path, allow_redirects=False, **more) as answer:
            return answer.status, await answer.text(), answer

    async def post(self, path: str, **more: Any) -> tuple[int, str, ClientResponse]:
        """Return status and text of an answer to a form."""
        async with self.client.post(path, allow_redirects=False, **more) as answer:
            return answer.status, await answer.text(), answer

    async def sign_in(self, name: str = "wing", secret: str = PASSWORD, **more: Any) -> int:
        """Sign in and return the status."""
        form = {"name": name, "secret": secret, "next": "/console/holds"}
        return (await self.post("/console/sign-in", data=form, **more))[0]

    async def token(self) -> str:
        """Return the form token of the session."""
        _, page, _ = await self.get("/console/alerts")
        found = re.search(r'name="token" value="([^"]+)"', page)
        assert found is not None
        return found[1]


@asynccontextmanager
async def running_console() -> AsyncIterator[World]:
    """Give a console with one operator, wing, and one viewer, vera."""
    operators, letters, sources = Operators(), Letters(), Sources()
    operators.put("wing", "operator", password_hash=PASSWORD_HASH)
    operators.put("vera", "viewer", password_hash=PASSWORD_HASH)
    hub = Hub(monotonic=time.monotonic)
    parts: dict[str, Any] = {"sources": sources, "operators": operators, "letters": letters}
    console = Console(
        **parts,
        hub=hub,
        panels=Panels(**parts, product_name=lambda _: HOSTILE, pool_name=lambda _: "106 ota"),
        entrance=Entrance(
            operators=operators,  # type: ignore[arg-type]  # the twin of the store
            sessions=Sessions(key=b"k" * 32, length=timedelta(hours=8)),
            now=lambda: NOW,
            monotonic=time.monotonic,
            random=bytes,
        ),
        products=lambda: [(106, HOSTILE)],
        secure=False,
        now=lambda: NOW,
    )
    app = web.Application()
    app.add_routes(console.routes())
    jar = CookieJar(unsafe=True)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(hub.run())
        async with TestClient(TestServer(app), cookie_jar=jar) as client:
            yield World(client, operators, letters, sources, hub)
            running.cancel()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A console of the test's own."""
    async with running_console() as world:
        yield world


PATHS = [*(address for _, _, address, _ in PAGES), f"/console/story/{RESERVATION}"]


@pytest.mark.parametrize("path", [*PATHS, "/console/search?q=ORD-1", "/console/stock.json"])
async def test_nobody_sees_anything_without_signing_in(world: World, path: str) -> None:
    """The form comes instead, and leads back to where one wanted to go."""
    status, text, _ = await world.get(path)
    assert (401, True) == (status, 'name="secret"' in text)
    assert f'name="next" value="{path}"' in text
    assert 0 == world.sources.asked
    assert 401 == (await world.get("/console/live?panel=stock"))[0]
    assert 401 == (await world.post("/console/dead-letters/0/replay"))[0]


async def test_signing_in_and_out(world: World) -> None:
    """The cookie is for this server's pages alone, and for no script."""
    form = {"name": " Wing", "secret": PASSWORD, "next": "/console/holds"}
    status, _, answer = await world.post("/console/sign-in", data=form)
    assert (303, "/console/holds") == (status, answer.headers["Location"])
    cookie = answer.headers["Set-Cookie"]
    for word in (f"{COOKIE}=", "HttpOnly", "SameSite=Strict", "Path=/console"):
        assert word in cookie
    assert '{"signed_in": true}' == (await world.get("/console/session"))[1]
    token = await world.token()
    assert 403 == (await world.post("/console/sign-out"))[0]
    assert 303 == (await world.post("/console/sign-out", data={"token": token}))[0]
    assert 401 == (await world.get("/console"))[0]
    assert '{"signed_in": false}' == (await world.get("/console/session"))[1]


async def test_wrong_passwords_are_few(world: World) -> None:
    """Then even the right one has to wait, and the answer never tells what was wrong."""
    texts = set()
    for number in range(NAME_TRIES_MAX):
        form = {"name": "wing", "secret": f"wrong {number}"}
        status, text, _ = await world.post("/console/sign-in", data=form)
        assert 401 == status
        texts.add(text)
    assert 1 == len(texts)
    assert 429 == await world.sign_in()
    assert 303 == await world.sign_in(name="vera")
    assert NAME_TRIES_MAX == sum(noted[1] == "sign_in_refused" for noted in world.operators.notes)


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({}, 303),
    ],
)
async def test_nobody_is_signed_in_from_another_page(
    world: World, headers: dict[str, str], status: int
) -> None:
    """Else somebody could make an operator act under a name that is not theirs."""
    assert status == await world.sign_in(headers=headers)


@pytest.mark.parametrize(
    "next", ["https://evil.example", "//evil.example", "/console\\@evil", "/docs", "/consolex", "/"]
)
async def test_signing_in_leads_nowhere_else(world: World, next: str) -> None:
    """An address that was prepared by somebody must not use our name."""
    form = {"name": "wing", "secret": PASSWORD, "next": next}
    _, _, answer = await world.post("/console/sign-in", data=form)
    assert "/console" == answer.headers["Location"]


@pytest.mark.parametrize("path", PATHS)
async def test_pages_are_whole_without_scripts(world: World, path: str) -> None:
    """Nothing inline, nothing from elsewhere; what hangs or fails is said in its place only."""
    await world.sign_in()
    began = time.monotonic()
    status, text, answer = await world.get(path)
    assert (200, POLICY) == (status, answer.headers["Content-Security-Policy"])
    assert time.monotonic() - began < 10
    assert not re.search(r"<script(?! src=\"/console/static/)", text)
    assert not re.search(r"\son\w+=|style=|https?://|<script>", text)
    assert "no-store" in answer.headers.get("Cache-Control", "no-store")
    if path == "/console":
        assert "<b>100</b>" in text
        assert "the inventory database does not answer" in text
        assert "No answer yet" in text
        assert "Not configured" in text


async def test_the_overview_escapes_what_others_named(world: World) -> None:
    """A product's name is data."""
    await world.sign_in()
    for path in ("/console", "/console/events"):
        _, text, _ = await world.get(path)
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    _, text, _ = await world.get("/console/search", params={"q": HOSTILE})
    assert "&lt;script&gt;" in text
    _, text, _ = await world.get("/console/events", params={"partner_id": HOSTILE})
    assert "there is no such thing: partner" in text


async def test_the_runbook_is_at_hand(world: World) -> None:
    """Both of its pages, to those who are signed in; there is no third."""
    await world.sign_in()
    for part, words in (("alerts", 'id="oversell"'), ("procedures", "ota-admin")):
        status, text, _ = await world.get(f"/console/runbook/{part}")
        assert (200, True) == (status, words in text)
        assert "{%" not in text
    assert 404 == (await world.get("/console/runbook/other"))[0]


async def test_the_search_leads_to_the_story(world: World) -> None:
    """By what it finds; many are listed, nothing is said to be nothing."""
    await world.sign_in()
    status, _, answer = await world.get("/console/search?q=ORD-1")
    assert (303, f"/console/story/{RESERVATION}") == (status, answer.headers["Location"])
    status, text, _ = await world.get("/console/search?q=req_2")
    assert (200, 1) == (status, text.count('href="/console/story/res_b"'))
    for words in ("nix", "", "%00", "x" * 5000):
        status, _, _ = await world.get("/console/search", params={"q": words})
        assert 404 == status
    status, text, _ = await world.get(f"/console/story/{RESERVATION}")
    assert (200, True) == (status, "No service has ever heard" in text)
    assert 404 == (await world.get("/console/story/res_1"))[0]


async def event_of(stream: ClientResponse, name: str, part: str) -> str:
    """Read on until an event of that name has *part* in it, and return its data."""
    async with asyncio.timeout(30):
        while True:
            lines = []
            while (line := (await stream.content.readline()).decode()) not in ("\n", ""):
                lines.append(line)
            data = "".join(each[6:] for each in lines if each.startswith("data: "))
            if f"event: {name}\n" in lines and part in data:
                return data


async def test_what_changes_is_sent(world: World) -> None:
    """As the event of its panel; the plot's point comes beside it."""
    await world.sign_in()
    async with world.client.get("/console/live?panel=stock&panel=nonsense") as stream:
        assert "text/event-stream" in stream.headers["Content-Type"]
        await event_of(stream, "stock", "<b>100</b>")
        world.sources.available = 93
        await event_of(stream, "stock", "<b>93</b>")
        assert '{"1":[93,7,0]}' in await event_of(stream, "points", "[93,")
    _, text, _ = await world.get("/console/stock.json")
    assert '{"1":[93,7,0]}' in text
    async with world.client.get("/console/live?panel=lag") as stream:
        assert "does not answer" in await event_of(stream, "lag", "notice")


async def test_ten_who_look_cost_what_one_costs(world: World) -> None:
    """One reading a second, whoever looks."""
    await world.sign_in()
    streams = [await world.client.get("/console/live?panel=stock") for _ in range(10)]
    for stream in streams:
        await event_of(stream, "stock", "<b>100</b>")
    assert world.sources.asked <= 3
    for stream in streams:
        stream.close()


async def test_a_stream_ends_with_its_session(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is removed sees nothing more, though the page is open."""
    monkeypatch.setattr("services.gateway.console.web.PING_S", 0.05)
    await world.sign_in()
    async with world.client.get("/console/live?panel=alerts") as stream:
        await event_of(stream, "alerts", "Not configured")
        del world.operators.rows["wing"]
        async with asyncio.timeout(30):
            while await stream.content.readline():
                pass


async def test_an_operator_replays_a_letter(world: World) -> None:
    """With the form's token, once, under their own name."""
    world.letters.add("c1", reason=HOSTILE)
    await world.sign_in()
    _, text, _ = await world.get("/console/dead-letters")
    assert 'hx-post="/console/dead-letters/0/replay"' in text
    assert "&lt;script&gt;" in text
    path = "/console/dead-letters/0/replay"
    assert 403 == (await world.post(path))[0]
    assert 403 == (await world.post(path, headers={"X-Form-Token": "x"}))[0]
    assert [] == world.letters.sent
    token = {"X-Form-Token": await world.token()}
    assert 200 == (await world.post(path, headers=token))[0]
    assert 409 == (await world.post(path, headers=token))[0]
    assert 409 == (await world.post("/console/dead-letters/7/replay", headers=token))[0]
    assert 404 == (await world.post("/console/dead-letters/x/replay", headers=token))[0]
    assert [0] == world.letters.sent
    acted = [noted for noted in world.operators.notes if noted[1] == "dead_letter_replayed"]
    assert [("wing", "0/c1", "127.0.0.0/24")] == [(by, what, at) for by, _, what, at in acted]


async def test_a_viewer_may_only_look(world: World) -> None:
    """There is no button, and asking without one is refused."""
    world.letters.add("c1")
    await world.sign_in(name="vera")
    _, text, _ = await world.get("/console/dead-letters")
    assert ("hx-post" in text, "operators only" in text) == (False, True)
    token = {"X-Form-Token": await world.token()}
    assert 403 == (await world.post("/console/dead-letters/0/replay", headers=token))[0]
    assert [] == world.letters.sent
    async with world.client.get("/console/live?panel=letters:act") as stream:
        assert "hx-post" not in await event_of(stream, "letters", "operators only")


async def test_the_token_is_what_guards_actions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: without that check a foreign form would have replayed the letter."""

    async def anything(*_: object) -> bool:
        return True

    world.letters.add("c1")
    await world.sign_in()
    monkeypatch.setattr(Console, "_is_ours", anything)
    assert 200 == (await world.post("/console/dead-letters/0/replay"))[0]


async def test_the_console_s_files(world: World) -> None:
    """Sent compressed, known again by their tag, and no others."""
    for name in ("console.css", "console.js", "htmx.min.js", "uPlot.iife.min.js"):
        status, _, answer = await world.get(f"/console/static/{name}")
        tag = answer.headers["ETag"]
        assert (200, "gzip") == (status, answer.headers["Content-Encoding"])
        again = {"If-None-Match": tag}
        assert 304 == (await world.get(f"/console/static/{name}", headers=again))[0]
    for name in ("VENDORED.toml", "..%2fweb.py", "x.js"):
        assert 404 == (await world.get(f"/console/static/{name}"))[0]


def test_vendored_files_are_as_published() -> None:
    """Byte for byte, all of them listed with their licences."""
    folder = FOLDER / "static" / "vendor"
    listed = tomllib.loads((folder / "VENDORED.toml").read_text(encoding="utf-8"))
    assert {**listed["sha256"], "VENDORED.toml": ""}.keys() == {f.name for f in folder.iterdir()}
    for name, expected in listed["sha256"].items():
        assert expected == sha256((folder / name).read_bytes()).hexdigest(), name
    for package in listed["packages"].values():
        assert re.search(r"\((.+)\)", package["licence"])[1] in listed["sha256"]  # type: ignore[index]


def test_every_page_is_inside() -> None:
    """A new address can't be forgotten: all but the form and the files ask who is there."""
    console = Console(**NOTHING)
    open_to_all = {"/console/sign-in", "/console/session", "/console/static/{name}"}
    for route in console.routes():
        guarded = getattr(route.handler, "__name__", "") == "guarded"
        assert guarded != (route.path in open_to_all), route.path


NOTHING: dict[str, Any] = dict.fromkeys(
    (
        *("hub", "panels", "sources", "entrance", "operators", "letters", "products", "secure"),
        "now",
    )
)
