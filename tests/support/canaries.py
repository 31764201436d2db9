"""Looks for words in everything that a running stack has written, in whatever form they hide."""

from __future__ import annotations

import asyncio
import base64
import json
import mmap
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, quote_plus

from deploy.local.credentials import SUPERUSER_PASSWORD
from deploy.local.settings import SERVICES
from libs.events import topics as catalogue
from tests.support import topics
from tests.support.deciders import Deciders, ops_page
from tests.support.stack import Stack


def forms(word: str) -> set[bytes]:
    """Return a word as it may lie somewhere: as text, escaped, or encoded."""
    raw = word.encode()
    found = {
        raw,
        json.dumps(word)[1:-1].encode(),
        quote(word).encode(),
        quote_plus(word).encode(),
        raw.hex().encode(),
        word.encode("utf-16-le"),
        word.lower().encode(),
    }
    for shift in range(3):
        # Inside a longer text it may begin at any of three places of a group; its ends depend on
        # what stands beside it.
        encoded = base64.b64encode(b"\0" * shift + raw)
        found |= {encoded[4:-4], encoded[4:-4].translate(bytes.maketrans(b"+/", b"-_"))}
    return found


async def sightings(deciders: Deciders, words: Mapping[str, str], *, since: float) -> list[str]:
    """Return where words are found, by their names: databases, topics, files, logs, metrics.

    No word was used before *since* (seconds of the epoch).
    """
    needles = [(name, form) for name, word in words.items() for form in sorted(forms(word))]
    found = await asyncio.to_thread(lambda: list(_on_disk(deciders.stack, needles, since)))
    for topic in catalogue.ALL:
        for partition in range(topic.partitions):
            records = await topics.read_all(
                bootstrap=deciders.stack.broker.bootstrap, topic=topic, partition=partition
            )
            for record in records:
                parts = [record.key or b"", record.value or b"", *(v for _, v in record.headers)]
                found += _in(b"\n".join(parts), needles, f"topic {topic.name}")
    for name, process in deciders.processes.items():
        page = await ops_page(process, "/metrics")
        found += _in(page.encode(), needles, f"metrics of {name}")
    return sorted(set(found))


Needles = Sequence[tuple[str, bytes]]


def _in(text: bytes | mmap.mmap, needles: Needles, where: str) -> Iterator[str]:
    for name, needle in needles:
        if text.find(needle) >= 0:
            yield f"{name} in {where}"


def _on_disk(stack: Stack, needles: Needles, since: float) -> Iterator[str]:
    """Search dumps, where nothing is compressed, and files: segments, logs, write-ahead logs.

    What PostgreSQL ever wrote, rolled back or not, is in its write-ahead log.
    """
    for service in SERVICES:
        dump = _dumped(stack, database_of(stack, service))
        yield from _in(dump, needles, f"database of {service}")
    root = stack.cluster.folder.parent
    for path in root.rglob("*"):
        parts = path.relative_to(root).parts
        if parts[0] not in {"log", "kafka"} and "pg_wal" not in parts:
            continue
        # Indexes have offsets and times only, and are mostly holes.
        if path.suffix in {".index", ".timeindex"} or not path.is_file():
            continue
        if not path.stat().st_size or ("pg_wal" in parts and path.stat().st_mtime < since):
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            yield from _in(text, needles, f"file {parts[0]}")


def database_of(stack: Stack, service: str) -> str:
    """Return the name of a service's newest database."""
    return stack.env[f"OTA_{service.upper()}_DSN"].rpartition("/")[2]


def _dumped(stack: Stack, database: str) -> bytes:
    cluster = stack.cluster
    return subprocess.run(
        [
            *(str(cluster.binaries / "pg_dump"), "-h", cluster.connect_host, "-U", "postgres"),
            *("-p", str(cluster.port), "--inserts", database),
        ],
        env={**os.environ, "PGPASSWORD": cluster.secrets_by_name[SUPERUSER_PASSWORD]},
        capture_output=True,
        check=True,
        timeout=120,
    ).stdout


def log_folder(stack: Stack) -> Path:
    """Return the folder in which services log."""
    return stack.cluster.folder.parent / "log"
