"""Reading logs: the right ones, and from the beginning again once a log was cut."""

from __future__ import annotations

import json
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


def lines(service: str, *told: tuple[str, str, dict[str, object]]) -> str:
    """Return a service's log: moments, levels and fields."""
    return "".join(
        json.dumps(
            {
                "event": f"{service}.did",
                "level": level,
                "timestamp": f"2026-01-05T04:00:{second}Z",
                "service.name": service,
                "service.version": "1",
                **fields,
            }
        )
        + "\n"
        for second, level, fields in told
    )


@pytest.fixture
def logged(tmp_path: Path) -> Path:
    """Return a folder with the logs of two services, two instances of one, and of a server."""
    error = {"reason": "two words", "trace_id": "abc", "exception": "Traceback\n  at x", "no": None}
    (tmp_path / "gateway.log.1").write_text(lines("gateway", ("01.5", "info", {"trace_id": "abc"})))
    (tmp_path / "gateway.log").write_text(
        lines("gateway", ("02.000001", "error", error), ("04.0", "info", {"n": 1.5}))
    )
    (tmp_path / "gateway-2.log").write_text(lines("gateway", ("05.0", "warning", {})))
    (tmp_path / "inventory.log").write_text(lines("inventory", ("03.0", "info", {"t": "abc"})))
    (tmp_path / "postgres.log").write_text(
        "2026-01-05 04:00:02.500 UTC app@x ERROR:  no\n\tof this: abc\n"
        "2026-01-05 04:00:02.600 UTC LOG:  fine\n\tits ERROR belongs to what is fine\n"
    )
    return tmp_path


def shown(log_dir: Path, capsys: pytest.CaptureFixture[str], **variables: str) -> list[str]:
    """Return what is printed for such variables."""
    names = logs.choose(log_dir=log_dir, wanted=variables.get("SERVICE", ""))
    logs.show(log_dir=log_dir, names=names, follow=False, wish=logs.wish_of(variables))
    return capsys.readouterr().out.splitlines()


def test_one_call_is_found_in_all_logs_in_order(
    logged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its trace id, also where a log was cut; JSON is written out for people."""
    assert [
        "gateway   | 04:00:01.5 INFO     gateway.did  trace_id=abc",
        'gateway   | 04:00:02.000 ERROR    gateway.did  reason="two words"  trace_id=abc',
        "    Traceback",
        "      at x",
        "inventory | 04:00:03.0 INFO     inventory.did  t=abc",
    ] == shown(logged, capsys, TRACE="abc")
    assert ["gateway.did  n=1.5"] == [
        line.split(maxsplit=4)[-1] for line in shown(logged, capsys, GREP='"n"', LEVEL="info")
    ]


def test_lines_of_a_level_and_above(logged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Servers' lines count as well; what continues a line goes with it."""
    raw = shown(logged, capsys, LEVEL="warning", FORMAT="json")
    assert ["gateway  ", "postgres ", "postgres ", "gateway-2"] == [
        line.partition(" |")[0] for line in raw
    ]
    assert "\tof this: abc" == raw[2].partition("| ")[2]
    assert json.loads(raw[0].partition("| ")[2])["no"] is None
    assert [] == shown(logged, capsys, LEVEL="critical")


def test_a_service_has_several_processes(logged: Path) -> None:
    """Asked for by its name, all of them are shown."""
    assert ["gateway", "gateway-2"] == logs.choose(log_dir=logged, wanted="gateway")
    assert ["gateway-2"] == logs.choose(log_dir=logged, wanted="gateway-2")


@pytest.mark.parametrize("variables", [{"LEVEL": "loud"}, {"FORMAT": "xml"}])
def test_an_unknown_wish_is_refused(variables: dict[str, str]) -> None:
    """With what there is to wish for."""
    with pytest.raises(StackError, match="must be"):
        logs.wish_of(variables)


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
