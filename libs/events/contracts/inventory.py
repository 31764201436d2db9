"""The ledger's commands, events and answers."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from libs.kernel.catalogue import Catalogue
from libs.kernel.values import dataclass

ReleaseReason = Literal["cancelled", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """Personal data as ciphertext; the key lives in the gateway only (design, rule 10)."""

    key_id: str
    ciphertext: str


# Commands


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceHold:
    """Hold units of a pool for a partner.

    *hold_s* is the asked length, *expires_at* the partner's own instant; with
    neither the ledger takes the default. The prices are frozen here: they are the
    product's in the catalogue version *rule_version*, which never changes (ADR 22).
    """

    reservation_id: str
    pool_no: int
    partner_id: str
    quantity: int
    rule_version: int
    hold_s: int | None = None
    expires_at: datetime | None = None
    visit_date: date | None = None
    customer_reference: Sealed | None = None
    customer_reference_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAllotment:
    """Set how many units a pool may sell; creates the pool when it is new."""

    pool_no: int
    product_id: int
    channel: str
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSales:
    """Accept no new holds in a pool until sales are resumed."""

    pool_no: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeSales:
    """Accept holds in a pool again."""

    pool_no: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CapPartner:
    """Limit how many units of a pool a partner may hold at once; None lifts the limit."""

    pool_no: int
    partner_id: str
    units: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishCatalogue:
    """Make a catalogue version the current one."""

    catalogue: Catalogue


# Events


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsHeld:
    """Units left the available part of a pool for a hold, at the prices of *rule_version*."""

    reservation_id: str
    pool_no: int
    product_id: int
    channel: str
    partner_id: str
    quantity: int
    expires_at: datetime
    rule_version: int
    visit_date: date | None = None
    customer_reference: Sealed | None = None
    customer_reference_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsSold:
    """A hold's units moved from held to sold."""

    reservation_id: str
    pool_no: int
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsReleased:
    """A hold's units are available again."""

    reservation_id: str
    pool_no: int
    quantity: int
    reason: ReleaseReason


@dataclass(frozen=True, slots=True, kw_only=True)
class AllotmentSet:
    """A pool has this many units in all."""

    pool_no: int
    product_id: int
    channel: str
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesStopped:
    """A pool accepts no new holds."""

    pool_no: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesResumed:
    """A pool accepts holds again."""

    pool_no: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerCapSet:
    """A partner may hold at most *units* of a pool at once; None: as many as there are.

    *held* is what it held when this was decided, above the cap or not: from here on
    its units are counted, without a cap they are not.
    """

    pool_no: int
    partner_id: str
    units: int | None
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerConflictFound:
    """A terminal event could not be applied; nothing was moved (design, "what each decides")."""

    reservation_id: str
    pool_no: int
    event_type: str
    event_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CataloguePublished:
    """A catalogue version is the current one."""

    catalogue: Catalogue


# Answers


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPlaced:
    """The answer to an accepted `PlaceHold`; *held_at* is the ledger's decision time."""

    reservation_id: str
    pool_no: int
    product_id: int
    quantity: int
    held_at: datetime
    expires_at: datetime
    rule_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldReleased:
    """The answer to a cancellation whose units are available again."""

    reservation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerChanged:
    """The answer to an accepted administrative command."""

    pool_no: int | None = None
    catalogue_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRefused:
    """No units were held. *available* is the pool's figure when the command was decided.

    *limit* and *held* are the partner's cap and its open units, for ``hold_limit`` only.
    """

    reason: Literal["sold_out", "sales_stopped", "pool_unknown", "expiry_in_the_past", "hold_limit"]
    available: int
    limit: int | None = None
    held: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerChangeRefused:
    """An administrative command changed nothing."""

    reason: Literal[
        "below_held_and_sold",
        "pool_belongs_elsewhere",
        "pool_unknown",
        "catalogue_version_not_newer",
    ]
    detail: str


# Figures: published beside replies and on the availability topic, never stored as events


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFigures:
    """A pool's figures as of ledger position (*generation*, *partition*, *seq*)."""

    pool_no: int
    product_id: int
    channel: str
    allotted: int
    available: int
    selling: bool
    generation: int
    partition: int
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailabilityReported:
    """Figures of pools of one partition, as of its head; *full* names every pool of it."""

    generation: int
    partition: int
    seq: int
    catalogue_version: int
    full: bool
    pools: tuple[PoolFigures, ...]
