"""The configuration that is measured, asked of what runs: it must be the production one."""

from __future__ import annotations

import importlib.util
import platform
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg

from bench.stack import Stack, StackMissing
from deploy.local.machine import disk_settings
from deploy.local.settings import Settings
from services.gateway.settings import Settings as GatewaySettings
from services.inventory.domain.decisions import HOLD_DEFAULT

CONNECT_TIMEOUT_S = 10
POSTGRES_SETTINGS = (
    *("server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method"),
    *("shared_buffers", "max_connections", "max_wal_size"),
)
KAFKA_SETTINGS = ("min.insync.replicas", "log.flush.interval.messages", "log.flush.interval.ms")
GATEWAY_SETTINGS = (
    *("address_calls_per_second", "connections_max", "address_connections_max"),
    *("access_log", "qr_processes"),
)
MUST_BE = {"PostgreSQL fsync": "on", "PostgreSQL synchronous_commit": "on"}


async def configuration(*, stack: Stack, settings: Settings) -> dict[str, Any]:
    """Return what is switched on, by name; raises StackMissing."""
    try:
        database = await asyncpg.connect(stack.admin_dsn, timeout=CONNECT_TIMEOUT_S)
        try:
            postgres = {name: await database.fetchval(f"SHOW {name}") for name in POSTGRES_SETTINGS}
        finally:
            await database.close()
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StackMissing(f"PostgreSQL can't be asked for its settings: {error}") from error
    kafka = _properties(settings.data_dir / "kafka" / "server.properties")
    return {
        **{f"PostgreSQL {name}": value for name, value in postgres.items()},
        "Kafka producers": "acks=all, idempotent order within a partition, no linger",
        **{
            f"Kafka {name}": kafka.get(name, "broker's default (left to the page cache)")
            for name in KAFKA_SETTINGS
        },
        "rate limits": "on (quota leases; the benchmark's partners may call 10,000,000 a minute)",
        "audit": "on, a row for each call",
        **{f"gateway {name}": _gateway(stack.environment, name) for name in GATEWAY_SETTINGS},
        "hold, default length": f"{HOLD_DEFAULT.total_seconds() / 3600:.0f} h",
        **{f"Linux {name}": value for name, value in disk_settings().items()},
        "instances": dict(sorted(Counter(stack.pids.keys()).items())),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "uvloop": "installed" if importlib.util.find_spec("uvloop") else "no",
    }


def unsafe(found: Mapping[str, Any]) -> list[str]:
    """Return what is not as production has it; figures of such a stack do not count."""
    return [
        f"{name} is {found.get(name)} instead of {wanted}"
        for name, wanted in MUST_BE.items()
        if found.get(name) != wanted
    ]


def _gateway(environment: Mapping[str, str], name: str) -> str:
    given = environment.get(f"OTA_{name.upper()}")
    if given:
        return given
    if name == "address_calls_per_second":
        # What the launcher gives its gateway (deploy/local/plan.py).
        return "50000"
    return str(GatewaySettings.model_fields[name].default)


def _properties(file: Path) -> dict[str, str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)
