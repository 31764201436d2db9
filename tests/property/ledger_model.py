"""A naive model of the ledger: it keeps every hold it ever saw and adds them up each time.

Slow, and plainly right. It shares nothing with the ledger but the messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from libs.events.contracts.inventory import (
    CapPartner,
    HoldPlaced,
    HoldRefused,
    LedgerChanged,
    LedgerChangeRefused,
    PlaceHold,
    PublishCatalogue,
    ResumeSales,
    SetAllotment,
    StopSales,
)
from libs.events.contracts.reservation import (
    ReservationActivated,
    ReservationCancelled,
    ReservationExpired,
)
from libs.kernel.outcome import Decision

Command = PlaceHold | SetAllotment | StopSales | ResumeSales | CapPartner | PublishCatalogue
End = ReservationActivated | ReservationCancelled | ReservationExpired


@dataclass
class Counted:
    """A hold as the model keeps it, for ever."""

    pool_no: int
    quantity: int
    partner_id: str
    status: str = "held"


@dataclass
class Model:
    """What ought to be true, computed the slow way."""

    allotted: dict[int, int] = field(default_factory=dict)
    caps: dict[tuple[int, str], int] = field(default_factory=dict)
    stopped: set[int] = field(default_factory=set)
    holds: dict[str, Counted] = field(default_factory=dict)
    catalogues: dict[int, object] = field(default_factory=dict)

    def units(self, pool_no: int, status: str) -> int:
        """Return how many units of a pool have a status."""
        return sum(
            hold.quantity
            for hold in self.holds.values()
            if (hold.pool_no, hold.status) == (pool_no, status)
        )

    def available(self, pool_no: int) -> int:
        """Return how many units of a pool could be held."""
        taken = self.units(pool_no, "held") + self.units(pool_no, "sold")
        return self.allotted[pool_no] - taken

    def open_units(self, pool_no: int, partner_id: str) -> int:
        """Return how many units of a pool a partner holds."""
        return sum(
            hold.quantity
            for hold in self.holds.values()
            if (hold.pool_no, hold.partner_id, hold.status) == (pool_no, partner_id, "held")
        )

    def expect(self, message: Command | End, now: datetime) -> str:
        """Say what the message has to lead to, and let it be true."""
        match message:
            case PlaceHold():
                return self._place(message, now)
            case SetAllotment():
                return self._allot(message)
            case StopSales() | ResumeSales():
                return self._switch(message)
            case CapPartner():
                return self._cap(message)
            case PublishCatalogue():
                return self._publish(message)
            case _:
                return self._end(message)

    def _place(self, message: PlaceHold, now: datetime) -> str:
        pool_no = message.pool_no
        if message.reservation_id in self.holds:
            return "nothing new"
        if pool_no not in self.allotted:
            return "refused pool_unknown 0"
        if message.expires_at is not None and message.expires_at <= now:
            return f"refused expiry_in_the_past {self.available(pool_no)}"
        if pool_no in self.stopped:
            return "refused sales_stopped 0"
        if message.quantity > self.available(pool_no):
            return f"refused sold_out {self.available(pool_no)}"
        partner_id = message.partner_id
        cap, held = self.caps.get((pool_no, partner_id)), self.open_units(pool_no, partner_id)
        if cap is not None and held + message.quantity > cap:
            return f"refused hold_limit {self.available(pool_no)}, {held} of {cap}"
        self.holds[message.reservation_id] = Counted(pool_no, message.quantity, partner_id)
        return "UnitsHeld"

    def _allot(self, message: SetAllotment) -> str:
        pool_no = message.pool_no
        if pool_no in self.allotted:
            if message.product_id != pool_no:
                return "refused pool_belongs_elsewhere"
            if message.units - self.allotted[pool_no] + self.available(pool_no) < 0:
                return "refused below_held_and_sold"
            if message.units == self.allotted[pool_no]:
                return "nothing new"
        self.allotted[pool_no] = message.units
        return "AllotmentSet"

    def _switch(self, message: StopSales | ResumeSales) -> str:
        if message.pool_no not in self.allotted:
            return "refused pool_unknown"
        stop = isinstance(message, StopSales)
        if stop == (message.pool_no in self.stopped):
            return "nothing new"
        (self.stopped.add if stop else self.stopped.discard)(message.pool_no)
        return "SalesStopped" if stop else "SalesResumed"

    def _cap(self, message: CapPartner) -> str:
        if message.pool_no not in self.allotted:
            return "refused pool_unknown"
        at = (message.pool_no, message.partner_id)
        if self.caps.get(at) == message.units:
            return "nothing new"
        self.caps.pop(at, None)
        if message.units is not None:
            self.caps[at] = message.units
        return "PartnerCapSet"

    def _publish(self, message: PublishCatalogue) -> str:
        version = message.catalogue.version
        if self.catalogues and version <= max(self.catalogues):
            newest = self.catalogues[max(self.catalogues)]
            return (
                "nothing new"
                if message.catalogue == newest
                else ("refused catalogue_version_not_newer")
            )
        self.catalogues[version] = message.catalogue
        return "CataloguePublished"

    def _end(self, message: End) -> str:
        hold = self.holds.get(message.reservation_id)
        told = (message.pool_no, message.quantity, "held")
        if hold is not None and (hold.pool_no, hold.quantity, hold.status) == told:
            sold = isinstance(message, ReservationActivated)
            hold.status = "sold" if sold else "released"
            return "UnitsSold" if sold else "UnitsReleased"
        if message.pool_no not in self.allotted:
            return "LedgerConflictFound"
        self.stopped.add(message.pool_no)
        return "LedgerConflictFound SalesStopped"


def outcome(decision: Decision) -> str:
    """Return a decision in the model's words."""
    if decision.events:
        return " ".join(type(event).__name__ for event in decision.events)
    match decision.answer:
        case HoldRefused(reason="hold_limit", available=available, limit=limit, held=held):
            return f"refused hold_limit {available}, {held} of {limit}"
        case HoldRefused(reason=reason, available=available):
            return f"refused {reason} {available}"
        case LedgerChangeRefused(reason=change_reason):
            return f"refused {change_reason}"
        case HoldPlaced() | LedgerChanged():
            return "nothing new"
        case other:
            return f"unexpected {other}"
