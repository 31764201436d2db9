"""An open-loop load of mixed requests; every answer that is none is kept with its time."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.rolling.client import Answer, Wire

PRODUCTS: Final = (900, 901, 902, 903)  # deploy/seed/bench_catalogue.toml: one in each partition
KEEPERS: Final = 32
LIMIT_S: Final = 2.0
GIVE_UP_S: Final = 10.0
HELD_MAX: Final = 2_000
CUSTOMER: Final = {"name": "Ada", "email": "ada@example.com", "phone": "+44 20 7946 0000"}
# Of a hundred requests (docs/evidence/rolling-restart.md).
MIX: Final = (
    ("inventory", 60),
    ("reserve", 20),
    ("activate", 10),
    ("cancel", 4),
    ("list", 6),
)
GOOD: Final = {"inventory": 200, "reserve": 201, "activate": 201, "cancel": 204, "list": 200}


@dataclass(slots=True)
class Found:
    """What a run has seen."""

    answers: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    failures: list[dict[str, object]] = field(default_factory=list)
    skipped: int = 0
    fresh: int = 0
    kept: int = 0


def _print(what: object) -> None:
    print(what, flush=True)


class Load:
    """Sends requests at a rate of its own, whatever the answers do."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        api_key: str,
        per_s: float,
        seed: int,
        during: Callable[[], str],
        say: Callable[[object], None] = _print,
    ) -> None:
        """*during* says what is being done to the system at the moment; *say* is told failures."""
        self.found = Found()
        self._address = (host, port, api_key)
        self._per_s = per_s
        self._random = random.Random(seed)
        self._during = during
        self._say = say
        self._idle = deque(Wire(*self._address, keeps=True) for _ in range(KEEPERS))
        self._held: deque[str] = deque(maxlen=HELD_MAX)
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Send until `end`, then wait for the last answers."""
        clock = time.monotonic
        due = clock()
        async with asyncio.TaskGroup() as group:
            while not self._over.is_set():
                due += self._random.expovariate(self._per_s)
                if (wait_s := due - clock()) > 0:
                    await asyncio.sleep(wait_s)
                group.create_task(self._one())
        for wire in self._idle:
            wire.close()

    def end(self) -> None:
        """Send no more."""
        self._over.set()

    async def _one(self) -> None:
        kind = self._random.choices([k for k, _ in MIX], [weight for _, weight in MIX])[0]
        if kind in {"activate", "cancel"} and not self._held:
            kind = "reserve"
        # Half of the requests have a connection of their own; so do those that find none free.
        kept = self._random.random() < 0.5 and bool(self._idle)
        # The one that has been idle longest: none may hide from being closed.
        wire = self._idle.popleft() if kept else Wire(*self._address, keeps=False)
        began = time.monotonic()
        during = self._during()
        try:
            async with asyncio.timeout(GIVE_UP_S):
                answer = await self._call(wire, kind)
            said = str(answer.status)
            if kind == "reserve" and answer.status == 201:
                self._held.append(str(answer.json["reservation_id"]))
        except (OSError, EOFError, TimeoutError) as error:
            said = type(error).__name__
        finally:
            if kept:
                self._idle.append(wire)
        took_s = time.monotonic() - began
        found = self.found
        found.answers[f"{kind} {said}"] += 1
        found.latencies_s.append(took_s)
        found.kept += kept
        found.fresh += not kept
        if said != str(GOOD[kind]) or took_s >= LIMIT_S:
            found.failures.append(
                {
                    "kind": kind,
                    "said": said,
                    "took_s": round(took_s, 3),
                    "connection": "kept" if kept else "fresh",
                    "during": f"{during} to {self._during()}",
                }
            )
            self._say(found.failures[-1])

    async def _call(self, wire: Wire, kind: str) -> Answer:
        key = uuid.UUID(int=self._random.getrandbits(128)).hex
        match kind:
            case "inventory":
                return await wire.call("GET", f"/inventory?product_ids={self._product()}")
            case "reserve":
                body: dict[str, object] = {"product_id": self._product(), "quantity": 1}
                return await wire.call("POST", "/reserve", body, key=key)
            case "activate":
                body = {"customer_details": CUSTOMER, "payment_reference": f"PAY-{key}"}
                path = f"/reservations/{self._held.popleft()}/activate"
                return await wire.call("POST", path, body, key=key)
            case "cancel":
                return await wire.call("DELETE", f"/reservations/{self._held.popleft()}", key=key)
            case _:
                rows = self._random.choice(("reservations", "orders"))
                return await wire.call("GET", f"/{rows}?limit=5")

    def _product(self) -> int:
        return self._random.choice(PRODUCTS)


@asynccontextmanager
async def under_load(load: Load) -> AsyncIterator[Found]:
    """Keep the load on while the context is open."""
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        try:
            yield load.found
        finally:
            load.end()
