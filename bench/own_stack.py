"""A stack of a measurement's own: fresh data, free ports, beside whatever `make up` has started.

The same launcher as everybody's, told by its settings to live elsewhere.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.progress import Screen
from bench.stack import Stack, StackMissing, find
from deploy.local.ports import free_ports
from deploy.local.settings import CHECKOUT, SERVICES, load

LAUNCHER_TIMEOUT_S = 400
PORT_VARIABLES = (
    "OTA_POSTGRES_PORT",
    "OTA_KAFKA_PORT",
    "OTA_KAFKA_CONTROLLER_PORT",
    "OTA_PARTNER_PORT",
    *(f"OTA_{name.upper()}_OPS_PORT" for name in SERVICES),
)
# What the launcher sets today; older ones may not, and limit the one address of a generator.
ADDRESS_LIMIT = {"OTA_ADDRESS_CALLS_PER_SECOND": "50000"}
# Nothing but what is measured; older launchers do not know the word.
UNWATCHED = {"OTA_MONITORING": "0"}
WORDS_MAX = 1_500


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnStack:
    """The stack of *checkout* under settings of our own."""

    checkout: Path
    environment: Mapping[str, str]

    async def up(self) -> Stack:
        """Start it (its data stays from the last time); raises StackMissing."""
        await self._launch("up")
        return await find(checkout=self.checkout, environment=self.environment)

    async def down(self) -> None:
        """Stop it; the data stays."""
        await self._launch("down")

    async def clean(self) -> None:
        """Stop it and delete its data."""
        await self._launch("clean")

    async def _launch(self, command: str) -> None:
        await run_tool(
            *(python_of(self.checkout), "-m", "deploy.local", command),
            cwd=self.checkout,
            environment=self.environment,
            timeout_s=LAUNCHER_TIMEOUT_S,
        )


def own_settings(*, data_dir: str) -> dict[str, str]:
    """Return our environment and `.env` with free ports and a data folder of one's own.

    *data_dir* is relative to the checkout.
    """
    told = {**ADDRESS_LIMIT, **UNWATCHED, **load(process_environment=os.environ).environment}
    ports = map(str, free_ports(count=len(PORT_VARIABLES)))
    return {**told, **dict(zip(PORT_VARIABLES, ports, strict=True)), "OTA_DATA_DIR": data_dir}


@asynccontextmanager
async def fresh_stack(*, name: str, screen: Screen) -> AsyncIterator[tuple[OwnStack, Stack]]:
    """Run this tree's stack with fresh data under ``var/<name>``; delete the data afterwards."""
    own = OwnStack(checkout=CHECKOUT, environment=own_settings(data_dir=f"var/{name}"))
    screen.progress("a stack of its own starts, with fresh data")
    await own.clean()
    try:
        yield own, await own.up()
    finally:
        screen.progress("its stack is stopped and its data deleted")
        await own.clean()


def python_of(checkout: Path) -> str:
    """Return the Python of a checkout's own environment."""
    return str(checkout / ".venv" / "bin" / "python")


async def run_tool(*argv: str, cwd: Path, environment: Mapping[str, str], timeout_s: float) -> str:
    """Run a program to its end, return what it printed; raises StackMissing when it fails."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=dict(environment),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        raise StackMissing(f"{argv[0]} does not start: {error}") from error
    try:
        async with asyncio.timeout(timeout_s):
            out, _ = await process.communicate()
    except TimeoutError as error:
        raise StackMissing(f"{' '.join(argv)} did not end in {timeout_s:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
    words = out.decode(errors="replace").strip()
    if process.returncode:
        raise StackMissing(f"{' '.join(argv)} failed:\n{words[-WORDS_MAX:]}")
    return words
