"""The import contracts hold, and each kind of violation would be caught."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("libs", "services", "deploy", "bench", "chaos", "simulation")
VERIFIER = "verify/ota_verify"
LINT = """
import sys
from importlinter.cli import lint_imports_command

sys.argv[1:] = ["--no-cache", "--no-logo"]
lint_imports_command()
"""


def broken_contracts(folder: Path) -> list[str]:
    """Return the names of the contracts that a tree of ours breaks; fails for any other error."""
    run = subprocess.run(
        [sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True, check=False
    )
    assert re.search(r"^Contracts: \d+ kept, \d+ broken", run.stdout, re.M), run.stdout + run.stderr
    broken = re.findall(r"^(.+) BROKEN\b", run.stdout, re.M)
    assert run.returncode == bool(broken), run.stdout + run.stderr
    return broken


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the product code with its contracts."""
    folder = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        copytree(ROOT / package, folder / package, ignore=ignore_patterns("__pycache__"))
    copytree(
        ROOT / "checker" / "ota_checker",
        folder / "ota_checker",
        ignore=ignore_patterns("__pycache__"),
    )
    copytree(ROOT / VERIFIER, folder / "ota_verify", ignore=ignore_patterns("__pycache__"))
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text(settings, encoding="utf-8")
    return folder


def test_the_contracts_hold(tree: Path) -> None:
    """Who may import whom is written in pyproject.toml."""
    assert [] == broken_contracts(tree)


@pytest.mark.parametrize(
    "path, added, expected",
    [
        (
            "ota_checker/model.py",
            "from libs.kernel import pricing",
            ["The checker shares nothing with what it judges"],
        ),
        (
            "services/inventory/domain/ledger.py",
            "import time",
            ["Domains and the kernel are pure"],
        ),
        (
            "services/reservation/domain/hold.py",
            "from libs.events import codec",
            ["Domains and the kernel are pure"],
        ),
        (
            "services/reservation/domain/hold.py",
            "from services.inventory.domain import ledger",
            ["Services meet only through messages"],
        ),
        (
            "services/gateway/app/__init__.py",
            "from libs.runtime import postgres",
            ["Apps reach no driver, even indirectly"],
        ),
        (
            "services/inventory/store/tables.py",
            "import aiokafka",
            ["Only libs.events.kafka knows aiokafka"],
        ),
        (
            "services/fulfillment/tickets.py",
            "import segno",
            ["Only libs.tickets knows segno"],
        ),
        (
            "services/gateway/main.py",
            "from opentelemetry import trace",
            ["Only libs.runtime.tracing knows OpenTelemetry"],
        ),
        (
            "libs/events/stage.py",
            "import asyncpg",
            ["Of libs.events only the transports and hosts reach a driver"],
        ),
        (
            "ota_verify/chain.py",
            "from libs.events import hashing",
            ["The verifier shares no code with what it verifies"],
        ),
        (
            "services/inventory/helpers.py",
            "'''A module that has no place.'''",
            ["Main over settings over adapters over app over domain"],
        ),
    ],
    ids=[
        "the checker borrows from the product",
        "a domain that reads a clock",
        "a domain that encodes",
        "a service that knows another",
        "an app that reaches a driver through a library",
        "a store that speaks to Kafka",
        "a second home of QR codes",
        "a second home of spans",
        "a loop that speaks to PostgreSQL",
        "a verifier that uses what it verifies",
        "a module without a place",
    ],
)
def test_a_violation_is_caught(tree: Path, path: str, added: str, expected: list[str]) -> None:
    """One line too many breaks the contract that it is about."""
    module = tree / path
    before = module.read_text(encoding="utf-8") if module.exists() else None
    module.write_text(f"{before or ''}\n{added}\n", encoding="utf-8")
    try:
        assert expected == broken_contracts(tree)
    finally:
        if before is None:
            module.unlink()
        else:
            module.write_text(before, encoding="utf-8")
