"""What is installed for the stack starts no servers of its own; what a machine is advised."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.machine import disk_advice, keep_servers_down


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


@pytest.mark.parametrize(
    "background, writeback, steady",
    [(0, 500, False), (8_388_608, 500, False), (8_388_608, 50, True), (1_000_000, 10, True)],
)
def test_a_machine_whose_disk_is_not_steady_gets_advice(
    tmp_path: Path, background: int, writeback: int, steady: bool
) -> None:
    """Linux' own values let written pages pile up; 0 means that another setting counts."""
    (tmp_path / "vm").mkdir()
    (tmp_path / "vm/dirty_background_bytes").write_text(f"{background}\n", encoding="ascii")
    (tmp_path / "vm/dirty_writeback_centisecs").write_text(f"{writeback}\n", encoding="ascii")
    advice = disk_advice(kernel=tmp_path)
    assert steady == (advice is None)
    assert steady or "sysctl -w vm.dirty_background_bytes=8388608" in str(advice)


def test_elsewhere_there_is_nothing_to_advise(tmp_path: Path) -> None:
    """A machine without those settings is no Linux."""
    assert disk_advice(kernel=tmp_path) is None
