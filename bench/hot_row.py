"""The alternative beside it: pgbench updates one hot row on the same PostgreSQL server.

One statement, one row, one commit each: the least that any design does that keeps
a product's stock in a row and lets every request update it.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg

DATABASE = "bench"
SCRIPT = "UPDATE hot_row SET taken = taken + 1 WHERE id = 1 RETURNING taken;\n"
POSTGRES_HOMES = Path("/usr/lib/postgresql")
CONNECT_TIMEOUT_S = 10
EXTRA_TIME_S = 30
CLIENTS = (1, 8, 32, 128)
CONNECTIONS_LEFT = 5
_FREE = """
    SELECT current_setting('max_connections')::int
           - current_setting('superuser_reserved_connections')::int - count(*)
      FROM pg_stat_activity WHERE backend_type = 'client backend'"""

_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_LATENCY = re.compile(r"^latency average = ([0-9.]+) ms", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: ([0-9]+)", re.MULTILINE)


class HotRowError(Exception):
    """pgbench could not be run; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HotRow:
    """One run of pgbench."""

    clients: int
    per_s: float
    mean_ms: float


def find_pgbench(*, configured: Path | None) -> Path:
    """Return pgbench from the *configured* folder, PATH or the newest PostgreSQL.

    Raises HotRowError when there is none.
    """
    if configured is not None and (configured / "pgbench").exists():
        return configured / "pgbench"
    found = shutil.which("pgbench")
    if found is not None:
        return Path(found)
    versions = sorted(POSTGRES_HOMES.glob("*/bin/pgbench"), key=_version, reverse=True)
    if not versions:
        raise HotRowError(f"there is no pgbench on PATH nor below {POSTGRES_HOMES}")
    return versions[0]


def parse_output(*, clients: int, text: str) -> HotRow:
    """Return the figures that pgbench printed; raises HotRowError when it printed none."""
    tps, latency, failed = _TPS.search(text), _LATENCY.search(text), _FAILED.search(text)
    if tps is None or latency is None:
        raise HotRowError(f"pgbench printed no figures: {text.strip()[-200:]!r}")
    if failed is not None and int(failed.group(1)):
        raise HotRowError(f"pgbench counts {failed.group(1)} failed transactions")
    return HotRow(clients=clients, per_s=float(tps.group(1)), mean_ms=float(latency.group(1)))


async def prepare(*, admin_dsn: str) -> str:
    """Make the database `bench` with its one row; return its address. Raises HotRowError."""
    dsn = urlsplit(admin_dsn)._replace(path=f"/{DATABASE}").geturl()
    try:
        admin = await asyncpg.connect(admin_dsn, timeout=CONNECT_TIMEOUT_S)
        try:
            if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await admin.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await admin.close()
        own = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
        try:
            await own.execute(
                "CREATE TABLE IF NOT EXISTS hot_row (id int PRIMARY KEY, taken bigint NOT NULL);"
                "INSERT INTO hot_row VALUES (1, 0) ON CONFLICT DO NOTHING"
            )
        finally:
            await own.close()
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise HotRowError(f"the database for pgbench can't be made: {error}") from error
    return dsn


async def free_connections(*, dsn: str) -> int:
    """Return how many clients the server would still take; raises HotRowError."""
    try:
        own = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
        try:
            return int(await own.fetchval(_FREE)) - CONNECTIONS_LEFT
        finally:
            await own.close()
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise HotRowError(f"the database for pgbench can't be read: {error}") from error


async def run(*, pgbench: Path, dsn: str, clients: int, seconds: int) -> HotRow:
    """Run pgbench for *seconds* with so many clients; raises HotRowError."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(SCRIPT)
        script.flush()
        process = await asyncio.create_subprocess_exec(
            str(pgbench),
            *_arguments(script=script.name, clients=clients, seconds=seconds),
            env={**os.environ, **_connection(dsn)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(seconds + EXTRA_TIME_S):
                out, err = await process.communicate()
        except TimeoutError as error:
            raise HotRowError("pgbench did not end in time") from error
        finally:
            if process.returncode is None:
                process.kill()
    if process.returncode:
        raise HotRowError(f"pgbench failed: {err.decode(errors='replace').strip()[-300:]}")
    return parse_output(clients=clients, text=out.decode())


def _arguments(*, script: str, clients: int, seconds: int) -> Sequence[str]:
    threads = min(clients, os.cpu_count() or 1)
    return [
        "--no-vacuum",
        "--protocol=prepared",
        f"--file={script}",
        f"--client={clients}",
        f"--jobs={threads}",
        f"--time={seconds}",
    ]


def _connection(dsn: str) -> dict[str, str]:
    """Return the address as libpq's variables: a password on a command line could be seen."""
    parts = urlsplit(dsn)
    values = {
        "PGHOST": parts.hostname,
        "PGPORT": parts.port,
        "PGUSER": parts.username and unquote(parts.username),
        "PGPASSWORD": parts.password and unquote(parts.password),
        "PGDATABASE": parts.path.lstrip("/"),
    }
    return {name: str(value) for name, value in values.items() if value}


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in path.parts[-3].split(".") if part.isdigit())
