"""What came back: answers by status and error word, latencies, units taken and given back."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.http1 import Response
from bench.percentiles import summarise

RESERVE, ACTIVATE, CANCEL, READ, LIST = "reserve", "activate", "cancel", "inventory", "list"
CREATED, CREATED_STATUS, NO_CONTENT_STATUS = "201", 201, 204
UNKNOWN_STATUS = 504


@dataclass(slots=True)
class Request:
    """One request; *reservation_id* and *images* (drawn tickets expected) where it has any."""

    kind: str
    data: bytes
    product: int = 0
    units: int = 0
    reservation_id: str | None = None
    images: int = 0
    began_at: float = 0.0


@dataclass(slots=True)
class Tally:
    """Counts answers; *main* is the kind whose words stand without their kind.

    *ids* holds every reservation and order id seen so far, also by other tallies. *unresolved*
    are the requests whose effect is unknown (504, or no answer at all).
    """

    main: str = RESERVE
    ids: set[str] = field(default_factory=set)
    outcomes: Counter[str] = field(default_factory=Counter)
    samples: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    unresolved: list[Request] = field(default_factory=list)
    taken: Counter[int] = field(default_factory=Counter)
    given_back: Counter[int] = field(default_factory=Counter)
    accepted: int = 0
    activated: int = 0

    def count(self, request: Request, response: Response) -> None:
        """Count an answer and its effect."""
        status = response.status
        if status == UNKNOWN_STATUS:
            self.unresolved.append(request)
        word = self.apply(request, response)
        self.outcomes[word if request.kind == self.main else f"{request.kind} {word}"] += 1

    def apply(self, request: Request, response: Response) -> str:
        """Note what an answer says was done; return the word that it is counted under."""
        status = response.status
        if request.kind == RESERVE and status == CREATED_STATUS:
            return self._reserved(request, response)
        if request.kind == ACTIVATE and status == CREATED_STATUS:
            return self._activated(request, response)
        if request.kind == CANCEL and status == NO_CONTENT_STATUS:
            self.given_back[request.product] += request.units
        return response.word()

    def lost(self, request: Request, why: str) -> None:
        """Count a request that will not be answered."""
        self.outcomes[why] += 1
        self.unresolved.append(request)

    @property
    def answers(self) -> int:
        """How many requests were counted."""
        return sum(self.outcomes.values())

    def figures(self) -> dict[str, Any]:
        """Return everything for the report of a step; latencies of the main kind, then by kind."""
        everything = [value for values in self.samples.values() for value in values]
        main = self.samples.get(self.main, []) if self.main else everything
        latency = summarise(main)
        return {
            "answers_in_window": len(main),
            "latency": None if latency is None else asdict(latency),
            "kinds": {
                kind: {"answers": len(values), "latency": asdict(found)}
                for kind, values in sorted(self.samples.items())
                if (found := summarise(values)) is not None
            },
            "outcomes": dict(self.outcomes),
            "accepted": self.accepted,
            "activated": self.activated,
            "taken": {str(product): units for product, units in self.taken.items()},
            "given_back": {str(product): units for product, units in self.given_back.items()},
            "unresolved": len(self.unresolved),
        }

    def _reserved(self, request: Request, response: Response) -> str:
        identifier = response.reservation_id()
        if identifier is None:
            return "201 without a reservation_id"
        if identifier in self.ids:
            return "201 with a reservation_id given before"
        self.ids.add(identifier)
        self.accepted += 1
        self.taken[request.product] += request.units
        return CREATED

    def _activated(self, request: Request, response: Response) -> str:
        identifier = response.order_id()
        if identifier is None:
            return "201 without an order_id"
        if identifier in self.ids:
            return "201 with an order_id given before"
        if response.body.count(b'"qr_code"') != request.images:
            return "201 without the images asked for"
        self.ids.add(identifier)
        self.activated += 1
        return CREATED
