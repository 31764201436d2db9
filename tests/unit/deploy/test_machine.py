"""What is installed for the stack does not start servers of its own."""

from __future__ import annotations

from pathlib import Path

from deploy.local.machine import keep_servers_down


def test_debians_own_servers_are_masked_before_they_come(tmp_path: Path) -> None:
    """Only those of packages that are installed now; what somebody has set up is left alone."""
    own = tmp_path / "prometheus-alertmanager.service"
    own.write_text("[Service]\n", encoding="ascii")
    packages = ["postgresql", "prometheus", "prometheus-alertmanager"]
    for _ in range(2):
        keep_servers_down(packages=packages, units=tmp_path)
    masked = {path.name for path in tmp_path.iterdir() if path.is_symlink()}
    assert {"prometheus.service"} == masked
    assert Path("/dev/null") == (tmp_path / "prometheus.service").resolve()
    assert "[Service]\n" == own.read_text(encoding="ascii")
