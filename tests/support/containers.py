"""PostgreSQL and Kafka for tests from Docker, where the developer asks for it.

The same images and settings as docker-compose.yml, on host ports that stay the same over a restart.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from testcontainers.core.container import DockerContainer

from deploy.local.credentials import SUPERUSER_PASSWORD
from deploy.local.kafka import SERVER_PROPERTIES, Broker
from deploy.local.kafka_jars import jar_version
from deploy.local.ports import free_ports
from deploy.local.postgres import SERVER_SETTINGS, Cluster, PostgresError
from deploy.local.processes import wait_until
from tests.support.servers import READY_TIMEOUT_S, ServerError
from tests.support.stack import Backend

_HOST: Final = "127.0.0.1"
_POSTGRES_IMAGE: Final = "postgres:15"


@dataclass(slots=True)
class ContainerServer:
    """A container behind the same handle as a process."""

    name: str
    container: DockerContainer
    probe: Callable[[], bool]
    _made: bool = False

    @property
    def running(self) -> bool:
        """Return whether the container runs (paused counts)."""
        if not self._made:
            return False
        wrapped = self.container.get_wrapped_container()
        wrapped.reload()
        return wrapped.status in {"running", "paused"}

    def start(self) -> None:
        """Make the container, or start the one that was stopped; does nothing if it runs."""
        if self.running:
            return
        if self._made:
            self.container.get_wrapped_container().start()
        else:
            self.container.start()
            self._made = True

    def wait_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until it does its work. Raises ServerError if that takes longer."""
        if not wait_until(condition=self.probe, timeout_s=timeout_s, pause_s=0.1):
            out, err = self.container.get_logs()
            raise ServerError(f"{self.name} is not ready:\n{(out + err).decode()[-3000:]}")

    def stop(self) -> int | None:
        """Stop the container; its data stays."""
        if not self.running:
            return None
        wrapped = self.container.get_wrapped_container()
        wrapped.stop()
        return int(wrapped.wait()["StatusCode"])

    def kill(self) -> None:
        """Kill everything in the container with SIGKILL; its data stays."""
        if self.running:
            self.container.get_wrapped_container().kill()

    def restart(self) -> None:
        """Stop it if it runs, start it, and wait until it is ready."""
        self.stop()
        self.start()
        self.wait_ready()

    def pause(self) -> None:
        """Freeze everything in the container."""
        self.container.get_wrapped_container().pause()

    def resume(self) -> None:
        """Let it go on after a pause."""
        self.container.get_wrapped_container().unpause()


@dataclass(frozen=True, slots=True)
class ContainerCluster(Cluster):
    """PostgreSQL in a container: SQL goes through the psql in there."""

    container: DockerContainer | None = None

    def probe(self) -> bool:
        """Return whether it takes sessions through TCP, which it does not while it is set up."""
        return self._execute(["pg_isready", "-q", "-h", _HOST])[0] == 0

    def run_sql(
        self,
        *,
        script: str,
        database: str = "postgres",
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """Run a psql script as superuser and return what it printed, unaligned."""
        psql = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres"]
        psql += [f"--variable={name}={text}" for name, text in (variables or {}).items()]
        psql += ["-d", database, "-f", "-"]
        # The only way in for standard input; the container is ours alone.
        secrets = [f"{name}={text}" for name, text in self.secrets_by_name.items()]
        piped = f"printf %s {shlex.quote(script)} | env {shlex.join([*secrets, *psql])}"
        code, output = self._execute(["sh", "-c", piped])
        if code != 0:
            raise PostgresError(output)
        return output.strip()

    def _execute(self, words: list[str]) -> tuple[int, str]:
        assert self.container is not None
        ended = self.container.exec(words)
        return ended.exit_code or 0, ended.output.decode(errors="replace")


def container_backend(*, folder: Path, secrets_by_name: Mapping[str, str]) -> Backend:
    """Return PostgreSQL and Kafka as containers that are not started yet."""
    postgres_port, kafka_port = free_ports(count=2)
    settings = {
        name: text for name, text in SERVER_SETTINGS.items() if name != "unix_socket_directories"
    }
    postgres = (
        DockerContainer(_POSTGRES_IMAGE)
        .with_env("POSTGRES_PASSWORD", secrets_by_name[SUPERUSER_PASSWORD])
        .with_env("POSTGRES_INITDB_ARGS", "--data-checksums --encoding=UTF8 --locale=C")
        .with_command(["postgres", *(f"--{name}={text}" for name, text in settings.items())])
        .with_bind_ports(5432, postgres_port)
    )
    kafka = DockerContainer(f"apache/kafka:{jar_version()}").with_bind_ports(kafka_port, kafka_port)
    properties = {
        **SERVER_PROPERTIES,
        "controller.quorum.voters": "1@127.0.0.1:9093",
        "listeners": f"PLAINTEXT://0.0.0.0:{kafka_port},CONTROLLER://127.0.0.1:9093",
        "advertised.listeners": f"PLAINTEXT://{_HOST}:{kafka_port}",
    }
    for name, text in properties.items():
        kafka.with_env(f"KAFKA_{name.upper().replace('.', '_')}", text)
    cluster = ContainerCluster(
        folder=folder,
        host=_HOST,
        connect_host=_HOST,
        port=postgres_port,
        binaries=folder,
        secrets_by_name=secrets_by_name,
        log=folder / "postgres.log",
        container=postgres,
    )
    broker = Broker(
        folder=folder,
        host=_HOST,
        connect_host=_HOST,
        port=kafka_port,
        controller_port=9093,
        heap_mib=384,
        java=folder,
        jars=folder,
        log=folder / "kafka.log",
    )
    return Backend(
        postgres=ContainerServer("postgres", postgres, cluster.probe),
        cluster=cluster,
        kafka=ContainerServer("kafka", kafka, broker.probe),
        broker=broker,
    )
