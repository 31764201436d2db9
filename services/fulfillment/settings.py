"""Settings of the fulfillment service."""

from __future__ import annotations

from pydantic import Field

from libs.runtime.config import DecidingSettings, Dsn, HexKey, Port, ServiceSettings


class MigrationSettings(ServiceSettings):
    """What ``ota-fulfillment migrate`` needs."""

    fulfillment_owner_dsn: Dsn = Field(description="Our database, as the role that owns it.")


class Settings(DecidingSettings):
    """What ``ota-fulfillment run`` needs."""

    fulfillment_dsn: Dsn = Field(description="Our database, as the application role.")
    inventory_read_dsn: Dsn = Field(description="Read views of the inventory service.")
    reservation_read_dsn: Dsn = Field(description="Read views of the reservation service.")
    fulfillment_ops_port: Port = Field(9104, description="Port of health checks and metrics.")
    numbering_key: HexKey = Field(description="Scrambles ticket numbers; never change it.")
    ticket_signing_key: HexKey = Field(description="Ed25519 seed that signs ticket tokens.")
