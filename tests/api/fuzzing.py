"""Runs Schemathesis against a live gateway, and reads what it found."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.local.settings import CHECKOUT
from tests.support.deciders import CATALOGUE, Deciders

_GENERATED = re.compile(r"([\d,]+) generated")

HERE = Path(__file__).parent
KEY = "ota_fuzz_key_00001"
GATEWAY = {
    # The limits stay on, above the load; each request names an address of its own.
    "OTA_ADDRESS_CALLS_PER_SECOND": "100000",
    "OTA_TRUSTED_PROXIES": "127.0.0.1",
    "OTA_LOG_LEVEL": "WARNING",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to: its exit code, how many requests were made, what was printed."""

    exit_code: int
    cases: int
    output: str


def start_platform(deciders: Deciders) -> str:
    """Start the four services with plenty of stock; return the partner port's address."""
    deciders.fresh()
    deciders.stack.run_command("inventory", "load-catalogue", str(_plenty()))
    deciders.stack.run_command("gateway", "load-partners", str(HERE / "partners.toml"))
    gateway = deciders.stack.service("gateway", env=GATEWAY)
    gateway.start()
    gateway.wait_ready()
    return gateway.url


def run_schemathesis(*, url: str, examples: int, seed: int | None = None) -> Result:
    """Call every operation with up to *examples* generated requests in each phase.

    The seed is printed with the result; it is that of the hooks, too.
    """
    chosen = str(secrets.randbelow(2**32) if seed is None else seed)
    done = subprocess.run(
        [
            str(CHECKOUT / ".venv" / "bin" / "schemathesis"),
            "--config-file",
            str(HERE / "schemathesis.toml"),
            "run",
            f"{url}/openapi.json",
            "--max-examples",
            str(examples),
            "--generation-database",
            "none",
            "--no-color",
            "--seed",
            chosen,
        ],
        cwd=CHECKOUT,
        env={
            **os.environ,
            "OTA_FUZZ_KEY": KEY,
            "OTA_FUZZ_SEED": chosen,
            "PYTHONPATH": str(CHECKOUT),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    generated = _GENERATED.search(done.stdout)
    cases = int(generated[1].replace(",", "")) if generated else 0
    return Result(done.returncode, cases, done.stdout)


def _plenty() -> Path:
    """Return a catalogue like the development one, whose ota pools do not run out."""
    text = Path(CATALOGUE).read_text(encoding="utf-8")
    text = re.sub(r'(channel = "ota", partition = \d, units = )[1-9]\d*', r"\g<1>10000000", text)
    path = Path(tempfile.mkdtemp()) / "catalogue.toml"
    path.write_text(text.replace("\nversion = 1\n", "\nversion = 2\n"), encoding="utf-8")
    return path
