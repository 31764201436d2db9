"""Reading logs: the right ones, and from the beginning again once a log was cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local import logs
from deploy.local.stack import StackError


@pytest.fixture
def log_dir(tmp_path: Path) -> Path:
    """Return a folder with two logs, and an older part of one that is not shown."""
    (tmp_path / "kafka.log").write_text("k1\n", encoding="ascii")
    (tmp_path / "gateway.log").write_text("g1\ng2\n", encoding="ascii")
    (tmp_path / "gateway.log.1").write_text("g0\n", encoding="ascii")
    return tmp_path


def test_all_logs_or_the_one_that_is_wanted(log_dir: Path) -> None:
    """Without a wish all are shown; with one, only that."""
    assert ["gateway", "kafka"] == logs.choose(log_dir=log_dir, wanted="")
    assert ["kafka"] == logs.choose(log_dir=log_dir, wanted="kafka")


def test_a_log_that_is_not_there_is_answered_with_those_that_are(log_dir: Path) -> None:
    """A misspelt name brings the list of names."""
    with pytest.raises(StackError, match="no log of gatway; there is: gateway, kafka"):
        logs.choose(log_dir=log_dir, wanted="gatway")
    with pytest.raises(StackError, match="no logs yet"):
        logs.choose(log_dir=log_dir / "none", wanted="")


def test_each_line_says_whose_it_is(log_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Several logs are told apart; one alone is printed as it stands."""
    logs.show(log_dir=log_dir, names=["gateway", "kafka"], follow=False)
    assert "gateway | g1\ngateway | g2\nkafka   | k1\n" == capsys.readouterr().out
    logs.show(log_dir=log_dir, names=["kafka"], follow=False)
    assert "k1\n" == capsys.readouterr().out


def test_what_is_added_is_read_in_whole_lines(log_dir: Path) -> None:
    """Half a line waits for its end; after a cut, reading starts at the beginning."""
    log = log_dir / "kafka.log"
    with log.open("a", encoding="ascii") as stream:
        stream.write("k2\nk3")
    text, position = logs.added(log=log, since=3)
    assert "k2\n" == text
    assert 6 == position
    assert ("", 6) == logs.added(log=log, since=position)
    log.write_text("k4\n", encoding="ascii")
    assert ("k4\n", 3) == logs.added(log=log, since=position)
    assert ("", 3) == logs.added(log=log, since=3)
