"""Settings of the inventory service."""

from __future__ import annotations

from pydantic import Field

from libs.runtime.config import DecidingSettings, Dsn, Port, ServiceSettings


class MigrationSettings(ServiceSettings):
    """What ``ota-inventory migrate`` needs."""

    inventory_owner_dsn: Dsn = Field(description="Our database, as the role that owns it.")


class LoadSettings(ServiceSettings):
    """What ``ota-inventory load-catalogue`` needs."""

    inventory_dsn: Dsn = Field(description="Our database, as the application role.")


class Settings(LoadSettings, DecidingSettings):
    """What ``ota-inventory run`` needs."""

    reservation_read_dsn: Dsn = Field(description="Read views of the reservation service.")
    inventory_ops_port: Port = Field(9102, description="Port of health checks and metrics.")
