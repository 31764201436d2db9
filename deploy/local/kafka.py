"""The local Kafka: its jars from Maven, one KRaft node in the data folder, its settings and topics
to wipe.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import AsyncIterator, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local.processes import Command, wait_until
from deploy.local.settings import CHECKOUT

Answer = TypeVar("Answer")

# A file of Java's loaded classes, ready to be mapped; made beside the jars.
CLASS_ARCHIVE: Final = "classes.jsa"
_LOGGING: Final = CHECKOUT / "deploy" / "kafka" / "log4j2.xml"
_REQUEST_TIMEOUT_MS: Final = 10_000

# What does not depend on folder or port. One node, so every replication factor is 1.
SERVER_PROPERTIES: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "num.partitions": "4",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    # The age of a command is judged by the broker's time of append, not by its producer's clock.
    "log.message.timestamp.type": "LogAppendTime",
    "log.segment.bytes": "67108864",
    "log.retention.check.interval.ms": "300000",
    "log.cleaner.dedupe.buffer.size": "4194304",
    # A broker that was killed may only come back when its last session has run out.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "1000",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "background.threads": "2",
    # No heartbeat records in the metadata log: an idle broker is idle.
    "metadata.max.idle.interval.ms": "0",
}


class KafkaSetupError(Exception):
    """Kafka could not be fetched or set up; the message carries the tool's own last words."""


@dataclass(frozen=True, slots=True)
class Broker:
    """One Kafka node: where it keeps its log, where it listens, how to speak to it."""

    folder: Path
    host: str
    connect_host: str
    port: int
    controller_port: int
    heap_mib: int
    java: Path
    jars: Path
    log: Path
    # Where clients are told to come, when something stands in between; 0 is the port itself.
    advertised_port: int = 0

    @property
    def bootstrap(self) -> str:
        """Return `host:port` for clients."""
        return f"{self.connect_host}:{self.port}"

    def prepare(self) -> None:
        """Write the configuration, and format the log folder if there is none. Raises
        KafkaSetupError.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        data = self.folder / "data"
        if not data.exists():
            self._format(data=data)
        self._write_properties(data=data)

    def _format(self, *, data: Path) -> None:
        unfinished = self.folder / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        properties = self._write_properties(data=unfinished)
        cluster_id = "-"
        while cluster_id.startswith("-"):  # the tool would take it for an option
            cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        ended = subprocess.run(
            [
                *(str(self.java), "-XX:TieredStopAtLevel=1", *_logging_options()),
                *("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)),
            ],
            env=self._environment(os.environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if ended.returncode != 0:
            raise KafkaSetupError(f"formatting failed: {(ended.stderr or ended.stdout).strip()}")
        unfinished.rename(data)

    def _write_properties(self, *, data: Path) -> Path:
        controller = f"{self.connect_host}:{self.controller_port}"
        properties = {
            **SERVER_PROPERTIES,
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"PLAINTEXT://{self.host}:{self.port},CONTROLLER://{controller}",
            "advertised.listeners": (
                f"PLAINTEXT://{self.connect_host}:{self.advertised_port or self.port}"
            ),
            "log.dirs": str(data),
        }
        file = self.folder / "server.properties"
        # Java's properties: a backslash escapes, and a folder may hold one.
        lines = [f"{name}={text}\n".replace("\\", "\\\\") for name, text in properties.items()]
        file.write_text("".join(lines), encoding="utf-8")
        return file

    def command(
        self, *, environment: Mapping[str, str], java_options: tuple[str, ...] = ()
    ) -> Command:
        """Return how the broker is started and ended."""
        return Command(
            argv=(
                str(self.java),
                *("-Xms128m", f"-Xmx{self.heap_mib}m", "-XX:+UseSerialGC"),
                # A local broker is young most of the time: the second compiler would take more
                # processor time in its first minutes than it gives back.
                "-XX:TieredStopAtLevel=1",
                "-XX:+ExitOnOutOfMemoryError",
                *(java_options or self._archive_options()),
                *_logging_options(),
                *("kafka.Kafka", str(self.folder / "server.properties")),
            ),
            environment=self._environment(environment),
            log=self.log,
            cwd=self.folder,
        )

    def _archive_options(self) -> tuple[str, ...]:
        # Halves the start. An archive of another Java is ignored, which is not worth a word in the
        # log.
        archive = self.jars / CLASS_ARCHIVE
        if not archive.exists():
            return ()
        return (
            f"-XX:SharedArchiveFile={archive}",
            "-Xshare:auto",
            "-Xlog:disable",
            "-Xlog:all=error",
        )

    def _environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        # In the environment, not on the command line: 46 paths would bury the rest of it. Sorted,
        # because an archive of classes holds for one order only.
        jars = sorted(str(path) for path in self.jars.glob("*.jar"))
        return {**environment, "CLASSPATH": os.pathsep.join(jars)}

    def probe(self) -> bool:
        """Return whether the broker answers with itself as a member of the cluster."""
        # The client logs an error for each attempt on a broker that is not there yet; a port that
        # is closed says the same.
        with contextlib.suppress(OSError, KafkaError, TimeoutError):
            socket.create_connection((self.connect_host, self.port), timeout=1).close()
            return in_own_loop(coroutine=_has_broker(bootstrap=self.bootstrap))
        return False

    def delete_topics(self, *, prefix: str) -> None:
        """Delete the topics of a prefix and wait until none is left. Raises KafkaSetupError after
        15 s.
        """

        def gone() -> bool:
            return not in_own_loop(
                coroutine=_delete_topics(bootstrap=self.bootstrap, prefix=prefix)
            )

        if not wait_until(condition=gone, timeout_s=15, pause_s=0.1):
            raise KafkaSetupError(f"topics {prefix}* could not be deleted")

    def wait_ready(self, *, timeout_s: float) -> bool:
        """Wait until the broker answers; return whether it does."""
        return wait_until(condition=self.probe, timeout_s=timeout_s, pause_s=0.1)


def _logging_options() -> tuple[str, ...]:
    return (f"-Dlog4j2.configurationFile={_LOGGING}",)


def in_own_loop(*, coroutine: Coroutine[None, None, Answer]) -> Answer:
    """Run a coroutine to its end on a thread of its own, so that callers with and without a loop
    may use it.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


async def _has_broker(*, bootstrap: str) -> bool:
    async with _admin(bootstrap=bootstrap) as admin:
        return bool((await admin.describe_cluster())["brokers"])


async def _delete_topics(*, bootstrap: str, prefix: str) -> list[str]:
    """Delete what there is; return the names that were there, so that a second call confirms."""
    async with _admin(bootstrap=bootstrap) as admin:
        names = [name for name in await admin.list_topics() if name.startswith(prefix)]
        if names:
            await admin.delete_topics(names, timeout_ms=10_000)
        return names


@asynccontextmanager
async def _admin(*, bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
