"""Puts the gateway together from its ports, real ones or those of a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web

from libs.events.contracts.inventory import AvailabilityReported
from libs.events.requests import CommandClient
from libs.runtime.metrics import Metrics
from services.gateway.app.availability import Availability, PoolSource
from services.gateway.app.catalogue import CatalogueSource, CatalogueView
from services.gateway.app.cleanup import Cleanup, CleanupMarks, ExpiredView
from services.gateway.app.commands import Commands
from services.gateway.app.directory import Directory, DirectorySource
from services.gateway.app.inventory import Inventory
from services.gateway.app.key_writer import KeyTable, KeyWriter
from services.gateway.app.orders import FOLLOWS as ORDER_LOGS
from services.gateway.app.orders import Orders, OrderView
from services.gateway.app.positions import AnsweredPositions
from services.gateway.app.progress import ProgressSource, ViewProgress
from services.gateway.app.reservation_reads import FOLLOWS as RESERVATION_LOGS
from services.gateway.app.reservation_reads import HoldView, ReservationReads, ReservationView
from services.gateway.app.reservations import QrImages, Reservations
from services.gateway.app.sealing import KeyReader, Sealer
from services.gateway.domain.keyed_hash import KeyedHashes
from services.gateway.http.api import partner_api
from services.gateway.http.edge import Edge
from services.gateway.http.endpoints import (
    InventoryEndpoints,
    OrderEndpoints,
    ReservationEndpoints,
)

KEYS_FRESH_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The gateway's secrets, 32 bytes each."""

    master_key: bytes = field(repr=False)
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
    key_table: KeyTable
    key_reader: KeyReader
    cleanup_marks: CleanupMarks
    images: QrImages
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    random: Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The assembled gateway: the partner API, and what must be kept up to date beside it."""

    app: web.Application
    directory: Directory
    catalogue: CatalogueView
    availability: Availability

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


def assemble(*, ports: Ports, secrets: Secrets, metrics: Metrics) -> Gateway:
    """Put the gateway together from its ports."""
    hashes = KeyedHashes(secrets.fingerprint_key)
    positions = AnsweredPositions()
    catalogue = CatalogueView(source=ports.catalogue)
    availability = Availability(source=ports.pools, monotonic=ports.monotonic, now=ports.now)
    directory = Directory(
        source=ports.partners, pepper=secrets.api_key_pepper, monotonic=ports.monotonic
    )
    sealer = Sealer(
        master_key=secrets.master_key,
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
        catalogue=catalogue, availability=availability, hashes=hashes, now=ports.now
    )
    edge = Edge(
        directory=directory, hashes=hashes, metrics=metrics, now=ports.now, random=ports.random
    )
    endpoints = (
        *InventoryEndpoints(inventory).endpoints(),
        *ReservationEndpoints(reservations=reservations, reads=reads, cleanup=cleanup).endpoints(),
        *OrderEndpoints(orders).endpoints(),
    )
    return Gateway(
        app=partner_api(edge=edge, endpoints=endpoints),
        directory=directory,
        catalogue=catalogue,
        availability=availability,
    )
