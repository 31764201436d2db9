"""Where the panels' figures come from: read views, the gateway's own tables, ops ports, Prometheus.

Everything here is read; each source is asked on connections of the console's own, so that who
looks never takes one from a partner's call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import aiohttp
import structlog

from libs.kernel.ids import is_order_id, pool_no_of
from libs.runtime.supervise import spawn
from services.gateway.console.alerts import AlertBoard, board_of
from services.gateway.console.events import (
    PAGE_SIZE,
    EventFilter,
    EventLine,
    EventPage,
    LogScan,
    page_of,
    read_place,
)
from services.gateway.console.health import (
    LagLine,
    Progress,
    ServiceLine,
    lag_lines,
    service_line,
)
from services.gateway.console.live import Unreadable
from services.gateway.console.partners import PartnerLine, partner_lines
from services.gateway.console.stock import MOVEMENT_TYPES, Movement
from services.gateway.console.story import (
    HoldFacts,
    LifeFacts,
    OrderFacts,
    Story,
    TicketFacts,
    Told,
    tell,
)
from services.gateway.domain.failure import StoreUnavailable
from services.gateway.store.audit import AuditFilter, AuditStore
from services.gateway.store.console_views import LogViews, StoryViews
from services.gateway.store.customer_orders import CustomerOrders
from services.gateway.store.database import Pool
from services.gateway.store.directory import DirectoryStore
from services.gateway.store.quotas import QuotaStore
from services.gateway.store.stock_views import StockRow, StockViews

log = structlog.get_logger()

CALLS_SHOWN = 100
OPS_TIMEOUT_S = 1.0
PAGE_BYTES_MAX = 2_000_000


class Sources:
    """Asks everybody; raises Unreadable with words for operators."""

    def __init__(
        self,
        *,
        own: Pool,
        views: Mapping[str, Pool],
        services: Callable[[], Mapping[str, str]],
        prometheus_url: str,
        grafana_url: str,
        pools_of_product: Callable[[int], Sequence[int]],
        now: Callable[[], datetime],
    ) -> None:
        self._logs = {name: LogViews(pool) for name, pool in views.items()}
        self._stock = StockViews(views["inventory"])
        self._stories = StoryViews(**views)
        self._orders = CustomerOrders(views["fulfillment"])
        self._audit = AuditStore(own)
        self._directory = DirectoryStore(own)
        self._quotas = QuotaStore(own)
        self._services = services
        self._prometheus_url = prometheus_url
        self._grafana_url = grafana_url
        self._pools_of_product = pools_of_product
        self.now = now

    async def stock(self) -> Sequence[StockRow]:
        """Return every pool."""
        rows: Sequence[StockRow] = await _asked("inventory", self._stock.pools())
        return rows

    async def movements(self, *, within_s: float) -> Sequence[Movement]:
        """Return what moved units lately, newest first."""
        rows = await _asked(
            "inventory", self._logs["inventory"].movements(types=MOVEMENT_TYPES, within_s=within_s)
        )
        return [Movement(**dict(row)) for row in rows]

    async def due(self, *, limit: int) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, int]]:
        """Return the holds that end first, and counts of all."""
        rows, counts = await _asked("reservation", self._stories.due(limit=limit))
        return [dict(row) for row in rows], dict(counts)

    async def events(self, asked: EventFilter) -> EventPage:
        """Return a page of the stream."""
        if asked.reservation_id is not None:
            lines = await self._about(asked.reservation_id, asked.services)
            lines = [line for line in lines if asked.type in (None, line.type)]
            return EventPage(lines=lines[::-1], older=None, searched_to=None)
        place = read_place(asked.before)
        pools = self._pools_of_product(asked.product_id) if asked.product_id is not None else None
        found = await _all(
            {
                name: self._scan(name, asked, place, pools)
                for name in asked.services
                if asked.before is None or any(service == name for service, _ in place)
            }
        )
        return page_of([scan for scans in found.values() for scan in scans])

    async def _scan(
        self,
        service: str,
        asked: EventFilter,
        place: Mapping[tuple[str, int], int],
        pools: Sequence[int] | None,
    ) -> list[LogScan]:
        rows = await _asked(
            service,
            self._logs[service].stream(
                below={part: below for (name, part), below in place.items() if name == service},
                type=asked.type,
                pool_nos=pools,
                partner_id=asked.partner_id,
                search=asked.is_search,
                limit=PAGE_SIZE + 1,
            ),
        )
        by_log: dict[int, list[Any]] = {}
        for row in rows:
            by_log.setdefault(row["log"], []).append(row)
        return [_scanned(service, partition, found) for partition, found in by_log.items()]

    async def _about(self, subject: str, services: Sequence[str]) -> list[EventLine]:
        found = await _all(
            {name: _asked(name, self._logs[name].about(subject)) for name in services}
        )
        lines = [_line(name, row) for name, rows in found.items() for row in rows]
        return sorted(lines, key=lambda line: line.at)

    async def story(self, reservation_id: str) -> Story:
        """Return what everybody knows of a reservation; who is away is named in it."""
        parts = {
            **{name: views.about(reservation_id) for name, views in self._logs.items()},
            "hold": self._stories.hold(reservation_id),
            "life": self._stories.life(reservation_id),
            "order": self._stories.order(reservation_id),
            "calls": self._calls(reservation_id),
        }
        owners = {"hold": "inventory", "life": "reservation", "order": "fulfillment"}
        owners["calls"] = "the gateway's database"
        away: set[str] = set()

        async def tried(name: str, part: Any) -> Any:
            try:
                return await part
            except StoreUnavailable:
                away.add(owners.get(name, name))
                return None

        found = await _all({name: tried(name, part) for name, part in parts.items()})
        if len(away) == len(self._logs) + 1:
            raise Unreadable("no database can be asked: is PostgreSQL up?")
        hold, life, order = found["hold"], found["life"], found["order"]
        events = [_line(name, row) for name in self._logs for row in found[name] or ()]
        told = Told(
            reservation_id=reservation_id,
            hold=None if hold is None else HoldFacts(**dict(hold)),
            life=None if life is None else LifeFacts(**dict(life)),
            order=None if order is None else _order(*order),
            events=sorted(events, key=lambda line: line.at),
            calls=found["calls"] or (),
            away=sorted(away),
        )
        return tell(told, now=self.now())

    async def _calls(self, reservation_id: str) -> Sequence[Any]:
        return await self._audit.rows(AuditFilter(reservation_id=reservation_id), limit=CALLS_SHOWN)

    async def reservations_named(self, text: str) -> Sequence[str]:
        """Return the reservations that an id leads to: of an order, a ticket, a call, their own."""
        if pool_no_of(text.replace("RES_", "res_")) is not None:
            return [text.replace("RES_", "res_")]
        if is_order_id(text):
            found = await _asked("fulfillment", self._orders.reservation_of(text))
            return [found] if found is not None else []
        if text.startswith("CONF-"):
            found = await _asked("fulfillment", self._stories.of_confirmation(text))
            return [found] if found is not None else []
        found = await _asked("fulfillment", self._stories.of_ticket(text))
        if found is not None:
            return [found]
        rows = await _asked(
            "the gateway", self._audit.rows(AuditFilter(request_id=text), limit=CALLS_SHOWN)
        )
        return list(dict.fromkeys(row.reservation_id for row in rows if row.reservation_id))

    async def partners(self) -> Sequence[PartnerLine]:
        """Return all partners with their use and their keys."""
        look = await _asked("the gateway", self._directory.look())
        quotas = await _asked("the gateway", self._quotas.read_quotas(list(look.state.partners)))
        return partner_lines(look, quotas)

    async def lag(self) -> Sequence[LagLine]:
        """Return how far each service is behind those that it follows."""
        found = await _all({name: self._progress(name) for name in self._logs})
        lines = lag_lines([each for heads in found.values() for each in heads])
        waited = await _all(
            {
                number: _asked(line.source, self._logs[line.source].oldest(line.waiting))
                for number, line in enumerate(lines)
                if line.waiting
            }
        )
        return [replace(line, since=waited.get(number)) for number, line in enumerate(lines)]

    async def _progress(self, name: str) -> list[Progress]:
        rows = await _asked(name, self._logs[name].progress())
        return [
            Progress(service=name, partition=partition, seq=seq, inputs=inputs)
            for partition, seq, inputs in rows
        ]

    async def services(self) -> Sequence[ServiceLine]:
        """Return what each service says on its ops port; one that is silent says so by that."""
        addresses = self._services()
        async with _session() as session:
            found = await _all(
                {name: self._service(session, name, url) for name, url in addresses.items()}
            )
        return list(found.values())

    async def _service(self, session: aiohttp.ClientSession, name: str, url: str) -> ServiceLine:
        try:
            async with session.get(f"{url}/readyz?verbose") as answer:
                ready = await answer.json()
            async with session.get(f"{url}/metrics") as answer:
                metrics = (await answer.content.read(PAGE_BYTES_MAX)).decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return service_line(name, url, ready=None, metrics="")
        return service_line(name, url, ready=ready, metrics=metrics)

    async def alerts(self) -> AlertBoard | None:
        """Return what Prometheus says, None if there is no Prometheus to be asked."""
        if not self._prometheus_url:
            return None
        url = f"{self._prometheus_url.rstrip('/')}/api/v1/rules?type=alert"
        try:
            async with _session() as session, session.get(url) as answer:
                if answer.status != 200:
                    raise Unreadable(f"Prometheus answers with {answer.status}")
                return board_of(await answer.json(), grafana_url=self._grafana_url)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unreadable(f"Prometheus can't be asked ({type(error).__name__})") from error


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=OPS_TIMEOUT_S))


async def _asked(service: str, question: Any) -> Any:
    """Return an answer; raises Unreadable."""
    try:
        return await question
    except StoreUnavailable as error:
        where = service if service.startswith("the ") else f"the {service}"
        raise Unreadable(f"{where} database does not answer") from error


async def _all(questions: Mapping[Any, Any]) -> dict[Any, Any]:
    """Ask everybody at once; raises what the first raised."""
    tasks: dict[Any, asyncio.Task[Any]] = {}
    try:
        async with asyncio.TaskGroup() as group:
            for name, question in questions.items():
                tasks[name] = spawn(group, "console question", question)
    except ExceptionGroup as group_failure:
        raise group_failure.exceptions[0] from None
    return {name: task.result() for name, task in tasks.items()}


def _scanned(service: str, partition: int, rows: Sequence[Any]) -> LogScan:
    lines = [_line(service, row) for row in rows if row["seq"] is not None]
    low, low_at = rows[0]["low"], rows[0]["low_at"]
    if len(lines) > PAGE_SIZE:  # there was no room for more: nothing below was looked at
        low, low_at = lines[-1].seq, lines[-1].at
    return LogScan(service=service, partition=partition, lines=lines, low=low, low_at=low_at)


def _line(service: str, row: Any) -> EventLine:
    names = set(EventLine.__dataclass_fields__) - {"service"}
    return EventLine(service=service, **{name: row[name] for name in names})


def _order(order: Any, tickets: Sequence[Any]) -> OrderFacts:
    return OrderFacts(**dict(order), tickets=[TicketFacts(**dict(each)) for each in tickets])
