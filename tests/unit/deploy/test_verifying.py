"""`make verify`: the verifier gets its own addresses and nobody's secrets."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from deploy.local import verifying
from deploy.local.credentials import load_or_make
from deploy.local.settings import SERVICES


def test_without_a_stack_it_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are no secrets yet, so there is nothing to verify."""
    monkeypatch.setenv("OTA_DATA_DIR", str(tmp_path))
    with pytest.raises(SystemExit, match="make up"):
        verifying.main(arguments=["system"])


def test_it_becomes_the_verifier_with_its_own_role(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its addresses in all four databases, and of what is secret only its own password."""
    kept = load_or_make(file=tmp_path / "secrets.env")
    monkeypatch.setenv("OTA_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("OTA_KAFKA_PORT", "19092")
    monkeypatch.setenv("OTA_API_KEY_PEPPER", "ab" * 32)
    monkeypatch.chdir(tmp_path)
    became: list[tuple[Sequence[str], Mapping[str, str]]] = []

    def become(_: str, words: Sequence[str], environment: Mapping[str, str]) -> None:
        became.append((words, environment))

    monkeypatch.setattr(os, "execve", become)
    verifying.main(arguments=["system", "--json"])
    ((words, environment),) = became
    assert (sys.executable, "-m", "ota_verify", "system", "--json") == words
    addresses = {f"OTA_{service.upper()}_VERIFY_DSN" for service in SERVICES}
    assert {*addresses, "OTA_KAFKA_BOOTSTRAP"} == {
        name for name in environment if name.startswith("OTA_")
    }
    assert all("//ota_verifier:" in environment[name] for name in addresses)
    assert "127.0.0.1:19092" == environment["OTA_KAFKA_BOOTSTRAP"]
    others = set(kept.values()) - {kept["OTA_VERIFIER_PASSWORD"]}
    assert not [text for text in environment.values() for secret in others if secret in text]
