"""What the pages show and keep up to date: each panel read from its sources and written as HTML."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from markupsafe import Markup

from libs.events.kafka.dead_letters import DeadLetters
from libs.events.kafka.operator import BrokerAway
from services.gateway.app.dead_letters import REPLAY
from services.gateway.console.events import EventFilter
from services.gateway.console.health import LAG_WARN_S
from services.gateway.console.live import Content, Panel, Unreadable
from services.gateway.console.pages import rendered
from services.gateway.console.sources import Sources
from services.gateway.console.stock import PLOT_S, History, is_empty, points_json, pool_lines
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.store.operators import OperatorStore

HOLDS_SHOWN = 25
HOLDS_ALL = 100
LETTERS_SHOWN = 100
STALE_S = 5.0
"""After so long without a look the plot's past is told from the events again."""


class Panels:
    """Makes panels; those that are alike for everybody have one key, and so one reader."""

    def __init__(
        self,
        *,
        sources: Sources,
        letters: DeadLetters,
        operators: OperatorStore,
        product_name: Callable[[int], str],
        pool_name: Callable[[int], str],
    ) -> None:
        self._sources = sources
        self._letters = letters
        self._operators = operators
        self._product_name = product_name
        self._pool_name = pool_name
        self._history = History()

    def stock(self) -> Panel:
        """Figures of each pool, and a point of the plot."""
        return self._panel("stock", self._stock)

    def holds(self, *, all: bool = False) -> Panel:
        """Holds that end soon."""

        async def read() -> Content:
            limit = HOLDS_ALL if all else HOLDS_SHOWN
            rows, counts = await self._sources.due(limit=limit)
            return self._content("holds", rows=rows, counts=counts, limit=limit)

        return self._panel("holds", read, key="holds:all" if all else None)

    def services(self) -> Panel:
        """What the services' ops ports say."""

        async def read() -> Content:
            lines = await self._sources.services()
            return self._content("services", lines=lines, now=self._sources.now())

        return self._panel("services", read, interval_s=2.0)

    def lag(self) -> Panel:
        """How far services are behind."""

        async def read() -> Content:
            now = self._sources.now()
            rows = [(line, line.seconds(now)) for line in await self._sources.lag()]
            return self._content("lag", rows=rows, warn_s=LAG_WARN_S)

        return self._panel("lag", read)

    def alerts(self) -> Panel:
        """What Prometheus says."""

        async def read() -> Content:
            return self._content("alerts", board=await self._sources.alerts())

        return self._panel("alerts", read, interval_s=2.0)

    def partners(self) -> Panel:
        """Partners with use and keys."""

        async def read() -> Content:
            return self._content("partners", lines=await self._sources.partners())

        return self._panel("partners", read)

    def events(self, asked: EventFilter) -> Panel:
        """The newest events that are asked for, or those before a place."""

        async def read() -> Content:
            page = await self._sources.events(asked)
            return self._content("events", page=page, asked=asked, pool=self._pool_name)

        return self._panel("events", read, key=f"events:{asked.query()}")

    def story(self, reservation_id: str) -> Panel:
        """A reservation's story."""

        async def read() -> Content:
            story = await self._sources.story(reservation_id)
            return self._content("story", story=story, pool=self._pool_name)

        return self._panel("story", read, key=f"story:{reservation_id}", interval_s=2.0)

    def letters(self, *, may_act: bool) -> Panel:
        """Dead letters; with buttons for whoever may act."""

        async def read() -> Content:
            try:
                found = await self._letters.newest(limit=LETTERS_SHOWN)
                subjects = [letter.subject for letter in found.letters]
                replayed = await self._operators.done(REPLAY, subjects) if subjects else {}
            except BrokerAway as error:
                raise Unreadable("Kafka can't be asked: is the broker up?") from error
            except StoreUnavailable as error:
                raise Unreadable("the gateway database does not answer") from error
            return self._content("letters", found=found, replayed=replayed, may_act=may_act)

        key = "letters:act" if may_act else "letters:look"
        return self._panel("letters", read, key=key, interval_s=3.0)

    async def history(self) -> str:
        """Return the plot's points so far."""
        return points_json(self._history.points)

    async def _stock(self) -> Content:
        rows = await self._sources.stock()
        now = self._sources.now()
        points = self._history.points
        if not points or now.timestamp() - points[-1][0] > STALE_S:
            movements = await self._sources.movements(within_s=PLOT_S)
            self._history.tell_past(rows, movements, now=now)
        point = self._history.add(rows, now=now)
        lines = pool_lines(rows, self._product_name)
        without = [row for row in rows if is_empty(row)]
        content = self._content("stock", lines=lines, without=without)
        return {**content, "points": points_json([point])}

    def _panel(
        self,
        name: str,
        read: Callable[[], Awaitable[Content]],
        *,
        key: str | None = None,
        interval_s: float = 1.0,
    ) -> Panel:
        read_at: datetime | None = None

        async def dated() -> Content:
            nonlocal read_at
            content = await read()
            read_at = self._sources.now()
            return content

        def failed(reason: str, last: Content | None) -> Content:
            # What was rendered before is HTML already.
            before = Markup((last or {}).get(name, ""))  # noqa: S704
            return self._content(
                name, template="failed", reason=reason, last=before, read_at=read_at
            )

        return Panel(key=key or name, name=name, read=dated, failed=failed, interval_s=interval_s)

    def _content(self, name: str, *, template: str | None = None, **values: Any) -> Content:
        return {name: rendered(f"panels/{template or name}.html", **values)}
