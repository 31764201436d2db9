"""Puts the gateway together from its ports, real ones or those of a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from libs.events.contracts.inventory import AvailabilityReported
from libs.events.requests import CommandClient
from libs.runtime.metrics import Metrics
from libs.runtime.tracing import Tracing
from services.gateway.app.audit import AuditTable, AuditTrail, AuditWatch, CallLines
from services.gateway.app.availability import Availability, PoolSource
from services.gateway.app.catalogue import CatalogueSource, CatalogueView
from services.gateway.app.cleanup import Cleanup, CleanupMarks, ExpiredView
from services.gateway.app.commands import Commands
from services.gateway.app.directory import Directory, DirectorySource
from services.gateway.app.inventory import Inventory
from services.gateway.app.key_writer import KeyTable, KeyWriter
from services.gateway.app.master_keys import MasterKeys
from services.gateway.app.orders import FOLLOWS as ORDER_LOGS
from services.gateway.app.orders import Orders, OrderView
from services.gateway.app.positions import AnsweredPositions, PositionSeal
from services.gateway.app.pricing import Pricing
from services.gateway.app.progress import ProgressSource, ViewProgress
from services.gateway.app.quotas import Quotas, QuotaTable
from services.gateway.app.receipts import EventRecords, Receipts, ReceiptSeal
from services.gateway.app.reservation_reads import FOLLOWS as RESERVATION_LOGS
from services.gateway.app.reservation_reads import HoldView, ReservationReads, ReservationView
from services.gateway.app.reservations import QrImages, Reservations
from services.gateway.app.sealing import KeyReader, Sealer
from services.gateway.domain.keyed_hash import KeyedHashes
from services.gateway.http.api import PartnerApi
from services.gateway.http.contract import contract_endpoints
from services.gateway.http.edge import Edge
from services.gateway.http.endpoint import Endpoint
from services.gateway.http.limits import AddressRate, AddressWindow, CallLimits, Sources
from services.gateway.http.measures import watch_partners
from services.gateway.http.pricing import Window

KEYS_FRESH_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The gateway's secrets, 32 bytes each; *master_keys* gives the current one first."""

    master_keys: Callable[[], Sequence[bytes]] = field(repr=False)
    api_key_pepper: bytes = field(repr=False)
    fingerprint_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything outside that the use cases reach, real or in memory."""

    client: CommandClient
    partners: DirectorySource
    catalogue: CatalogueSource
    pools: PoolSource
    holds: HoldView
    reservations: ReservationView
    expired: ExpiredView
    orders: OrderView
    reservation_progress: ProgressSource
    order_progress: ProgressSource
    records: EventRecords
    key_table: KeyTable
    key_reader: KeyReader
    cleanup_marks: CleanupMarks
    quotas: QuotaTable
    audit_table: AuditTable
    call_lines: CallLines
    images: QrImages
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    random: Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRules:
    """How calls are limited; *gateway_instance* is this gateway's number among its like.

    *trusted_proxies* are networks whose ``X-Forwarded-For`` counts, separated by commas.
    """

    gateway_instance: int = 0
    address_calls_per_second: int = 5000
    trusted_proxies: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The assembled gateway: the partner API, and what must be kept up to date beside it."""

    api: PartnerApi
    edge: Edge
    directory: Directory
    catalogue: CatalogueView
    availability: Availability
    quotas: Quotas
    audit: AuditTrail

    def heard(self, reported: AvailabilityReported) -> None:
        """Take in a report of the availability topic."""
        self.availability.report(reported)
        self.catalogue.want(reported.catalogue_version)

    def check_directory(self) -> str | None:
        """Say why partners' keys can't be trusted now."""
        if self.directory.unconfirmed_s > KEYS_FRESH_S:
            return "the partners' keys can't be confirmed: is our database reachable?"
        return None

    def check_catalogue(self) -> str | None:
        """Say why nothing can be sold now."""
        if not self.catalogue.version:
            return "no catalogue is loaded: ota-inventory load-catalogue FILE"
        return None if self.availability.loaded else "no figures of any pool are known"


def assemble(
    *,
    ports: Ports,
    secrets: Secrets,
    metrics: Metrics,
    rules: LimitRules | None = None,
    tracing: Tracing | None = None,
) -> Gateway:
    """Put the gateway together from its ports."""
    hashes = KeyedHashes(secrets.fingerprint_key)
    seal = PositionSeal(hashes.position_key())
    catalogue = CatalogueView(source=ports.catalogue)
    availability = Availability(source=ports.pools, monotonic=ports.monotonic, now=ports.now)
    directory = Directory(
        source=ports.partners, pepper=secrets.api_key_pepper, monotonic=ports.monotonic
    )
    audit = _audit_trail(ports, metrics)
    rules = rules or LimitRules()
    quotas = Quotas(
        table=ports.quotas,
        callers=lambda: directory.callers,
        instance=rules.gateway_instance,
        incarnation=ports.random(8).hex(),
        monotonic=ports.monotonic,
    )
    watch_partners(metrics, directory=directory, quotas=quotas, monotonic=ports.monotonic)
    limits = _call_limits(rules, quotas=quotas, metrics=metrics, monotonic=ports.monotonic)
    edge = Edge(
        directory=directory,
        hashes=hashes,
        seal=seal,
        receipts=ReceiptSeal(hashes.receipt_key()),
        metrics=metrics,
        limits=limits,
        audit=audit,
        now=ports.now,
        random=ports.random,
        tracing=tracing,
    )
    endpoints = _endpoints(
        ports,
        catalogue=catalogue,
        availability=availability,
        hashes=hashes,
        seal=seal,
        master_keys=MasterKeys(read=secrets.master_keys, monotonic=ports.monotonic),
        pricing_window=limits.take_pricing,
    )
    return Gateway(
        api=PartnerApi(edge=edge, endpoints=endpoints),
        edge=edge,
        directory=directory,
        catalogue=catalogue,
        availability=availability,
        quotas=quotas,
        audit=audit,
    )


def _endpoints(
    ports: Ports,
    *,
    catalogue: CatalogueView,
    availability: Availability,
    hashes: KeyedHashes,
    seal: PositionSeal,
    master_keys: MasterKeys,
    pricing_window: Window,
) -> tuple[Endpoint, ...]:
    """Put the use cases together, and the endpoints on them."""
    positions = AnsweredPositions()
    sealer = Sealer(
        master_keys=master_keys,
        hashes=hashes,
        writer=KeyWriter(table=ports.key_table),
        reader=ports.key_reader,
        random=ports.random,
    )
    reservation_progress = ViewProgress(source=ports.reservation_progress, follows=RESERVATION_LOGS)
    reservations = Reservations(
        catalogue=catalogue,
        commands=Commands(
            client=ports.client, availability=availability, positions=positions, now=ports.now
        ),
        sealer=sealer,
        hashes=hashes,
        view=ports.reservations,
        holds=ports.holds,
        images=ports.images,
        now=ports.now,
    )
    reads = ReservationReads(
        catalogue=catalogue,
        hashes=hashes,
        view=ports.reservations,
        holds=ports.holds,
        progress=reservation_progress,
        positions=positions,
    )
    cleanup = Cleanup(
        view=ports.expired,
        marks=ports.cleanup_marks,
        progress=reservation_progress,
        positions=positions,
    )
    orders = Orders(
        hashes=hashes,
        sealer=sealer,
        view=ports.orders,
        progress=ViewProgress(source=ports.order_progress, follows=ORDER_LOGS),
        positions=positions,
        images=ports.images,
    )
    inventory = Inventory(
        catalogue=catalogue, availability=availability, hashes=hashes, seal=seal, now=ports.now
    )
    return contract_endpoints(
        inventory=inventory,
        reservations=reservations,
        reads=reads,
        cleanup=cleanup,
        orders=orders,
        receipts=Receipts(seal=ReceiptSeal(hashes.receipt_key()), records=ports.records),
        pricing=Pricing(catalogue=catalogue),
        window=pricing_window,
    )


def _audit_trail(ports: Ports, metrics: Metrics) -> AuditTrail:
    return AuditTrail(
        table=ports.audit_table,
        lines=ports.call_lines,
        watch=AuditWatch(
            written=metrics.audit_rows.inc,
            dropped=metrics.audit_dropped.inc,
            waiting=metrics.audit_backlog_rows.set,
        ),
        random=ports.random,
    )


def _call_limits(
    rules: LimitRules, *, quotas: Quotas, metrics: Metrics, monotonic: Callable[[], float]
) -> CallLimits:
    return CallLimits(
        quotas=quotas,
        sources=Sources(rules.trusted_proxies),
        addresses=AddressRate(calls_per_second=rules.address_calls_per_second, monotonic=monotonic),
        pricing=AddressWindow(monotonic=monotonic),
        metrics=metrics,
        monotonic=monotonic,
    )
