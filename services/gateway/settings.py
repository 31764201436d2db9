"""Settings of the gateway."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from libs.events.topics import REPLY_PARTITIONS
from libs.runtime.config import (
    Dsn,
    HexKey,
    HexKeyFile,
    HexKeyOrNone,
    HexKeys,
    Port,
    ServiceSettings,
    read_secret_keys,
)
from services.gateway.domain.source_address import parse_networks


def _networks(value: str) -> str:
    try:
        parse_networks(value)
    except ValueError:
        raise ValueError("must be networks such as 10.0.0.0/8, separated by commas") from None
    return value


Networks = Annotated[str, AfterValidator(_networks)]
"""Networks, separated by commas."""


def service_urls(value: str) -> dict[str, str]:
    """Read ``inventory=http://host:9102,...``; raises ValueError."""
    found = {}
    for each in filter(None, map(str.strip, value.split(","))):
        name, _, url = each.partition("=")
        if not _SERVICE_URL.match(f"{name}={url}"):
            raise ValueError("must be services' addresses, as inventory=http://10.0.0.2:9102,...")
        found[name] = url.rstrip("/")
    return found


def _service_urls(value: str) -> str:
    service_urls(value)
    return value


_SERVICE_URL = re.compile(r"[a-z][a-z0-9-]{0,30}=https?://[^/?#\s]+/?\Z")
ServiceUrls = Annotated[str, AfterValidator(_service_urls)]
"""Services' names and the roots of their ops ports; see `service_urls`."""


class MigrationSettings(ServiceSettings):
    """What ``ota-gateway migrate`` needs."""

    gateway_owner_dsn: Dsn = Field(description="Our database, as the role that owns it.")


class DirectorySettings(ServiceSettings):
    """What operators' commands on partners need."""

    gateway_dsn: Dsn = Field(description="Our database, as the application role.")


class LoadSettings(DirectorySettings):
    """What ``ota-gateway load-partners`` and operators' commands that make keys need."""

    api_key_pepper: HexKey = Field(description="Secret under which API keys are hashed.")


class ConsoleAddressSettings(DirectorySettings):
    """What ``ota-admin operator`` needs to say where the console is."""

    gateway_ops_port: Port = Field(9101, description="Port of health checks and metrics.")
    console_public_url: str = Field(
        "",
        pattern=r"^(https?://[^/?#\s]+)?$",
        description="How people reach the console, as https://ops.example.com; empty: ops port.",
    )

    @property
    def console_url(self) -> str:
        """The console's address without its path."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.ops_host, self.ops_host)  # noqa: S104
        return self.console_public_url or f"http://{host}:{self.gateway_ops_port}"


class HistorySettings(DirectorySettings):
    """What ``ota-admin audit show`` needs."""

    inventory_read_dsn: Dsn = Field(description="Read views of the inventory service.")
    reservation_read_dsn: Dsn = Field(description="Read views of the reservation service.")
    fulfillment_read_dsn: Dsn = Field(description="Read views of the fulfillment service.")


class MasterKeySettings(ServiceSettings):
    """The master keys: the current one with the older ones, or a file of them that is followed."""

    master_key: HexKeyOrNone = Field(
        None, description="Secret that wraps the keys of personal data."
    )
    master_keys_old: HexKeys = Field(
        (), description="Master keys that were replaced; they open what they have wrapped."
    )
    master_key_file: HexKeyFile | None = Field(
        None, description="File of master keys, the current one first; counts before the others."
    )

    @model_validator(mode="after")
    def _has_a_key(self) -> Self:
        if self.master_key is None and self.master_key_file is None:
            raise ValueError("OTA_MASTER_KEY or OTA_MASTER_KEY_FILE must be set")
        return self

    def master_keys(self) -> tuple[bytes, ...]:
        """Return the master keys as of now, the current one first; raises ValueError."""
        if self.master_key_file is not None:
            return read_secret_keys(self.master_key_file)
        assert self.master_key is not None
        return (self.master_key, *self.master_keys_old)


class StockSettings(ServiceSettings):
    """What ``ota-admin stock`` needs."""

    gateway_dsn: Dsn = Field(description="Our database, as the application role.")
    inventory_read_dsn: Dsn = Field(description="Read views of the inventory service.")


class ErasureSettings(MigrationSettings):
    """What ``ota-admin data erase`` needs."""

    fulfillment_read_dsn: Dsn = Field(description="Read views of the fulfillment service.")
    fingerprint_key: HexKey = Field(
        description="Secret of the hashes by which requests, references and people are found."
    )


class RewrapSettings(MigrationSettings, MasterKeySettings):
    """What ``ota-admin data rotate-master-key`` needs."""


class Settings(LoadSettings, ConsoleAddressSettings, MasterKeySettings):
    """What ``ota-gateway run`` needs."""

    inventory_read_dsn: Dsn = Field(description="Read views of the inventory service.")
    reservation_read_dsn: Dsn = Field(description="Read views of the reservation service.")
    fulfillment_read_dsn: Dsn = Field(description="Read views of the fulfillment service.")
    partner_host: str = Field("127.0.0.1", description="Address that the partner API listens on.")
    partner_port: Port = Field(8080, description="Port of the partner API.")
    connections_max: int = Field(
        5000, ge=10, le=1_000_000, description="Open connections to the partner port, at most."
    )
    address_connections_max: int = Field(
        500, ge=1, le=1_000_000, description="Open connections from one address, at most."
    )
    address_calls_per_second: int = Field(
        5000,
        ge=1,
        le=1_000_000,
        description="Calls a second from one address, before its key is looked at.",
    )
    trusted_proxies: Networks = Field(
        "", description="Networks of our proxies, whose X-Forwarded-For is believed."
    )
    gateway_instance: int | None = Field(
        None,
        ge=0,
        # The last reply partition belongs to operators' commands.
        lt=REPLY_PARTITIONS - 1,
        description="Number of this gateway among those that run; by itself it finds a free one.",
    )
    qr_processes: int = Field(
        2, ge=1, le=64, description="Worker processes that draw the tickets' QR codes."
    )
    access_log: Literal["on", "refused", "off"] = Field(
        "on", description="Calls that have a log line: all, those that are refused, or none."
    )
    audit_retention_days: int = Field(
        400, ge=7, le=3660, description="Days after which an audit record is deleted."
    )
    fingerprint_key: HexKey = Field(
        description="Secret of the hashes by which requests, references and people are found."
    )
    console_services: ServiceUrls = Field(
        "", description="Services' ops ports that the console asks: inventory=http://host:9102,..."
    )
    prometheus_url: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="Prometheus whose alerts the console shows; empty: none.",
    )
    grafana_url: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="Grafana with our dashboards, for the links of alerts; empty: no links.",
    )
    console_session_hours: int = Field(
        8, ge=1, le=24, description="Hours after which an operator signs in to the console again."
    )
