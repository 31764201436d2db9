"""The console's addresses: pages, the stream that keeps them up to date, sign-in and actions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import structlog
from aiohttp import web

from libs.events.kafka.dead_letters import DeadLetters
from libs.events.kafka.operator import BrokerAway
from libs.kernel.ids import pool_no_of
from services.gateway.app.dead_letters import NotReplayed, replay_letter
from services.gateway.console.answers import (
    ROOT,
    SIGN_IN,
    away_to,
    failed,
    first_content,
    frame,
    html,
    own_path,
    said,
    same_origin,
    static,
)
from services.gateway.console.entrance import Entrance, Refused, Visitor
from services.gateway.console.events import SERVICES, TYPES, read_filter
from services.gateway.console.live import Content, Hub, Panel, TooMany, Unreadable
from services.gateway.console.pages import SAFETY, rendered
from services.gateway.console.panels import Panels
from services.gateway.console.sessions import COOKIE
from services.gateway.console.sources import Sources
from services.gateway.domain.audit import shortened
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.store.operators import OperatorStore

log = structlog.get_logger()

FIRST_LOOK_S = 1.0
"""A page waits so long for its panels; those that are slower come by the stream."""
PING_S = 10.0
WRITE_TIMEOUT_S = 10.0
QUERY_LENGTH_MAX = 128
_READING = ("GET", "HEAD")
RUNBOOK = {"alerts": "What an alert means", "procedures": "Procedures"}
FORM_TOKEN = "X-Form-Token"  # noqa: S105 - a name

Handler = Callable[[web.Request, Visitor], Awaitable[web.StreamResponse]]


class Console:
    """Answers requests below ``/console``."""

    def __init__(
        self,
        *,
        hub: Hub,
        panels: Panels,
        sources: Sources,
        entrance: Entrance,
        operators: OperatorStore,
        letters: DeadLetters,
        products: Callable[[], Sequence[tuple[int, str]]],
        secure: bool,
        now: Callable[[], datetime],
    ) -> None:
        self._hub = hub
        self._panels = panels
        self._sources = sources
        self._entrance = entrance
        self._operators = operators
        self._letters = letters
        self._products = products
        self._secure = secure
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """Return everything that is served."""
        inside = self._inside
        return [
            web.get(f"{ROOT}/static/{{name}}", static),
            web.get(SIGN_IN, self._sign_in_page),
            web.post(SIGN_IN, self._sign_in),
            web.post(f"{ROOT}/sign-out", inside(self._sign_out)),
            web.get(f"{ROOT}/session", self._session),
            web.get(f"{ROOT}/live", inside(self._live)),
            web.get(ROOT, inside(self._overview)),
            web.get(f"{ROOT}/", inside(self._overview)),
            web.get(f"{ROOT}/stock.json", inside(self._history)),
            web.get(f"{ROOT}/holds", inside(self._holds)),
            web.get(f"{ROOT}/events", inside(self._events)),
            web.get(f"{ROOT}/story/{{id}}", inside(self._story)),
            web.get(f"{ROOT}/partners", inside(self._partners)),
            web.get(f"{ROOT}/dead-letters", inside(self._dead_letters)),
            web.post(f"{ROOT}/dead-letters/{{offset}}/replay", inside(self._replay)),
            web.get(f"{ROOT}/services", inside(self._services)),
            web.get(f"{ROOT}/alerts", inside(self._alerts)),
            web.get(f"{ROOT}/runbook", inside(self._runbook)),
            web.get(f"{ROOT}/runbook/{{part}}", inside(self._runbook)),
            web.get(f"{ROOT}/search", inside(self._search)),
        ]

    # --- Who is there --------------------------------------------------------------------------

    def _inside(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return *handler* for those who are signed in; an action needs its form's token too."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                visitor = await self._entrance.visitor(request.cookies.get(COOKIE))
                if visitor is None:
                    return self._to_sign_in(request)
                if request.method not in _READING and not await self._is_ours(request, visitor):
                    return said(403, "This form is not from your session: load the page again.")
                return await handler(request, visitor)
            except (StoreUnavailable, Unreadable) as error:
                return failed(503, f"This can't be shown now: {error}.")
            except TooMany:
                return failed(503, "Too many pages are open: close one and try again.")

        return guarded

    async def _is_ours(self, request: web.Request, visitor: Visitor) -> bool:
        token = request.headers.get(FORM_TOKEN) or str((await request.post()).get("token", ""))
        return self._entrance.is_form_of(visitor, token)

    def _to_sign_in(self, request: web.Request) -> web.Response:
        if request.method not in _READING or request.path == f"{ROOT}/live":
            return said(401, "Your session is over: sign in again.")
        return self._sign_in_form(next=request.path_qs, status=401)

    async def _sign_in_page(self, request: web.Request) -> web.Response:
        return self._sign_in_form(next=request.query.get("next", ROOT))

    def _sign_in_form(self, *, next: str, fault: str = "", status: int = 200) -> web.Response:
        return html(rendered("sign_in.html", next=own_path(next), fault=fault), status=status)

    async def _sign_in(self, request: web.Request) -> web.Response:
        if not same_origin(request):
            return failed(403, "Sign in from the console's own page.")
        given = await request.post()
        name, secret, next = (str(given.get(key, "")) for key in ("name", "secret", "next"))
        try:
            outcome = await self._entrance.sign_in(
                name=name.strip().lower(), secret=secret.strip(), address=request.remote or ""
            )
        except StoreUnavailable:
            fault = "Our database does not answer: nobody can sign in until it does."
            return self._sign_in_form(next=next, fault=fault, status=503)
        if isinstance(outcome, Refused):
            if outcome.wait_s:
                fault = f"Too many tries: wait {outcome.wait_s / 60:.0f} min."
                return self._sign_in_form(next=next, fault=fault, status=429)
            fault = "This name and this password or code do not fit."
            return self._sign_in_form(next=next, fault=fault, status=401)
        answer = away_to(own_path(next))
        answer.set_cookie(
            COOKIE, outcome, path=ROOT, httponly=True, samesite="Strict", secure=self._secure
        )
        return answer

    async def _sign_out(self, request: web.Request, visitor: Visitor) -> web.Response:
        log.info("console.sign_out.done", operator=visitor.operator.name)
        answer = away_to(SIGN_IN)
        answer.del_cookie(COOKIE, path=ROOT, httponly=True, samesite="Strict", secure=self._secure)
        return answer

    async def _session(self, request: web.Request) -> web.Response:
        """Say whether the asking page's session holds, without an error for browsers to log."""
        try:
            visitor = await self._entrance.visitor(request.cookies.get(COOKIE))
        except StoreUnavailable:
            visitor = None
        return web.json_response({"signed_in": visitor is not None}, headers=SAFETY)

    # --- Pages ---------------------------------------------------------------------------------

    async def _overview(self, request: web.Request, visitor: Visitor) -> web.Response:
        panels = self._panels
        shown = [
            *(panels.stock(), panels.alerts(), panels.services()),
            *(panels.lag(), panels.holds()),
        ]
        return await self._page(visitor, "overview", shown)

    async def _history(self, request: web.Request, visitor: Visitor) -> web.Response:
        stock = self._panels.stock()
        await self._hub.first([stock], timeout_s=FIRST_LOOK_S)
        text = await self._panels.history()
        return web.Response(text=text, content_type="application/json", headers=SAFETY)

    async def _holds(self, request: web.Request, visitor: Visitor) -> web.Response:
        return await self._page(visitor, "holds", [self._panels.holds(all=True)])

    async def _events(self, request: web.Request, visitor: Visitor) -> web.Response:
        asked, wrong = read_filter(request.query)
        return await self._page(
            visitor,
            "events",
            [self._panels.events(asked)],
            live=asked.is_live,
            asked=asked,
            wrong=wrong,
            services=SERVICES,
            types=TYPES,
            products=self._products(),
        )

    async def _story(self, request: web.Request, visitor: Visitor) -> web.Response:
        id = request.match_info["id"]
        if pool_no_of(id) is None:
            return self._nothing(visitor, id)
        return await self._page(visitor, "story", [self._panels.story(id)], id=id)

    async def _partners(self, request: web.Request, visitor: Visitor) -> web.Response:
        return await self._page(visitor, "partners", [self._panels.partners()])

    async def _dead_letters(self, request: web.Request, visitor: Visitor) -> web.Response:
        panel = self._panels.letters(may_act=visitor.may_act)
        return await self._page(visitor, "letters", [panel])

    async def _services(self, request: web.Request, visitor: Visitor) -> web.Response:
        shown = [self._panels.services(), self._panels.lag()]
        return await self._page(visitor, "services", shown)

    async def _alerts(self, request: web.Request, visitor: Visitor) -> web.Response:
        return await self._page(visitor, "alerts", [self._panels.alerts()])

    async def _runbook(self, request: web.Request, visitor: Visitor) -> web.Response:
        part = request.match_info.get("part", "alerts")
        if part not in RUNBOOK:
            return self._nothing(visitor, part)
        return await self._page(visitor, "runbook", [], live=False, part=part, parts=RUNBOOK)

    async def _search(self, request: web.Request, visitor: Visitor) -> web.Response:
        text = request.query.get("q", "").strip()[:QUERY_LENGTH_MAX]
        if not text.isprintable() or not text:
            return self._nothing(visitor, text)
        found = await self._sources.reservations_named(text)
        if len(found) == 1:
            return away_to(f"{ROOT}/story/{found[0]}")
        return self._nothing(visitor, text, found=found)

    def _nothing(self, visitor: Visitor, text: str, found: Sequence[str] = ()) -> web.Response:
        content = rendered(
            "search.html", visitor=visitor, at="search", text=text, found=found, stream=""
        )
        return html(content, status=200 if found else 404)

    async def _page(
        self,
        visitor: Visitor,
        key: str,
        panels: Sequence[Panel],
        *,
        live: bool = True,
        **values: Any,
    ) -> web.Response:
        found = await self._hub.first(panels, timeout_s=FIRST_LOOK_S)
        shown = {panel.name: first_content(panel, found.get(panel.key)) for panel in panels}
        stream = [panel.key for panel in panels] if live else []
        return html(
            rendered(f"{key}.html", visitor=visitor, at=key, shown=shown, stream=stream, **values)
        )

    # --- What goes on by itself ------------------------------------------------------------------

    async def _live(self, request: web.Request, visitor: Visitor) -> web.StreamResponse:
        panels = self._named(request.query.getall("panel", []), visitor)
        answer = web.StreamResponse(
            headers={
                **SAFETY,
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        with self._hub.watching(panels) as watcher:
            await answer.prepare(request)
            await answer.write(b"retry: 3000\n\n")
            while self._hub.is_running:
                contents: Sequence[Content] = ()
                try:
                    async with asyncio.timeout(PING_S):
                        contents = await watcher.take()
                except TimeoutError:
                    if not await self._still_in(request):
                        break
                frames = [frame(name, text) for each in contents for name, text in each.items()]
                try:
                    async with asyncio.timeout(WRITE_TIMEOUT_S):
                        await answer.write(b"".join(frames) or b": nothing new\n\n")
                except (TimeoutError, ConnectionError):
                    break
        return answer

    async def _still_in(self, request: web.Request) -> bool:
        try:
            return await self._entrance.visitor(request.cookies.get(COOKIE)) is not None
        except StoreUnavailable:
            return False

    def _named(self, keys: Sequence[str], visitor: Visitor) -> list[Panel]:
        """Return the panels that a page asks to be kept up to date; unknown ones are left out."""
        panels = self._panels
        plain: Mapping[str, Callable[[], Panel]] = {
            "stock": panels.stock,
            "holds": panels.holds,
            "holds:all": lambda: panels.holds(all=True),
            "services": panels.services,
            "lag": panels.lag,
            "alerts": panels.alerts,
            "partners": panels.partners,
            "letters:look": lambda: panels.letters(may_act=False),
            "letters:act": lambda: panels.letters(may_act=visitor.may_act),
        }
        found: dict[str, Panel] = {}
        for key in keys[:10]:
            kind, _, rest = key.partition(":")
            if key in plain:
                panel = plain[key]()
            elif kind == "story" and pool_no_of(rest) is not None:
                panel = panels.story(rest)
            elif kind == "events":
                panel = panels.events(read_filter(dict(parse_qsl(rest)))[0])
            else:
                continue
            found[panel.name] = panel
        return list(found.values())

    # --- Actions ---------------------------------------------------------------------------------

    async def _replay(self, request: web.Request, visitor: Visitor) -> web.Response:
        if not visitor.may_act:
            return said(403, "Viewers may look only; an operator can do this.")
        offset = request.match_info["offset"]
        if not offset.isascii() or not offset.isdecimal() or len(offset) > 15:
            return said(404, "There is no such letter.")
        try:
            outcome = await replay_letter(
                int(offset),
                letters=self._letters,
                record=self._operators,
                by=visitor.operator.name,
                again=request.query.get("again") == "yes",
                now=self._now(),
                address=shortened(request.remote or ""),
            )
        except BrokerAway as error:
            return said(503, f"Kafka can't be reached: {error}.")
        if isinstance(outcome, NotReplayed):
            return said(409, outcome.reason)
        log.info("console.letter.replayed", operator=visitor.operator.name, offset=int(offset))
        return said(200, f"Letter {offset} was sent to {outcome.topic} again.")
