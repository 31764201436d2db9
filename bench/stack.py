"""The stack under test, as the launcher left it: addresses, processes, and how to load seeds."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from deploy.local import credentials
from deploy.local.plan import console_command, own_environment
from deploy.local.settings import CHECKOUT, Address, Settings, load

PROCESSES = ("gateway", "inventory", "reservation", "fulfillment", "kafka", "postgres")
COMMAND_TIMEOUT_S = 60


class StackMissing(Exception):
    """The stack is not there as the launcher leaves it; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running stack of *checkout*; *pids* may lack processes that do not run here."""

    checkout: Path
    data_dir: Path
    partner: Address
    ops: Mapping[str, Address]
    admin_dsn: str
    postgres_bin: Path | None
    pids: Mapping[str, int]
    environment: Mapping[str, str]

    async def console(self, service: str, *words: str) -> None:
        """Run a service's console command to its end; raises StackMissing when it fails."""
        await _output(
            self.command(service),
            *words,
            cwd=self.checkout,
            environment=self.environment_of(service),
        )

    def command(self, service: str) -> str:
        """Return the service's console command."""
        return str(self.checkout / ".venv" / "bin" / Path(console_command(service=service)).name)

    def environment_of(self, service: str) -> dict[str, str]:
        """Return what one service is told."""
        return own_environment(environment=self.environment, service=service, owner=False)


async def find(*, checkout: Path = CHECKOUT, environment: Mapping[str, str] | None = None) -> Stack:
    """Return the running stack of *checkout*, under our own environment unless another is given.

    Raises StackMissing, deploy.local.settings.SettingsError.
    """
    told = os.environ if environment is None else environment
    settings = load(process_environment=told, checkout=checkout)
    kept = dotenv_values(settings.data_dir / "secrets.env", interpolate=False)
    secrets = {name: text for name, text in kept.items() if text}
    if not all(name in secrets for name in credentials.names()):
        raise StackMissing("the launcher has not made this stack's secrets yet: run `make up`")
    status = json.loads(
        await _output(
            *(_python(checkout), "-m", "deploy.local", "status"),
            cwd=checkout,
            environment={**settings.environment, "FORMAT": "json"},
        )
    )
    if status.get("phase") != "ready":
        raise StackMissing(f"the stack is {status.get('phase')}: run `make up`")
    password = secrets[credentials.SUPERUSER_PASSWORD]
    return Stack(
        checkout=checkout,
        data_dir=settings.data_dir,
        ops=settings.ops,
        partner=settings.partner,
        admin_dsn=f"postgresql://postgres:{password}@{settings.postgres}/postgres",
        postgres_bin=settings.postgres_bin,
        pids=pids_of(status),
        environment=_environment(settings, secrets),
    )


def pids_of(status: Mapping[str, Any]) -> dict[str, int]:
    """Return the process ids by name from the launcher's status."""
    return {
        each["name"]: each["pid"]
        for each in status.get("processes", [])
        if each.get("name") in PROCESSES and each.get("pid")
    }


def _environment(settings: Settings, secrets: Mapping[str, str]) -> dict[str, str]:
    return {
        **{name: secrets[name] for name in credentials.SERVICE_SECRETS},
        **{name: text for name, text in settings.environment.items() if text},
        "OTA_KAFKA_BOOTSTRAP": str(settings.kafka),
        **credentials.dsns(secrets_by_name=secrets, server=str(settings.postgres)),
    }


def _python(checkout: Path) -> str:
    return sys.executable if checkout == CHECKOUT else str(checkout / ".venv" / "bin" / "python")


async def _output(*argv: str, cwd: Path, environment: Mapping[str, str]) -> str:
    """Run a program to its end and return what it printed; raises StackMissing when it fails."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=dict(environment),
            cwd=cwd,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise StackMissing(f"{argv[0]} does not start: {error}") from error
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            out, err = await process.communicate()
    except TimeoutError as error:
        raise StackMissing(f"{' '.join(argv)} did not end in {COMMAND_TIMEOUT_S} s") from error
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        words = err.decode(errors="replace").strip() or out.decode(errors="replace").strip()
        raise StackMissing(f"{' '.join(argv)} failed: {words[-1000:]}")
    return out.decode()
