"""What is checked at the end, by the partners' API alone: everything promised is there, nothing
else is, and everything works again.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from chaos.caller import API, SLOW_S, Call, Caller, Partner

PAGE = 100
SAMPLE_MAX = 1_500
AT_ONCE = 8
WORDS_MAX = 20
PROMISED = "every promised hold is there, as promised"
TIMEOUT_S = 10.0
HELD_SLACK_NS = 2_500_000_000
"""How long after a gateway goes on it may still answer what it had held."""
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what it looked at, and what was wrong (nothing, if it passed).

    *timed* ones are about how quick something was, which says little on a machine that is shared.
    *excused* counts what would have been wrong, by why it was not.
    """

    name: str
    looked_at: int
    wrong: tuple[str, ...] = ()
    timed: bool = False
    excused: Mapping[str, int] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Say whether all was right, and there was something to look at."""
        return not self.wrong and self.looked_at > 0


class Reader:
    """Reads as a partner; raises ValueError for anything but 200."""

    def __init__(self, session: aiohttp.ClientSession, urls: Sequence[str]) -> None:
        self._session, self._urls = session, urls
        self._turn = 0

    async def get(self, partner: Partner, path: str) -> Any:
        """Return the body of a GET."""
        self._turn += 1
        url = self._urls[self._turn % len(self._urls)]
        async with self._session.get(
            url + API + path, headers={"X-API-Key": partner.key}
        ) as response:
            raw = await response.read()
            if response.status == 429:
                await asyncio.sleep(float(response.headers.get("Retry-After", 5)))
                return await self.get(partner, path)
            if response.status != 200:
                raise ValueError(f"{path}: {response.status} {raw[:200]!r}")
            return json.loads(raw)

    async def walk(self, partner: Partner, path: str, name: str) -> list[dict[str, Any]]:
        """Return all rows of a list."""
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await self.get(partner, f"{path}page_size={PAGE}{cursor}")
            rows += page[name]
            if not page.get("next_cursor"):
                return rows
            cursor = f"&cursor={page['next_cursor']}"


async def owed(
    reader: Reader, partners: Sequence[Partner], model: Mapping[str, Any], *, seed: int
) -> list[Finding]:
    """Compare what the model is owed with what the API shows."""
    reservations: dict[str, dict[str, Any]] = {}
    orders: dict[str, dict[str, Any]] = {}
    for partner in partners:
        for row in await reader.walk(partner, "/reservations?status=all&", "reservations"):
            reservations[row["reservation_id"]] = row
        for row in await reader.walk(partner, "/orders?", "orders"):
            orders[row["order_id"]] = row
    holds = model["holds"]
    by_name = {each.name: each for each in partners}
    activated = [each for each in holds if each["state"] == "activated" and each["tickets"]]
    sample = random.Random(seed).sample(activated, min(SAMPLE_MAX, len(activated)))
    return [
        Finding(PROMISED, len(holds), _holds(holds, reservations)),
        Finding("every activation has its order", len(activated), _orders(activated, orders)),
        Finding("one order for one reservation", len(orders), _once(orders, reservations)),
        Finding(
            "every sold unit has its ticket, as told",
            len(sample),
            await _tickets(reader, by_name, sample),
        ),
        await _conserved(reader, partners[0], reservations.values()),
    ]


def _holds(holds: Sequence[Mapping[str, Any]], shown: Mapping[str, Any]) -> tuple[str, ...]:
    wrong = []
    for hold in holds:
        row = shown.get(hold["reservation_id"])
        wanted = hold["state"] if hold["state"] != "active" else "expired"
        if row is None:
            wrong.append(f"{hold['reservation_id']} of {hold['partner']}: not there")
        elif row["quantity"] != hold["quantity"] or row["product_id"] != hold["product"]:
            wrong.append(f"{hold['reservation_id']}: {row['quantity']} of {row['product_id']}")
        elif row["status"] != wanted and not (
            # Nobody was told how an unresolved call ended: any end is true.
            hold["state"] == "active" and row["status"] in ("cancelled", "activated")
        ):
            wrong.append(f"{hold['reservation_id']}: {row['status']}, told {hold['state']}")
    return tuple(wrong[:WORDS_MAX])


def _orders(activated: Sequence[Mapping[str, Any]], orders: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"{each['reservation_id']}: {each['order_id']} is not there or of another quantity"
        for each in activated
        if orders.get(each["order_id"], {}).get("reservation_id") != each["reservation_id"]
        or orders[each["order_id"]]["quantity"] != each["quantity"]
    )[:WORDS_MAX]


def _once(orders: Mapping[str, Any], reservations: Mapping[str, Any]) -> tuple[str, ...]:
    by_reservation: defaultdict[str, list[str]] = defaultdict(list)
    for name, row in orders.items():
        by_reservation[row["reservation_id"]].append(name)
    wrong = [f"{name}: {found}" for name, found in by_reservation.items() if len(found) > 1]
    for name, row in reservations.items():
        if (row["status"] == "activated") != (name in by_reservation):
            wrong.append(f"{name}: {row['status']}, orders {by_reservation.get(name, [])}")
    return tuple(wrong[:WORDS_MAX])


async def _tickets(
    reader: Reader, partners: Mapping[str, Partner], sample: Sequence[Mapping[str, Any]]
) -> tuple[str, ...]:
    wrong: list[str] = []
    left = list(sample)

    async def some() -> None:
        while left:
            each = left.pop()
            path = f"/orders/{each['order_id']}/tickets"
            try:
                rows = (await reader.get(partners[each["partner"]], path))["tickets"]
            except (ValueError, aiohttp.ClientError, TimeoutError) as error:
                wrong.append(f"{path}: {error!r}")
                continue
            if sorted(row["ticket_code"] for row in rows) != sorted(each["tickets"]):
                wrong.append(f"{path}: {len(rows)} tickets, told {len(each['tickets'])}, or others")

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(some())
    return tuple(wrong[:WORDS_MAX])


async def _conserved(reader: Reader, partner: Partner, rows: Any) -> Finding:
    """What is not available any more is what the partners hold and have bought."""
    out: defaultdict[int, int] = defaultdict(int)
    for row in rows:
        if row["status"] in ("active", "activated"):
            out[row["product_id"]] += row["quantity"]
    shown = (await reader.get(partner, "/inventory"))["inventory"]
    wrong = [
        f"{row['product_id']}: {row['capacity'] - row['available']} gone, {out[row['product_id']]} "
        "held and sold"
        for row in shown
        if row["capacity"] - row["available"] != out[row["product_id"]]
    ]
    return Finding("allotted = available + held + sold", len(shown), tuple(wrong))


async def works(caller: Caller, urls: Sequence[str], partner: Partner) -> str:
    """Do one of everything at each gateway; return what does not work, empty if all does."""
    for url in urls:
        for path in ("/inventory", "/reservations", "/orders"):
            call = Call(partner=partner, op="probe", method="GET", path=API + path, url=url)
            if (answer := await caller.send(call)).status != 200:
                return f"GET {path}: {answer.status} {answer.word}"
        for product in (106, 107, 108, 109):
            if word := await _reserve_and_cancel(caller, partner, url, product):
                return word
    return ""


async def _reserve_and_cancel(caller: Caller, partner: Partner, url: str, product: int) -> str:
    body = {
        "product_id": product,
        "quantity": 1,
        "reservation_expires_at": datetime.fromtimestamp(time.time() + 20, UTC).isoformat(),
    }

    def call(op: str, method: str, path: str, body: Mapping[str, Any] | None) -> Call:
        key = f"probe-{uuid.uuid4()}"
        return Call(
            partner=partner, op=op, method=method, path=API + path, key=key, body=body, url=url
        )

    held = await caller.send(call("reserve", "POST", "/reserve", body))
    if held.status == 409:
        return ""  # sold out is an answer
    if held.status != 201:
        return f"reserve of {product}: {held.status} {held.word}"
    name = held.body["reservation_id"]
    freed = await caller.send(call("cancel", "DELETE", f"/reservations/{name}", None))
    return "" if freed.status == 204 else f"cancel: {freed.status} {freed.word}"


@dataclass(frozen=True, slots=True)
class Wait:
    """A process could have run for *waited_s* before *at_ns* and had no processor."""

    name: str
    at_ns: int
    waited_s: float


def slow_answers(
    slow: Sequence[Mapping[str, Any]],
    *,
    gateways: Mapping[str, str],
    faults: Sequence[Mapping[str, Any]],
    lags: Sequence[tuple[int, float]],
    waits: Sequence[Wait],
    answers: int,
) -> Finding:
    """No call takes 2 s, answered or not, but those that a hurt gateway held.

    Only faults that kill, stop or cut off a gateway hold anything; it is told what each excused.
    *lags* are of the harness itself (when, how long): on a machine that is short of processors the
    load and the proxy are late themselves, and that is no time of the gateway's. Neither is the
    time in which the gateway waited for a processor.
    """
    wrong, excused = [], Counter[str]()
    for each in slow:
        name = gateways.get(each["gateway"], "")
        begin, end = each["invoked_ns"], each["completed_ns"]
        own_s = sum(
            sorted((x for at, x in lags if begin <= at <= end + SECOND_NS), reverse=True)[:4]
        )
        waited_s = sum(
            x.waited_s for x in waits if x.name == name and begin <= x.at_ns <= end + SECOND_NS // 4
        )
        if held := _held(name, begin, end, faults):
            excused[held] += 1
        elif each["took_s"] - own_s < SLOW_S:
            excused["the harness's own lag"] += 1
        elif each["took_s"] - own_s - waited_s < SLOW_S:
            excused["a gateway without a processor"] += 1
        else:
            wrong.append(
                f"{each['op']} {each['status'] or 'without an answer'} took {each['took_s']} s "
                f"(limit {SLOW_S:g} s) at {name}, completed_ns {end}"
            )
    return Finding(
        "no call takes 2 s, answered or not",
        answers,
        tuple(wrong[:WORDS_MAX]),
        timed=True,
        excused=dict(sorted(excused.items())),
    )


def _held(name: str, begin: int, end: int, faults: Sequence[Mapping[str, Any]]) -> str:
    """Return which fault let a gateway keep a call that was open in this time; empty if none."""
    for fault in faults:
        if (
            fault["holds"]
            and name in fault["targets"]
            and fault["at_ns"] <= end
            and begin <= fault["healed_ns"] + HELD_SLACK_NS
        ):
            return f"{fault['fault']} {fault['holds']}"
    return ""
