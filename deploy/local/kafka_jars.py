"""Kafka's jars: fetched once from Maven's repository, with an archive of their classes that halves
every start.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from deploy.local.kafka import CLASS_ARCHIVE, Broker, KafkaSetupError
from deploy.local.ports import free_ports
from deploy.local.processes import spawn, tail
from deploy.local.settings import CHECKOUT
from deploy.local.state import FolderLock

# One store for the checkout, whatever data folder is used: the jars are the same for all.
JAR_STORE: Final = CHECKOUT / "var" / "kafka"
# There if making the archive was tried in vain, so that it is not tried at every start.
_NO_ARCHIVE: Final = f"{CLASS_ARCHIVE}.failed"
_POM: Final = CHECKOUT / "deploy" / "kafka" / "pom.xml"


def jar_version() -> str:
    """Return Kafka's version, as the pom states it."""
    pom = _POM.read_text(encoding="utf-8")
    found = re.search(r"<kafka\.version>([^<]+)</kafka\.version>", pom)
    if found is None:
        raise KafkaSetupError("deploy/kafka/pom.xml does not state kafka.version")
    return found[1]


def jar_folder() -> Path:
    """Return where the jars are, or will be."""
    return JAR_STORE / f"libs-{jar_version()}"


def install_jars(*, maven: Path | None, java: Path, say: Callable[[str], None]) -> Path:
    """Fetch Kafka's jars once, whole or not at all, and return their folder.

    Two may do it at the same time. Maven is needed only where the jars are not there yet; raises
    KafkaSetupError with its last lines.
    """
    folder = jar_folder()
    if _complete(folder):
        return folder
    lock = FolderLock(file=JAR_STORE / "install.lock")
    lock.acquire(wait=True)
    try:
        if not folder.exists():
            if maven is None:
                raise KafkaSetupError("Kafka's jars are gone: run the same command again")
            say(f"fetching Kafka {jar_version()} (once)")
            with tempfile.TemporaryDirectory(dir=JAR_STORE, prefix="libs-") as unfinished:
                _copy_jars(maven=maven, target=Path(unfinished) / "jars")
                (Path(unfinished) / "jars").rename(folder)
        if not _complete(folder):
            _make_archive(java=java, jars=folder, say=say)
    finally:
        lock.release()
    return folder


def _complete(folder: Path) -> bool:
    return (folder / CLASS_ARCHIVE).exists() or (folder / _NO_ARCHIVE).exists()


def _copy_jars(*, maven: Path, target: Path) -> None:
    ended = subprocess.run(
        [
            *(str(maven), "-q", "-B", "--strict-checksums", "-f", str(_POM)),
            *("dependency:copy-dependencies", f"-DoutputDirectory={target}"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    if ended.returncode != 0:
        last = "\n".join((ended.stdout + ended.stderr).strip().splitlines()[-15:])
        raise KafkaSetupError(f"Maven could not fetch Kafka's jars:\n{last}")


def _make_archive(*, java: Path, jars: Path, say: Callable[[str], None]) -> None:
    # Class-data sharing, as the official image does it: a broker that starts and ends once leaves
    # its loaded classes in a file. Only a gain in speed, so a failure is told and forgotten.
    say("teaching Java Kafka's classes (once, halves every later start)")
    with tempfile.TemporaryDirectory(prefix="ota-kafka-") as folder:
        port, controller_port = free_ports(count=2)
        broker = Broker(
            folder=Path(folder),
            host="127.0.0.1",
            connect_host="127.0.0.1",
            port=port,
            controller_port=controller_port,
            heap_mib=384,
            java=java,
            jars=jars,
            log=Path(folder) / "kafka.log",
        )
        broker.prepare()
        unfinished = jars / f"{CLASS_ARCHIVE}.new"
        process = spawn(
            command=broker.command(
                environment=os.environ, java_options=(f"-XX:ArchiveClassesAtExit={unfinished}",)
            )
        )
        try:
            ready = broker.wait_ready(timeout_s=60)
            process.terminate()
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            ready = False
        finally:
            process.kill()
            process.wait()
        if ready and unfinished.exists():
            unfinished.rename(jars / CLASS_ARCHIVE)
        else:
            say("that did not work; starts stay slower: " + " ".join(tail(log=broker.log, lines=1)))
            (jars / _NO_ARCHIVE).touch()
