"""Where everything of a run is: folders, ports, secrets, and what each process is told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chaos.proxy import Door
from deploy.local import credentials
from deploy.local.kafka import Broker
from deploy.local.plan import console_command, own_environment
from deploy.local.ports import free_ports
from deploy.local.postgres import Cluster
from deploy.local.processes import Command
from deploy.local.settings import CHECKOUT, load
from deploy.local.stack import Tools, provide_tools

HOST = "127.0.0.1"
DECIDERS = ("inventory", "reservation", "fulfillment")
SERVICES = (*DECIDERS, "gateway")
SEEDS = Path(__file__).parent / "seed"
HEAP_MIB = 384
# A power cut copies the whole image: what the server keeps beside the data should be small.
POSTGRES_SETTINGS = {
    "shared_buffers": "128MB",
    "max_wal_size": "256MB",
    "restart_after_crash": "on",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One process of a service: its name, its ports, and the port that partners call."""

    name: str
    service: str
    number: int
    ops_port: int
    port: int = 0
    partner_port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The places of one run; nothing is started or written yet, but the secrets."""

    folder: Path
    tools: Tools
    secrets: Mapping[str, str]
    postgres_port: int
    postgres_door: int
    kafka_port: int
    kafka_controller_port: int
    kafka_door: int
    instances: tuple[Instance, ...]
    postgres_settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def cluster(self) -> Cluster:
        """Return the PostgreSQL server, at its own port: the harness comes past the proxy."""
        return Cluster(
            folder=self.folder / "postgres",
            host=HOST,
            connect_host=HOST,
            port=self.postgres_port,
            binaries=self.tools.postgres_binaries,
            secrets_by_name=self.secrets,
            log=self.log("postgres"),
            server_settings={**POSTGRES_SETTINGS, **self.postgres_settings},
        )

    @property
    def broker(self) -> Broker:
        """Return the Kafka broker, which tells all its clients to come through the proxy."""
        return Broker(
            folder=self.folder / "kafka",
            host=HOST,
            connect_host=HOST,
            port=self.kafka_port,
            advertised_port=self.kafka_door,
            controller_port=self.kafka_controller_port,
            heap_mib=HEAP_MIB,
            java=self.tools.java,
            jars=self.tools.jars,
            log=self.log("kafka"),
        )

    @property
    def doors(self) -> tuple[Door, ...]:
        """Return what the proxy listens on."""
        return (
            Door(
                name="postgres",
                port=self.postgres_door,
                target_port=self.postgres_port,
                protocol="postgres",
            ),
            Door(name="kafka", port=self.kafka_door, target_port=self.kafka_port, protocol="kafka"),
            *(
                Door(
                    name=each.name, port=each.partner_port, target_port=each.port, protocol="plain"
                )
                for each in self.instances
                if each.partner_port
            ),
        )

    def log(self, name: str) -> Path:
        """Return a process's log file."""
        return self.folder / "log" / f"{name}.log"

    def admin_dsn(self, service: str) -> str:
        """Return a service's database as superuser, past the proxy."""
        password = self.secrets[credentials.SUPERUSER_PASSWORD]
        return f"postgresql://postgres:{password}@{HOST}:{self.postgres_port}/ota_{service}"

    def environment(self, service: str, *, owner: bool = False) -> dict[str, str]:
        """Return what a process of a service is told."""
        shared = {
            **{name: text for name, text in os.environ.items() if not name.startswith("OTA_")},
            **{name: self.secrets[name] for name in credentials.SERVICE_SECRETS},
            **credentials.dsns(secrets_by_name=self.secrets, server=f"{HOST}:{self.postgres_door}"),
            "OTA_KAFKA_BOOTSTRAP": f"{HOST}:{self.kafka_door}",
            "OTA_OPS_HOST": HOST,
            # Everybody calls from one address here, also 1,000 idle connections.
            "OTA_ADDRESS_CALLS_PER_SECOND": "50000",
            "OTA_ADDRESS_CONNECTIONS_MAX": "3000",
            "PYTHONUNBUFFERED": "1",
        }
        return own_environment(environment=shared, service=service, owner=owner)

    def command(self, service: str, *words: str, log: str, owner: bool = False) -> Command:
        """Return a console command of a service."""
        return Command(
            argv=(console_command(service=service), *words),
            environment=self.environment(service, owner=owner),
            log=self.log(log),
            cwd=CHECKOUT,
        )

    def run(self, instance: Instance) -> Command:
        """Return how an instance of a service is run."""
        told = {f"OTA_{instance.service.upper()}_OPS_PORT": str(instance.ops_port)}
        if instance.port:
            told |= {
                "OTA_PARTNER_HOST": HOST,
                "OTA_PARTNER_PORT": str(instance.port),
                "OTA_GATEWAY_INSTANCE": str(instance.number - 1),
            }
        made = self.command(instance.service, "run", log=instance.name)
        return Command(
            argv=made.argv,
            environment={**made.environment, **told},
            log=made.log,
            cwd=made.cwd,
        )


def make(
    *, folder: Path, instances: int, postgres_settings: Mapping[str, str] | None = None
) -> Layout:
    """Choose ports and make secrets for a stack in *folder*."""
    names = [(service, number) for number in range(1, instances + 1) for service in SERVICES]
    ports = iter(free_ports(count=5 + 3 * len(names)))
    tools = provide_tools(settings=load(process_environment=os.environ), say=print)
    fixed = [next(ports) for _ in range(5)]
    made = []
    for service, number in names:
        partner = service == "gateway"
        made.append(
            Instance(
                name=f"{service}-{number}",
                service=service,
                number=number,
                ops_port=next(ports),
                port=next(ports) if partner else 0,
                partner_port=next(ports) if partner else 0,
            )
        )
    return Layout(
        folder=folder,
        tools=tools,
        secrets=credentials.load_or_make(file=folder / "secrets.env"),
        postgres_port=fixed[0],
        postgres_door=fixed[1],
        kafka_port=fixed[2],
        kafka_controller_port=fixed[3],
        kafka_door=fixed[4],
        instances=tuple(made),
        postgres_settings=postgres_settings or {},
    )
