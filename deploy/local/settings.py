"""What the local stack can be told: addresses, folders and seed files, from the environment and
`.env`.

Not here: what a service can be told (services/<name>/settings.py). What the launcher does not know,
it hands on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

CHECKOUT: Final = Path(__file__).resolve().parents[2]
SERVICES: Final = ("gateway", "inventory", "reservation", "fulfillment")

MONITORING: Final = (
    ("prometheus", "Prometheus", "OTA_PROMETHEUS_PORT"),
    ("alertmanager", "Alertmanager", "OTA_ALERTMANAGER_PORT"),
    ("alerts", "the receiver of alerts", "OTA_ALERTS_PORT"),
    ("node-exporter", "the machine's figures", "OTA_NODE_EXPORTER_PORT"),
)

# Every variable that the launcher itself reads, with its default. `.env.example` documents each; a
# test compares.
INSTANCES_MAX: Final = 7
DEFAULTS: Final[Mapping[str, str]] = {
    "OTA_DATA_DIR": "var",
    "OTA_BACKUP_DIR": "",
    "OTA_POSTGRES_HOST": "127.0.0.1",
    "OTA_POSTGRES_PORT": "5433",
    "OTA_POSTGRES_BIN": "",
    "OTA_KAFKA_HOST": "127.0.0.1",
    "OTA_KAFKA_PORT": "9092",
    "OTA_KAFKA_CONTROLLER_PORT": "9093",
    "OTA_KAFKA_HEAP_MIB": "384",
    "OTA_PARTNER_HOST": "127.0.0.1",
    "OTA_PARTNER_PORT": "8080",
    "OTA_OPS_HOST": "127.0.0.1",
    "OTA_GATEWAY_OPS_PORT": "9101",
    "OTA_INVENTORY_OPS_PORT": "9102",
    "OTA_RESERVATION_OPS_PORT": "9103",
    "OTA_FULFILLMENT_OPS_PORT": "9104",
    "OTA_INSTANCES": "1",
    **{f"OTA_INSTANCES_{name.upper()}": "" for name in SERVICES},
    "OTA_MONITORING": "1",
    "OTA_PROMETHEUS_PORT": "9090",
    "OTA_ALERTMANAGER_PORT": "9095",
    "OTA_ALERTS_PORT": "9096",
    "OTA_NODE_EXPORTER_PORT": "9100",
    "OTA_CATALOGUE_FILE": "deploy/catalogue/development.toml",
    "OTA_PARTNERS_FILE": "deploy/seed/partners.toml",
}


class SettingsError(Exception):
    """A setting cannot be used; the message names the variable to change."""


@dataclass(frozen=True, slots=True)
class Address:
    """A place to listen, and the variable that moves it."""

    owner: str
    host: str
    port: int
    variable: str

    @property
    def connect_host(self) -> str:
        """Return the host that a client on this machine uses to reach this address."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104

    def __str__(self) -> str:
        host = f"[{self.connect_host}]" if ":" in self.connect_host else self.connect_host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the launcher was told, parsed once."""

    data_dir: Path
    backup_dir: Path
    postgres: Address
    postgres_bin: Path | None
    kafka: Address
    kafka_controller: Address
    kafka_heap_mib: int
    partner: Address
    ops: Mapping[str, Address]
    instances: Mapping[str, int]
    # Prometheus and what belongs to it, by process; empty when it is switched off.
    monitoring: Mapping[str, Address]
    catalogue_file: Path
    partners_file: Path
    environment: Mapping[str, str]

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Return every address that the stack listens on."""
        return (
            self.postgres,
            self.kafka,
            self.kafka_controller,
            self.partner,
            *self.ops.values(),
            *self.monitoring.values(),
        )

    @property
    def log_dir(self) -> Path:
        """Return the folder with one log file per process."""
        return self.data_dir / "log"


def load(*, process_environment: Mapping[str, str], checkout: Path = CHECKOUT) -> Settings:
    """Read the settings from the environment, then `.env`, then the defaults.

    Raises SettingsError on a value that cannot be used.
    """
    return parse(
        environment=merge(
            dotenv=dotenv_values(checkout / ".env", interpolate=False),
            process_environment=process_environment,
        ),
        checkout=checkout,
    )


def merge(
    *, dotenv: Mapping[str, str | None], process_environment: Mapping[str, str]
) -> dict[str, str]:
    """Return one environment: what the process was given wins over the `.env` file."""
    from_file = {name: value for name, value in dotenv.items() if value is not None}
    return {**from_file, **process_environment}


def parse(*, environment: Mapping[str, str], checkout: Path) -> Settings:
    """Turn an environment into settings; an empty value counts as not given.

    Raises SettingsError on a port that is none, or on two addresses with the same port.
    """

    def value(name: str) -> str:
        return environment.get(name, "").strip() or DEFAULTS[name]

    def whole(name: str, *, lowest: int, highest: int, default: str = "") -> int:
        text = value(name) or (default and value(default))
        if not text.isascii() or not text.isdigit() or not lowest <= int(text) <= highest:
            raise SettingsError(f"{name}={text} is no whole number from {lowest} to {highest}")
        return int(text)

    def address(owner: str, host: str, port: str) -> Address:
        return Address(owner, value(host), whole(port, lowest=1, highest=65535), port)

    binaries = value("OTA_POSTGRES_BIN")
    settings = Settings(
        data_dir=checkout / value("OTA_DATA_DIR"),
        backup_dir=checkout / (value("OTA_BACKUP_DIR") or Path(value("OTA_DATA_DIR")) / "backup"),
        postgres=address("PostgreSQL", "OTA_POSTGRES_HOST", "OTA_POSTGRES_PORT"),
        postgres_bin=Path(binaries) if binaries else None,
        kafka=address("Kafka", "OTA_KAFKA_HOST", "OTA_KAFKA_PORT"),
        kafka_controller=address(
            "the Kafka controller", "OTA_KAFKA_HOST", "OTA_KAFKA_CONTROLLER_PORT"
        ),
        kafka_heap_mib=whole("OTA_KAFKA_HEAP_MIB", lowest=192, highest=65536),
        partner=address("the partner API", "OTA_PARTNER_HOST", "OTA_PARTNER_PORT"),
        ops={
            name: address(f"{name}'s ops port", "OTA_OPS_HOST", f"OTA_{name.upper()}_OPS_PORT")
            for name in SERVICES
        },
        instances={
            name: whole(
                f"OTA_INSTANCES_{name.upper()}",
                lowest=1,
                highest=INSTANCES_MAX,
                default="OTA_INSTANCES",
            )
            for name in SERVICES
        },
        monitoring={
            name: address(owner, "OTA_OPS_HOST", variable)
            for name, owner, variable in MONITORING
            if whole("OTA_MONITORING", lowest=0, highest=1)
        },
        catalogue_file=checkout / value("OTA_CATALOGUE_FILE"),
        partners_file=checkout / value("OTA_PARTNERS_FILE"),
        environment=dict(environment),
    )
    _refuse_shared_ports(settings.addresses)
    return settings


def _refuse_shared_ports(addresses: tuple[Address, ...]) -> None:
    seen: dict[int, Address] = {}
    for address in addresses:
        other = seen.setdefault(address.port, address)
        if other is not address:
            raise SettingsError(
                f"{other.variable} and {address.variable} are both {address.port}; "
                "give each its own port"
            )
