"""What the stack consists of: every process and every task, in start order, with what each waits
for.
"""

from __future__ import annotations

import enum
import http.client
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from deploy.local.credentials import SECRET_READERS, SERVICE_SECRETS, dsns
from deploy.local.kafka import Broker
from deploy.local.listening import Listening
from deploy.local.ports import free_ports
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
    # Where a service says how it is.
    ops: Address | None = None
    # The socket that its process gets from us.
    listening: Listening | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole stack: servers below, services above, and the handles needed to wipe them."""

    cluster: Cluster
    broker: Broker
    infrastructure: tuple[Step, ...]
    services: tuple[Step, ...]
    # For each service its processes, the last of them only there while the others are restarted.
    instances: Mapping[str, tuple[Step, ...]]
    # What is stopped together, one wave after another: callers before those that they call.
    stop_order: tuple[tuple[str, ...], ...]
    # There once the data has been seeded; gone when it is wiped.
    seeded_marker: Path


def ops_addresses(settings: Settings) -> dict[str, dict[str, Address]]:
    """Return for each service where its processes say how they are, the spare one's last.

    The first one's port is known beforehand, the others' are free now.
    """
    further = iter(free_ports(count=sum(settings.instances.values())))
    return {
        service: {service: first}
        | {
            name: replace(first, owner=f"{name}'s ops port", port=next(further))
            for name in (
                f"{service}-{number}" for number in range(2, settings.instances[service] + 2)
            )
        }
        for service, first in settings.ops.items()
    }


def console_environment(
    *, settings: Settings, ops: Mapping[str, Mapping[str, Address]]
) -> dict[str, str]:
    """Return whom the console asks: the deciding services' processes, and Prometheus if it runs."""
    asked = {
        name: address
        for service, processes in ops.items()
        for name, address in list(processes.items())[:-1]
        if service != "gateway"
    }
    prometheus = settings.monitoring.get("prometheus")
    return {
        "OTA_CONSOLE_SERVICES": ",".join(
            f"{name}=http://{address.connect_host}:{address.port}"
            for name, address in asked.items()
        ),
        "OTA_PROMETHEUS_URL": f"http://{prometheus.connect_host}:{prometheus.port}"
        if prometheus
        else "",
    }


def service_environment(
    *,
    settings: Settings,
    secrets_by_name: Mapping[str, str],
    cluster: Cluster,
    broker: Broker,
    ops: Mapping[str, Mapping[str, Address]],
) -> dict[str, str]:
    """Return what the services are told: what we were told, then what only we know.

    *ops* are the ops ports of each service's processes.

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
        **console_environment(settings=settings, ops=ops),
        # Here everybody calls from one address, a load generator too.
        "OTA_ADDRESS_CALLS_PER_SECOND": "50000",
        **outside,
        "OTA_KAFKA_BOOTSTRAP": broker.bootstrap,
        **dsns(secrets_by_name=secrets_by_name, server=cluster.server),
        "PYTHONUNBUFFERED": "1",
    }


def own_environment(*, environment: Mapping[str, str], service: str, owner: bool) -> dict[str, str]:
    """Return the environment without what only other services and the verifier may know.

    The credentials of the migration role are left in only if *owner* asks for them.
    """
    hidden = {name for name, readers in SECRET_READERS.items() if service not in readers}
    hidden |= {f"OTA_{name.upper()}_DSN" for name in SERVICES if name != service}
    hidden |= {f"OTA_{name.upper()}_OWNER_DSN" for name in SERVICES if name != service or not owner}
    hidden |= {f"OTA_{name.upper()}_VERIFY_DSN" for name in SERVICES}
    return {name: text for name, text in environment.items() if name not in hidden}


def make_plan(
    *,
    settings: Settings,
    secrets_by_name: Mapping[str, str],
    cluster: Cluster,
    broker: Broker,
) -> Plan:
    """Return the plan of the stack that these settings describe."""
    ops = ops_addresses(settings)
    shared = service_environment(
        settings=settings,
        secrets_by_name=secrets_by_name,
        cluster=cluster,
        broker=broker,
        ops=ops,
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

    listening = Listening(address=settings.partner)

    def server(service: str, name: str, at: Address, *, after: tuple[str, ...]) -> Step:
        own = {at.variable: str(at.port), "OTA_GATEWAY_INSTANCE": ""} if name != service else {}
        run = command(service, "run", log=name)
        return Step(
            name=name,
            kind=Kind.SERVER,
            command=replace(run, environment={**run.environment, **own}),
            after=after,
            address=str(settings.partner) if name == "gateway" else str(at),
            probe=lambda: answers_ready(address=at),
            ops=at,
            listening=listening if service == "gateway" else None,
        )

    after = dict.fromkeys(deciders, migrated)
    after["gateway"] = (*deciders, "load-partners")
    instances = {
        service: tuple(
            server(service, name, at, after=after[service]) for name, at in ops[service].items()
        )
        for service in SERVICES
    }
    services = (
        *(migration(name) for name in SERVICES),
        # A service reads its neighbours' views, so all of them have to be there.
        *(each for name in deciders for each in instances[name][:-1]),
        seed("inventory", "load-catalogue", settings.catalogue_file, after=("inventory",)),
        seed("gateway", "load-partners", settings.partners_file, after=migrated),
        *instances["gateway"][:-1],
    )

    def named(*services: str) -> tuple[str, ...]:
        return tuple(each.name for name in services for each in instances[name])

    return Plan(
        cluster=cluster,
        broker=broker,
        infrastructure=infrastructure,
        services=services,
        instances=instances,
        stop_order=(
            (*migrated, *seeded, *named("gateway")),
            named(*deciders),
            ("kafka",),
            ("postgres",),
        ),
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
