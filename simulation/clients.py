"""Partners' calls: made at a gateway's use cases as its edge makes them, and checked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import date, datetime, timedelta

from libs.events.requests import NotExecuted, OutcomeUnknown
from libs.kernel.ids import pool_no_of
from services.gateway.app.call import Call, Outcome
from services.gateway.app.call import Write as Written
from services.gateway.app.orders import OrdersAsked
from services.gateway.app.positions import NOTHING, Marks, mark_of, merged
from services.gateway.app.reservation_reads import ReservationsAsked
from services.gateway.app.reservations import ActivateRequest, ReserveRequest
from services.gateway.domain.failure import StoreUnavailable, ViewBehind
from services.gateway.domain.paging import AskedPage
from services.gateway.domain.refusal import Refusal
from simulation.actions import Activate, Cancel, Read, Reserve
from simulation.gateway import Gateway
from simulation.ledger import Ledger
from simulation.market import CALLERS, HASHES, POOLS, hold_id, written_id
from simulation.promises import Answer, Asked, Promises
from simulation.scheduler import Scheduler

VIEW_WAIT_S = 1.5
ANSWER_WAIT_S = 1.8
Writing = Reserve | Activate | Cancel


class Clients:
    """All partners, and what each has been told."""

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        gateways: list[Gateway],
        ledger: Ledger,
        promises: Promises,
        now: Callable[[], datetime],
        broken: Callable[[str, str], None],
        heard: Callable[[Asked, Answer | None], None],
    ) -> None:
        self._scheduler = scheduler
        self._gateways = gateways
        self._ledger = ledger
        self._promises = promises
        self._now = now
        self._broken = broken
        self._heard = heard
        self._marks: dict[str, Marks] = {}
        self._seen: dict[int, dict[int, int]] = {}
        self._owed: dict[int, dict[str, set[str]]] = {}
        self._ends: dict[tuple[str, str, float], datetime] = {}
        self._calls = 0
        self._early: set[tuple[str, str]] = set()
        self.open_calls = 0
        self.asked: dict[tuple[str, str], Writing] = {}

    def forget(self, instance: int) -> None:
        """A gateway has died, and with it what it knew of its callers."""
        self._seen.pop(instance, None)
        self._owed.pop(instance, None)

    def write(self, action: Writing) -> None:
        """Make a call that may have an effect."""
        gateway = self._gateways[action.gateway]
        method, path, body = self._request(action)
        asked = Asked(
            action=action,
            started_s=self._scheduler.time(),
            command_id=written_id(action.partner, method, path, action.key),
            fingerprint=HASHES.fingerprint(body),
            scope=f"{action.partner} {method} {path} {action.key}",
        )
        question = (asked.scope, asked.fingerprint)
        self.asked.setdefault(question, action)
        # Who asks before the hold is there may get that answer late, in place of a repeat's.
        if self._id(action) not in self._promises.placed:
            self._early.add(question)
        asked.held = question not in self._early
        self._promises.sending(asked)
        gateway.client.fate = action.fate
        write = Written(
            call=self._call(action.partner, told=False),
            command_id=asked.command_id,
            fingerprint=asked.fingerprint,
        )
        self._start(gateway, asked, self._written(gateway, asked, write))

    def read(self, action: Read) -> None:
        """Make a call that only reads."""
        gateway = self._gateways[action.gateway]
        asked = Asked(action=action, started_s=self._scheduler.time())
        asked.floors = self._floors(action)
        id = self._id(action)
        hold = self._ledger.holds.get(id)
        own = hold is not None and hold.partner_id == action.partner
        if hold is not None:
            asked.life = hold.life
        owed = self._owed.get(action.gateway, {}).get(action.partner, set())
        if action.told:
            owed = self._promises.acknowledged.get(action.partner, set())
        asked.owed = frozenset(owed)
        if action.what == "reservation":
            asked.held = own and id in owed
        elif action.what in ("order", "tickets") and hold is not None:
            order_id = hold.order_id
            asked.held = own and order_id in self._ledger.orders
        call = self._call(action.partner, told=action.told)
        self._start(gateway, asked, self._reading(gateway, action, id, call))

    def _floors(self, action: Read) -> dict[int, int]:
        """Return from which number on each pool's figures may be shown.

        What this gateway has answered about a pool counts for everybody; the positions that
        a partner sends back count for all pools of their partitions.
        """
        floors = dict(self._seen.get(action.gateway, {}))
        if action.told:
            marks = self._marks.get(action.partner, NOTHING)
            for plan in POOLS.values():
                _, seq = marks.get(("inventory", plan.partition), (0, 0))
                floors[plan.pool_no] = max(seq, floors.get(plan.pool_no, 0))
        return floors

    def _call(self, partner_id: str, *, told: bool) -> Call:
        self._calls += 1
        now_s = self._scheduler.time()
        return Call(
            caller=CALLERS[partner_id],
            request_id=f"call-{self._calls}",
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            marks=self._marks.get(partner_id, NOTHING) if told else NOTHING,
            view_deadline=now_s + VIEW_WAIT_S,
            deadline=now_s + ANSWER_WAIT_S,
        )

    def _request(self, action: Writing) -> tuple[str, str, dict[str, object]]:
        if isinstance(action, Reserve):
            body: dict[str, object] = {
                "product_id": action.product_id,
                "quantity": action.quantity,
                "visit_date": action.visit,
            }
            expires_at = self._end(action)
            if expires_at is not None:
                body["reservation_expires_at"] = expires_at.isoformat()
            return "POST", "/api/ota/reserve", body
        target = action.hold
        path = f"/api/ota/reservations/{hold_id(target.partner, target.key, target.product_id)}"
        if isinstance(action, Activate):
            types = action.types if isinstance(action.types, str) else list(action.types)
            return "POST", f"{path}/activate", {"customer_type": types}
        return "DELETE", path, {}

    def _end(self, action: Reserve) -> datetime | None:
        """The client's own instant; a repeat says the same one as the first."""
        if action.seconds is None:
            return None
        key = (action.partner, action.key, action.seconds)
        return self._ends.setdefault(key, self._now() + timedelta(seconds=action.seconds))

    def _id(self, action: Writing | Read) -> str:
        target = action.hold if not isinstance(action, Reserve) else None
        if target is None:
            return ""
        return hold_id(target.partner, target.key, target.product_id) or ""

    def _start(self, gateway: Gateway, asked: Asked, work: Coroutine[None, None, Answer]) -> None:
        task = self._scheduler.create_task(self._answered(gateway, asked, work))
        gateway.tasks[task] = None  # in order, so that they end in order
        task.add_done_callback(lambda done: gateway.tasks.pop(done, None))

    async def _answered(
        self, gateway: Gateway, asked: Asked, work: Coroutine[None, None, Answer]
    ) -> None:
        self.open_calls += 1
        try:
            answer = await work
        except asyncio.CancelledError:
            self._promises.unanswered(asked)
            self._heard(asked, None)
            raise
        except (StoreUnavailable, ViewBehind, NotExecuted):
            answer = Answer("NOT_EXECUTED")
        except OutcomeUnknown:
            answer = Answer("OUTCOME_UNKNOWN")
        except Exception as error:
            self._broken("internal error", f"{asked.action}: {error!r}")
            return
        finally:
            self.open_calls -= 1
        self._heard(asked, answer)
        self._promises.told(asked, answer, self._scheduler.time())
        action = asked.action
        if isinstance(action, Reserve) and answer.word == "ok":
            id = self._hold_of(action)
            owed = self._owed.setdefault(gateway.instance, {})
            owed.setdefault(action.partner, set()).add(id)

    def _hold_of(self, action: Writing) -> str:
        if not isinstance(action, Reserve):
            return self._id(action)
        return hold_id(action.partner, action.key, action.product_id) or ""

    async def _written(self, gateway: Gateway, asked: Asked, write: Written) -> Answer:
        action = asked.action
        assert not isinstance(action, Read)
        outcome = await self._carried_out(gateway, action, write)
        if outcome.reply is not None:
            partner = action.partner
            marks = mark_of(outcome.reply)
            self._marks[partner] = merged(self._marks.get(partner, NOTHING), marks)
            pool_no = pool_no_of(self._hold_of(action))
            if outcome.reply.source == "inventory" and pool_no is not None:
                seen = self._seen.setdefault(gateway.instance, {})
                seen[pool_no] = max(outcome.reply.position.seq, seen.get(pool_no, 0))
        return Answer.of(
            outcome.content, replayed=outcome.replayed, decided=outcome.reply is not None
        )

    async def _carried_out(self, gateway: Gateway, action: Writing, write: Written) -> Outcome:
        match action:
            case Reserve():
                request = ReserveRequest(
                    product_id=action.product_id,
                    quantity=action.quantity,
                    expires_at=self._end(action),
                    visit_date=date.fromisoformat(action.visit) if action.visit else None,
                    customer_reference=None,
                )
                return await gateway.reservations.place(write, request)
            case Activate():
                activation = ActivateRequest(
                    customer_name="Tai Man",
                    customer_email="tai.man@example.com",
                    customer_phone="+85291234567",
                    payment_reference="PAY-1",
                    customer_types=action.types,
                    visit_date=None,
                    special_requests=None,
                )
                return await gateway.reservations.activate(
                    write, self._id(action), activation, images=False
                )
            case Cancel():
                return await gateway.reservations.cancel(write, self._id(action))

    async def _reading(self, gateway: Gateway, action: Read, id: str, call: Call) -> Answer:
        try:
            async with asyncio.timeout_at(call.deadline):
                content = await self._shown(gateway, action, id, call)
        except TimeoutError as error:
            raise StoreUnavailable("no answer in time") from error
        return Answer.of(content)

    async def _shown(self, gateway: Gateway, action: Read, id: str, call: Call) -> bytes | Refusal:
        page = AskedPage(size=100)
        hold = self._ledger.holds.get(id)
        order_id = (hold.order_id if hold is not None else None) or "ORD-0000000000000"
        match action.what:
            case "inventory":
                return (await gateway.inventory.stock(call, None)).body
            case "reservation":
                return await gateway.reads.one(call, id)
            case "reservations":
                every = ReservationsAsked(status=None, product_id=None, customer_reference=None)
                return await gateway.reads.page(call, every, page)
            case "order":
                return await gateway.orders.one(call, order_id)
            case "tickets":
                return await gateway.orders.tickets(call, order_id, page, images=False)
            case "orders":
                all_orders = OrdersAsked(
                    product_id=None,
                    created_from=None,
                    created_before=None,
                    payment_reference=None,
                    confirmation_code=None,
                )
                return await gateway.orders.page(call, all_orders, page)
