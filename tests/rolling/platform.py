"""A stack of the launcher's, with the benchmark's partners, to be rolled, killed and frozen."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.own_stack import own_settings, run_tool
from deploy.local.settings import CHECKOUT, SERVICES

HOST: Final = "127.0.0.1"
TIMEOUT_S: Final = 240.0


@dataclass(frozen=True, slots=True)
class Platform:
    """The launcher's stack under settings of our own."""

    environment: Mapping[str, str]

    @property
    def port(self) -> int:
        """Return the partner port."""
        return int(self.environment["OTA_PARTNER_PORT"])

    async def launch(self, command: str, **told: str) -> str:
        """Run a command of the launcher to its end; raises StackMissing with what it said."""
        return await run_tool(
            *(sys.executable, "-m", "deploy.local", command),
            cwd=CHECKOUT,
            environment={**self.environment, **told},
            timeout_s=TIMEOUT_S,
        )

    async def roll(self, service: str) -> None:
        """Restart every process of a service as an operator would."""
        await self.launch("roll", SERVICE=service)

    async def pids(self, service: str) -> dict[str, int]:
        """Return the process ids of a service's instances, by name."""
        status: dict[str, Any] = json.loads(await self.launch("status", FORMAT="json"))
        return {
            each["name"]: each["pid"]
            for each in status["processes"]
            if each["name"].partition("-")[0] == service and each["state"] == "ready"
        }


@asynccontextmanager
async def running_platform(*, folder: Path, instances: int) -> AsyncIterator[Platform]:
    """Give a stack on fresh data and free ports; nothing is left of it afterwards."""
    own = Platform(
        {
            **own_settings(data_dir=str(folder)),
            **{f"OTA_INSTANCES_{name.upper()}": "" for name in SERVICES},
            "OTA_INSTANCES": str(instances),
            "OTA_CATALOGUE_FILE": "deploy/seed/bench_catalogue.toml",
            "OTA_PARTNERS_FILE": "deploy/seed/bench.toml",
        }
    )
    await own.launch("clean")
    try:
        await own.launch("up")
        yield own
    finally:
        await own.launch("clean")
