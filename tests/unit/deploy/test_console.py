"""`make admin`: the operators' console gets the gateway's environment and nobody else's secrets."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from deploy.local import console
from deploy.local.credentials import load_or_make
from deploy.local.settings import CHECKOUT


def test_without_a_stack_it_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are no secrets yet, so there is nothing to work on."""
    monkeypatch.setenv("OTA_DATA_DIR", str(tmp_path))
    with pytest.raises(SystemExit, match="make up"):
        console.main(arguments=["partner", "list"])


def test_it_becomes_the_console_with_the_stacks_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets and addresses of the gateway, its database as owner too; others' stay hidden."""
    kept = load_or_make(file=tmp_path / "secrets.env")
    monkeypatch.setenv("OTA_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("OTA_POSTGRES_PORT", "15433")
    monkeypatch.chdir(tmp_path)
    became: list[tuple[Sequence[str], Mapping[str, str]]] = []

    def become(_: str, words: Sequence[str], environment: Mapping[str, str]) -> None:
        became.append((words, environment))

    monkeypatch.setattr(os, "execve", become)
    console.main(arguments=["key", "list", "--json"])
    ((words, environment),) = became
    assert (sys.executable, "-m", "services.gateway.admin", "key", "list", "--json") == words
    assert kept["OTA_API_KEY_PEPPER"] == environment["OTA_API_KEY_PEPPER"]
    for name in ("OTA_GATEWAY_DSN", "OTA_GATEWAY_OWNER_DSN", "OTA_INVENTORY_READ_DSN"):
        assert ":15433/" in environment[name]
    assert {"OTA_INVENTORY_DSN", "OTA_TICKET_SIGNING_KEY"}.isdisjoint(environment)
    assert CHECKOUT == Path.cwd()
