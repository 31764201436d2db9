"""What the stack consists of: every process and every task, in start order, with what each waits
for.
"""

from __future__ import annotations

import enum
import http.client
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local.credentials import SECRET_READERS, SERVICE_SECRETS, dsns
from deploy.local.kafka import Broker
from deploy.local.postgres import Cluster
from deploy.local.processes import Command
from deploy.local.settings import CHECKOUT, SERVICES, Address, Settings

READY_TIMEOUT_S: Final = 60.0
TASK_TIMEOUT_S: Final = 120.0
STOP_BUDGET_S: Final = 10.0


@enum.unique
class Kind(enum.StrEnum):
    """What becomes of a step: it goes on until it is stopped, or it runs once to its end."""

    SERVER = "server"
    TASK = "task"


def _nothing() -> None:
    """Do nothing: most steps need no preparation and no finish."""


def _ready_at_once() -> bool:
    return True


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Step:
    """One process of the stack."""

    name: str
    kind: Kind
    command: Command
    after: tuple[str, ...] = ()
    address: str | None = None
    # Before its first start; must be harmless when repeated.
    prepare: Callable[[], None] = _nothing
    # Answers soon (2 s at most) whether the server does its work; asked again and again.
    probe: Callable[[], bool] = _ready_at_once
    # Once it is ready, before anything that waits for it goes on.
    settle: Callable[[], None] = _nothing
    # Whether, at this moment, the others may go on although this task failed.
    may_fail: Callable[[], bool] = _never


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole stack: servers below, services above, and the handles needed to wipe them."""

    cluster: Cluster
    broker: Broker
    infrastructure: tuple[Step, ...]
    services: tuple[Step, ...]
    # What is stopped together, one wave after another: callers before those that they call.
    stop_order: tuple[tuple[str, ...], ...]
    # There once the data has been seeded; gone when it is wiped.
    seeded_marker: Path


def service_environment(
    *, settings: Settings, secrets_by_name: Mapping[str, str], cluster: Cluster, broker: Broker
) -> dict[str, str]:
    """Return what the services are told: what we were told, then what only we know.

    Addresses of servers that we start ourselves win over anything set outside; secrets set outside
    win over ours.
    """
    outside = {name: text for name, text in settings.environment.items() if text}
    return {
        **{name: secrets_by_name[name] for name in SERVICE_SECRETS},
        "OTA_PARTNER_HOST": settings.partner.host,
        "OTA_PARTNER_PORT": str(settings.partner.port),
        "OTA_OPS_HOST": settings.ops["gateway"].host,
        **{address.variable: str(address.port) for address in settings.ops.values()},
        "OTA_CONSOLE_SERVICES": ",".join(
            f"{name}=http://{address.connect_host}:{address.port}"
            for name, address in settings.ops.items()
            if name != "gateway"
        ),
        # Here everybody calls from one address, a load generator too.
        "OTA_ADDRESS_CALLS_PER_SECOND": "50000",
        **outside,
        "OTA_KAFKA_BOOTSTRAP": broker.bootstrap,
        **dsns(secrets_by_name=secrets_by_name, server=cluster.server),
        "PYTHONUNBUFFERED": "1",
    }


def own_environment(*, environment: Mapping[str, str], service: str, owner: bool) -> dict[str, str]:
    """Return the environment without what only other services may know.

    The credentials of the migration role are left in only if *owner* asks for them.
    """
    hidden = {name for name, readers in SECRET_READERS.items() if service not in readers}
    hidden |= {f"OTA_{name.upper()}_DSN" for name in SERVICES if name != service}
    hidden |= {f"OTA_{name.upper()}_OWNER_DSN" for name in SERVICES if name != service or not owner}
    return {name: text for name, text in environment.items() if name not in hidden}


def make_plan(
    *,
    settings: Settings,
    secrets_by_name: Mapping[str, str],
    cluster: Cluster,
    broker: Broker,
) -> Plan:
    """Return the plan of the stack that these settings describe."""
    shared = service_environment(
        settings=settings, secrets_by_name=secrets_by_name, cluster=cluster, broker=broker
    )
    infrastructure = (
        Step(
            name="postgres",
            kind=Kind.SERVER,
            command=cluster.command(environment=settings.environment),
            address=str(settings.postgres),
            prepare=cluster.prepare,
            probe=cluster.probe,
            settle=cluster.ensure_databases,
        ),
        Step(
            name="kafka",
            kind=Kind.SERVER,
            command=broker.command(environment=settings.environment),
            address=str(settings.kafka),
            prepare=broker.prepare,
            probe=broker.probe,
        ),
    )
    migrated = tuple(f"migrate-{name}" for name in SERVICES)
    deciders = tuple(name for name in SERVICES if name != "gateway")
    seeded = ("load-catalogue", "load-partners")
    seeded_marker = settings.data_dir / "seeded"

    def command(service: str, *words: str, log: str, owner: bool = False) -> Command:
        return Command(
            argv=(console_command(service=service), *words),
            environment=own_environment(environment=shared, service=service, owner=owner),
            log=settings.log_dir / f"{log}.log",
            cwd=CHECKOUT,
        )

    def migration(service: str) -> Step:
        name = f"migrate-{service}"
        return Step(name, Kind.TASK, command(service, "migrate", log=name, owner=True))

    def seed(service: str, name: str, file: Path, *, after: tuple[str, ...]) -> Step:
        return Step(
            name=name,
            kind=Kind.TASK,
            command=command(service, name, str(file), log=name),
            after=after,
            # Data that was seeded before may have moved on, to a newer catalogue for instance.
            may_fail=seeded_marker.exists,
        )

    def server(service: str, *, after: tuple[str, ...]) -> Step:
        ops = settings.ops[service]
        return Step(
            name=service,
            kind=Kind.SERVER,
            command=command(service, "run", log=service),
            after=after,
            address=str(settings.partner) if service == "gateway" else str(ops),
            probe=lambda: answers_ready(address=ops),
        )

    services = (
        *(migration(name) for name in SERVICES),
        # A service reads its neighbours' views, so all of them have to be there.
        *(server(name, after=migrated) for name in deciders),
        seed("inventory", "load-catalogue", settings.catalogue_file, after=("inventory",)),
        seed("gateway", "load-partners", settings.partners_file, after=migrated),
        server("gateway", after=(*deciders, "load-partners")),
    )
    return Plan(
        cluster=cluster,
        broker=broker,
        infrastructure=infrastructure,
        services=services,
        stop_order=((*migrated, *seeded, "gateway"), deciders, ("kafka",), ("postgres",)),
        seeded_marker=seeded_marker,
    )


def console_command(*, service: str) -> str:
    """Return the service's console command in the environment that runs the launcher."""
    return str(Path(sys.prefix) / "bin" / f"ota-{service}")


def answers_ready(*, address: Address) -> bool:
    """Return whether a service says on its ops port that it is ready."""
    with suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection(address.connect_host, address.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.client.OK
        finally:
            connection.close()
    return False
