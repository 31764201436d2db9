"""What a partner is owed: every hold that was promised, and what may still become of it. Pure.

It knows only what its own calls were answered, and complains when two answers cannot both be true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

State = Literal["active", "activated", "cancelled", "expired"]
RECORDED = frozenset((201, 204, 409))
# Client and ledger read the same machine's clock, at different moments of a call.
CLOCK_SLACK_S = 0.05
COMPLAINTS_MAX = 200
_ENDS: Mapping[str, State] = {
    "RESERVATION_EXPIRED": "expired",
    "RESERVATION_CANCELLED": "cancelled",
    "ALREADY_ACTIVATED": "activated",
    "CANNOT_CANCEL_ACTIVATED": "activated",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; *status* is None when nothing did."""

    status: int | None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    at_s: float = 0.0

    @property
    def word(self) -> str:
        """Return the error word, empty if there is none."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""

    @property
    def unknown(self) -> bool:
        """Say whether the command may or may not have been carried out."""
        return self.status in (None, 500, 502, 504) or self.word == "IDEMPOTENCY_IN_PROGRESS"

    @property
    def not_done(self) -> bool:
        """Say whether nothing was carried out and a repeat may be."""
        return self.status in (408, 429, 503)


@dataclass(slots=True, kw_only=True)
class Hold:
    """A hold that was promised; times are wall clock seconds."""

    reservation_id: str
    partner: str
    product: int
    quantity: int
    expires_at_s: float
    state: State = "active"
    order_id: str | None = None
    tickets: tuple[str, ...] = ()


class Model:
    """All holds of a run, and the contradictions that were found."""

    def __init__(self) -> None:
        self.holds: dict[str, Hold] = {}
        self.complaints: list[str] = []
        self.counts: Counter[str] = Counter()

    def complain(self, words: str) -> None:
        """Note a contradiction."""
        self.counts["complaints"] += 1
        if len(self.complaints) < COMPLAINTS_MAX:
            self.complaints.append(words)

    def reserved(self, *, partner: str, asked: Mapping[str, Any], answer: Answer) -> Hold | None:
        """Take the answer to a reserve; returns the hold if there is one."""
        if answer.status == 409:
            self.counts[f"409 {answer.word}"] += 1
            return None
        if answer.status != 201:
            return None
        body = answer.body
        name = body["reservation_id"]
        if (body["product_id"], body["quantity"]) != (asked["product_id"], asked["quantity"]):
            self.complain(f"{name}: {body['quantity']} of {body['product_id']}, asked {asked}")
        known = self.holds.get(name)
        if known is not None:
            return known
        hold = Hold(
            reservation_id=name,
            partner=partner,
            product=body["product_id"],
            quantity=body["quantity"],
            expires_at_s=seconds(body["expires_at"]),
        )
        self.holds[name] = hold
        return hold

    def activated(self, hold: Hold, answer: Answer) -> None:
        """Take the answer to an activation."""
        if answer.status == 201:
            body = answer.body
            tickets = tuple(each["ticket_code"] for each in body["tickets"])
            if len(tickets) != hold.quantity:
                self.complain(
                    f"{hold.reservation_id}: {len(tickets)} tickets for {hold.quantity} units"
                )
            if hold.order_id not in (None, body["order_id"]) or hold.tickets not in ((), tickets):
                self.complain(f"{hold.reservation_id}: another order or other tickets than before")
            hold.order_id, hold.tickets = body["order_id"], tickets
            self._end(hold, "activated", answer)
        else:
            self._refused(hold, answer)

    def cancelled(self, hold: Hold, answer: Answer) -> None:
        """Take the answer to a cancellation."""
        if answer.status == 204:
            self._end(hold, "cancelled", answer)
        else:
            self._refused(hold, answer)

    def _refused(self, hold: Hold, answer: Answer) -> None:
        if answer.status == 404:
            self.complain(f"{hold.reservation_id}: promised, and now unknown (404)")
        state = _ENDS.get(answer.word) if answer.status == 409 else None
        if state is not None:
            self._end(hold, state, answer)

    def _end(self, hold: Hold, state: State, answer: Answer) -> None:
        if hold.state not in ("active", state):
            self.complain(f"{hold.reservation_id}: {hold.state} before, {state} now")
            return
        if state == "expired" and answer.at_s < hold.expires_at_s - CLOCK_SLACK_S:
            early_s = hold.expires_at_s - answer.at_s
            self.complain(f"{hold.reservation_id}: expired {early_s:.3f} s before its end")
        hold.state = state

    def repeated(self, first: Answer, second: Answer, *, what: str) -> None:
        """Take two answers to one key and body: they must be the same."""
        if first.status not in RECORDED or second.unknown or second.not_done:
            return
        self.counts["repeats"] += 1
        if (first.status, told(first.body)) != (second.status, told(second.body)):
            self.complain(
                f"{what}: {first.status} first, {second.status} on repeat, or other words"
            )

    def reused(self, first: Answer, second: Answer, *, what: str) -> None:
        """Take the answer to a key that came again with another body."""
        if first.status not in RECORDED or second.unknown or second.not_done:
            return
        self.counts["reused"] += 1
        if (second.status, second.word) != (422, "IDEMPOTENCY_KEY_REUSED"):
            self.complain(f"{what}: another body under the same key got {second.status}")

    def plain(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {
            "holds": [asdict(each) for each in self.holds.values()],
            "complaints": self.complaints,
            "counts": dict(self.counts),
        }


def told(body: Any) -> Any:
    """Return a body without its images and request id, which may differ between repeats."""
    if not isinstance(body, dict):
        return body
    found = {name: value for name, value in body.items() if name not in ("instance", "request_id")}
    if isinstance(found.get("tickets"), list):
        found["tickets"] = [
            {name: value for name, value in each.items() if name != "qr_code"}
            for each in found["tickets"]
        ]
    return found


def seconds(instant: str) -> float:
    """Return an instant of the API in seconds."""
    return datetime.fromisoformat(instant).timestamp()
