"""Settings of the gateway."""

from __future__ import annotations

from pydantic import Field

from libs.events.topics import REPLY_PARTITIONS
from libs.runtime.config import Dsn, HexKey, Port, ServiceSettings


class MigrationSettings(ServiceSettings):
    """What ``ota-gateway migrate`` needs."""

    gateway_owner_dsn: Dsn = Field(description="Our database, as the role that owns it.")


class LoadSettings(ServiceSettings):
    """What ``ota-gateway load-partners`` needs."""

    gateway_dsn: Dsn = Field(description="Our database, as the application role.")
    api_key_pepper: HexKey = Field(description="Secret under which API keys are hashed.")


class Settings(LoadSettings):
    """What ``ota-gateway run`` needs."""

    inventory_read_dsn: Dsn = Field(description="Read views of the inventory service.")
    reservation_read_dsn: Dsn = Field(description="Read views of the reservation service.")
    fulfillment_read_dsn: Dsn = Field(description="Read views of the fulfillment service.")
    partner_host: str = Field("127.0.0.1", description="Address that the partner API listens on.")
    partner_port: Port = Field(8080, description="Port of the partner API.")
    gateway_ops_port: Port = Field(9101, description="Port of health checks and metrics.")
    gateway_instance: int = Field(
        0,
        ge=0,
        # The last reply partition belongs to operators' commands.
        lt=REPLY_PARTITIONS - 1,
        description="Number of this gateway among those that run, each with its own.",
    )
    qr_processes: int = Field(
        2, ge=1, le=64, description="Worker processes that draw the tickets' QR codes."
    )
    master_key: HexKey = Field(description="Secret that wraps the keys of personal data.")
    fingerprint_key: HexKey = Field(
        description="Secret of the hashes by which requests, references and people are found."
    )
