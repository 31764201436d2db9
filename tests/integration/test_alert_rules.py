"""Prometheus' and Alertmanager's own tools on our rules: each alert fires, and stays silent."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.monitoring.documents import ALERT_TESTS, ALERTS, PROMETHEUS, all_alerts

pytestmark = pytest.mark.integration

TIMEOUT_S = 300
NEVER = "vector(0) > 1"


def run(*argv: str, cwd: Path = PROMETHEUS) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end."""
    return subprocess.run(
        argv, cwd=cwd, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )


def said(ended: subprocess.CompletedProcess[str]) -> str:
    """Return what a tool has said."""
    return ended.stdout + ended.stderr


def test_rules_and_configurations_are_well_formed() -> None:
    """The servers would take them."""
    for argv in (
        ("promtool", "check", "rules", "recording.yml", "alerts.yml"),
        ("promtool", "check", "config", "--syntax-only", "prometheus.yml"),
        ("amtool", "check-config", "alertmanager.yml"),
    ):
        ended = run(*argv)
        assert 0 == ended.returncode, said(ended)


def test_each_alert_fires_and_stays_silent() -> None:
    """promtool plays the series of every alert's two tests."""
    ended = run("promtool", "test", "rules", str(ALERT_TESTS))
    assert 0 == ended.returncode, said(ended)


def test_an_alert_that_never_fires_is_noticed(tmp_path: Path) -> None:
    """Control: with expressions that are never true, the test of every alert fails."""
    rules = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["expr"] = NEVER
    (tmp_path / "tests").mkdir()
    shutil.copy(ALERT_TESTS, tmp_path / "tests")
    (tmp_path / ALERTS.name).write_text(yaml.safe_dump(rules), encoding="utf-8")
    ended = run("promtool", "test", "rules", f"tests/{ALERT_TESTS.name}", cwd=tmp_path)
    noticed = set(re.findall(r"alertname:\s*(\w+)", said(ended)))
    assert 1 == ended.returncode
    assert {alert.name for alert in all_alerts()} == noticed


def test_an_alert_that_always_fires_is_noticed(tmp_path: Path) -> None:
    """Control: with expressions that are always true, every silent test fails."""
    rules = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule |= {"expr": "vector(1)", "for": "0s"}
    tests = yaml.safe_load(ALERT_TESTS.read_text(encoding="utf-8"))
    tests["tests"] = [each for each in tests["tests"] if each["name"].endswith("stays silent")]
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / ALERT_TESTS.name).write_text(yaml.safe_dump(tests), encoding="utf-8")
    (tmp_path / ALERTS.name).write_text(yaml.safe_dump(rules), encoding="utf-8")
    ended = run("promtool", "test", "rules", f"tests/{ALERT_TESTS.name}", cwd=tmp_path)
    noticed = set(re.findall(r"alertname:\s*(\w+)", said(ended)))
    assert {alert.name for alert in all_alerts()} == noticed


@pytest.mark.parametrize(
    ("labels", "receiver"), [("severity=page", "page"), ("severity=ticket", "ticket")]
)
def test_alerts_reach_whom_they_should(labels: str, receiver: str) -> None:
    """A page wakes somebody, a ticket does not."""
    ended = run("amtool", "config", "routes", "test", "--config.file=alertmanager.yml", labels)
    assert receiver == ended.stdout.strip()
