"""What the load's partners do: the day's mix, repeats, races, rushes. Each deed judges its answers.

Every choice comes from one generator of numbers; only time and the answers are not ours.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from chaos.caller import API, Call, Caller, Partner
from chaos.model import Answer, Hold, Model

PRODUCTS = (106, 107, 108)
MASS_PRODUCT = 109
HOLD_S = (5.0, 30.0)
RACE_SLACK_S = 0.05
RACE_HOLD_S = (3.0, 5.0)
LAST_UNITS = 10
RACE_SHARE = 0.005
MASS_AT_ONCE = 48
TYPES = ("adult", "child", "elderly")
Judge = Callable[[Answer], object]


class Agency:
    """All partners of the load and what they know."""

    def __init__(self, *, caller: Caller, model: Model, partners: list[Partner], seed: int) -> None:
        self._caller, self.model = caller, model
        self._sellers = [each for each in partners if each.channel == "ota"]
        self._watchers = [each for each in partners if each.channel != "ota"]
        self._dice = random.Random(seed)
        self._free: dict[str, deque[Hold]] = {each.name: deque() for each in partners}
        self._orders: dict[str, deque[str]] = {each.name: deque(maxlen=200) for each in partners}
        self._positions: dict[str, str] = {}
        self._etags: dict[str, str] = {}
        self._watched: dict[int, int] = {}
        self._keys = 0
        self._seed = seed
        self.canaries: list[str] = []

    def _key(self) -> str:
        self._keys += 1
        return f"c{self._seed}-{self._keys}-{self._dice.getrandbits(40):x}"

    async def arrive(self) -> None:
        """Do one thing of the day's mix."""
        partner = self._dice.choice(self._sellers)
        if self._dice.random() < RACE_SHARE:
            await self.race()
            return
        draw = self._dice.random()
        if draw < 0.60:
            await self.look(partner)
        elif draw < 0.80:
            await self.reserve(partner)
        elif draw < 0.94:
            free = self._free[partner.name]
            if not free:
                await self.reserve(partner)
            elif draw < 0.90:
                await self.activate(partner, free.popleft())
            else:
                await self.cancel(partner, free.popleft())
        else:
            await self.list_something(partner)

    async def look(self, partner: Partner) -> None:
        """Read the inventory, now and then as the other channel, with an ETag or a position."""
        if self._dice.random() < 0.05:
            partner = self._dice.choice(self._watchers)
        wanted = self._dice.sample(PRODUCTS, self._dice.randint(1, 3))
        path = f"{API}/inventory?product_ids={','.join(map(str, wanted))}"
        headers: dict[str, str] = {}
        if self._dice.random() < 0.1 and (position := self._positions.get(partner.name)):
            headers["OTA-Position"] = position
        if self._dice.random() < 0.1 and (etag := self._etags.get(partner.name + path)):
            headers["If-None-Match"] = etag
        answer = await self._caller.send(
            Call(partner=partner, op="inventory", method="GET", path=path, headers=headers)
        )
        if answer.status != 200:
            return
        if "ETag" in answer.headers:
            self._etags[partner.name + path] = answer.headers["ETag"]
        figures = {int(k): v for k, v in answer.body["available_quantities"].items()}
        if partner.channel != "ota":
            self._unmoved(figures)
        elif any(0 < left <= LAST_UNITS for left in figures.values()):
            await self._last_units(figures)

    def _unmoved(self, figures: dict[int, int]) -> None:
        """Nobody sells in the other channel: its figures never change."""
        for product, left in figures.items():
            if self._watched.setdefault(product, left) != left:
                self.model.complain(f"{product} in the other channel: {left} left")

    async def _last_units(self, figures: dict[int, int]) -> None:
        """Several ask for the last units at once, now and then."""
        if self._dice.random() > 0.05:
            return
        product = self._dice.choice([p for p, left in figures.items() if 0 < left <= LAST_UNITS])
        async with asyncio.TaskGroup() as group:
            for _ in range(12):
                group.create_task(self.reserve(self._dice.choice(self._sellers), product, 1))

    async def reserve(
        self,
        partner: Partner,
        product: int | None = None,
        quantity: int | None = None,
        *,
        until_s: float | None = None,
        kept: bool = True,
    ) -> Hold | None:
        """Ask for a hold; unless *kept* is false, it may later be activated or cancelled."""
        ends_s = time.time() + self._dice.uniform(*HOLD_S) if until_s is None else until_s
        body = {
            "product_id": product or self._dice.choice(PRODUCTS),
            "quantity": quantity or self._dice.choice((1, 1, 1, 2, 2, 3, 4, 8)),
            "reservation_expires_at": datetime.fromtimestamp(ends_s, UTC).isoformat(),
        }
        call = Call(
            partner=partner,
            op="reserve",
            method="POST",
            path=f"{API}/reserve",
            key=self._key(),
            body=body,
        )
        found: list[Hold] = []

        def judge(answer: Answer) -> None:
            hold = self.model.reserved(partner=partner.name, asked=body, answer=answer)
            if hold is not None and hold not in found:
                found.append(hold)

        other = {**body, "quantity": int(str(body["quantity"])) + 1}
        await self._mutate(call, judge, other=other)
        if not found:
            return None
        if kept:
            self._free[partner.name].append(found[0])
        if self._dice.random() < 0.1:
            await self._read_own(partner, found[0])
        return found[0]

    async def _read_own(self, partner: Partner, hold: Hold) -> None:
        """What was promised is there for whoever shows the position of the promise."""
        position = self._positions.get(partner.name)
        answer = await self._caller.send(
            Call(
                partner=partner,
                op="get_reservation",
                method="GET",
                path=f"{API}/reservations/{hold.reservation_id}",
                headers={"OTA-Position": position} if position else {},
            )
        )
        if position and answer.status == 404:
            self.model.complain(f"{hold.reservation_id}: promised, not to be read (404)")

    async def activate(self, partner: Partner, hold: Hold) -> Answer:
        """Turn a hold into an order."""
        mark = f"{self._dice.getrandbits(64):016x}"
        name, email = f"Canary{mark} 陳", f"canary.{mark}@example.com"
        self.canaries += [f"Canary{mark}", email]
        body: dict[str, Any] = {
            "customer_details": {"name": name, "email": email, "phone": "+852 9123 4567"},
            "payment_reference": f"PAY-canary-{mark}",
            "customer_type": [self._dice.choice(TYPES) for _ in range(hold.quantity)],
        }
        self.canaries.append(f"PAY-canary-{mark}")
        call = Call(
            partner=partner,
            op="activate",
            method="POST",
            path=f"{API}/reservations/{hold.reservation_id}/activate",
            key=self._key(),
            body=body,
        )
        other = {**body, "payment_reference": f"PAY-other-{mark}"}
        answer = await self._mutate(
            call, lambda each: self.model.activated(hold, each), other=other
        )
        if answer.status == 201:
            self._orders[partner.name].append(answer.body["order_id"])
        return answer

    async def cancel(self, partner: Partner, hold: Hold) -> None:
        """Give a hold back."""
        call = Call(
            partner=partner,
            op="cancel",
            method="DELETE",
            path=f"{API}/reservations/{hold.reservation_id}",
            key=self._key(),
        )
        await self._mutate(call, lambda each: self.model.cancelled(hold, each), other=None)

    async def _mutate(self, call: Call, judge: Judge, *, other: dict[str, Any] | None) -> Answer:
        """Settle a call; some come twice, at once or later, and some keys with another body."""
        draw = self._dice.random()
        if draw < 0.05:
            async with asyncio.TaskGroup() as both:
                tasks = [both.create_task(self._caller.settle(call)) for _ in range(2)]
            first, second = (task.result() for task in tasks)
            judge(first)
            self._compare(call, first, second)
            judge(second)
            first = second if first.unknown or first.not_done else first
        else:
            first = await self._caller.settle(call)
            judge(first)
            if draw < 0.10:
                await asyncio.sleep(self._dice.uniform(0.0, 5.0))
                self._compare(call, first, await self._caller.settle(call))
            elif draw < 0.12 and other is not None:
                again = await self._caller.settle(replace(call, body=other, op=call.op))
                self.model.reused(first, again, what=f"{call.op} {call.key}")
        if position := first.headers.get("OTA-Position"):
            self._positions[call.partner.name] = position
        return first

    def _compare(self, call: Call, first: Answer, second: Answer) -> None:
        if not (first.unknown or first.not_done):
            self.model.repeated(first, second, what=f"{call.op} {call.key}")

    async def list_something(self, partner: Partner) -> None:
        """Read a list, or an order with its tickets."""
        orders = self._orders[partner.name]
        draw = self._dice.random()
        op, path = "list_reservations", "/reservations?status=all&page_size=10"
        if draw < 0.3:
            op, path = "list_orders", "/orders?page_size=10"
        elif draw < 0.7 and orders:
            op, path = "list_tickets", f"/orders/{self._dice.choice(orders)}/tickets"
        elif orders:
            op, path = "get_order", f"/orders/{self._dice.choice(orders)}"
        await self._caller.send(Call(partner=partner, op=op, method="GET", path=API + path))

    async def race(self) -> None:
        """Activate a hold in the very moment in which it ends."""
        partner = self._dice.choice(self._sellers[:-1])
        until_s = time.time() + self._dice.uniform(*RACE_HOLD_S)
        hold = await self.reserve(partner, MASS_PRODUCT, 1, until_s=until_s, kept=False)
        if hold is None:
            return
        at_s = hold.expires_at_s + self._dice.uniform(-RACE_SLACK_S, RACE_SLACK_S)
        await asyncio.sleep(max(0.0, at_s - time.time()))
        answer = await self.activate(partner, hold)
        self.model.counts[f"race {answer.status} {answer.word}".strip()] += 1

    async def hot(self, *, clients: int) -> None:
        """Many ask for one product at once, and many with one and the same key."""
        product = self._dice.choice(PRODUCTS)
        partner = self._dice.choice(self._sellers[:-1])
        same = Call(
            partner=partner,
            op="reserve",
            method="POST",
            path=f"{API}/reserve",
            key=self._key(),
            body={
                "product_id": product,
                "quantity": 1,
                "reservation_expires_at": datetime.fromtimestamp(
                    time.time() + HOLD_S[1], UTC
                ).isoformat(),
            },
        )
        answers: list[Answer] = []

        async def repeat(number: int) -> None:
            answers.append(await self._caller.settle(same, client=f"{partner.name}-{number}"))

        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                seller = self._dice.choice(self._sellers[:-1])
                group.create_task(self.reserve(seller, product, 1))
                if number % 5 == 0:
                    group.create_task(repeat(number))
        known = [each for each in answers if not each.unknown and not each.not_done]
        for each in known:
            self.model.reserved(partner=partner.name, asked=same.body or {}, answer=each)
            self.model.repeated(known[0], each, what=f"one key at once {same.key}")

    async def mass(self, *, holds: int, due_in_s: float) -> None:
        """Have many holds end in the same instant."""
        until_s = float(int(time.time() + due_in_s))
        left = holds

        async def some() -> None:
            nonlocal left
            while left > 0 and time.time() < until_s - 1.0:
                left -= 1
                seller = self._dice.choice(self._sellers[:-1])
                await self.reserve(seller, MASS_PRODUCT, 1, until_s=until_s, kept=False)

        async with asyncio.TaskGroup() as group:
            for _ in range(MASS_AT_ONCE):
                group.create_task(some())
