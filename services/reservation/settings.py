"""Settings of the reservation service."""

from __future__ import annotations

from pydantic import Field

from libs.runtime.config import DecidingSettings, Dsn, HexKey, Port, ServiceSettings


class MigrationSettings(ServiceSettings):
    """What ``ota-reservation migrate`` needs."""

    reservation_owner_dsn: Dsn = Field(description="Our database, as the role that owns it.")


class Settings(DecidingSettings):
    """What ``ota-reservation run`` needs."""

    reservation_dsn: Dsn = Field(description="Our database, as the application role.")
    inventory_read_dsn: Dsn = Field(description="Read views of the inventory service.")
    reservation_ops_port: Port = Field(9103, description="Port of health checks and metrics.")
    numbering_key: HexKey = Field(description="Scrambles order numbers; never change it.")
