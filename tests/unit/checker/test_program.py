"""The program: exit codes, what it prints, what it can't read, and how short a prefix is."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ota_checker.__main__ import main
from ota_checker.checking import check
from ota_checker.reading import Unreadable
from tests.support.books import Books
from tests.unit.checker import falsified

GOLDEN = Path(__file__).parents[2] / "golden_export"


def books() -> Books:
    """Return played books."""
    return Books(seed=4, units=30).play(200)


def test_passes_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, a line for each invariant, the reports beside the export."""
    folder = books().derive().write(tmp_path)
    assert 0 == main([str(folder)])
    shown = capsys.readouterr().out
    assert 24 == shown.count("✓")
    assert "24 of 24 invariants judged, 0 violated" in shown
    assert [] == json.loads((folder / "checked.json").read_text(encoding="utf-8"))["violated"]
    assert "| I24 | privacy | passed |" in (folder / "checked.md").read_text(encoding="utf-8")


def test_an_export_of_a_live_run_passes(tmp_path: Path) -> None:
    """The shapes are those of the real services: a stack's databases, topics and answers."""
    reports = (f"--json={tmp_path / 'report.json'}", f"--markdown={tmp_path / 'report.md'}")
    assert 0 == main([str(GOLDEN), *reports])
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    states = {name: each["state"] for name, each in report["invariants"].items()}
    assert {"passed"} == set(states.values())


def test_what_is_not_there_is_not_judged(tmp_path: Path) -> None:
    """An empty folder passes nothing."""
    verdicts = check(folder=tmp_path)
    assert {"not judged"} == {verdicts.state(f"I{n}") for n in range(1, 25)}
    assert 24 == len(verdicts.reasons)


def test_only_what_is_asked_for_counts(tmp_path: Path) -> None:
    """A violation of another invariant leaves the exit code alone."""
    played = books()
    falsified.row_of_a_pool_forgets_a_unit(played)
    folder = played.derive().write(tmp_path)
    assert 0 == main([str(folder), "--only", "I1,I3"])
    assert 1 == main([str(folder), "--only", "I2"])
    assert 2 == main([str(folder), "--only", "I77"])


@pytest.mark.parametrize(
    "name, text, told",
    [
        ("history.jsonl", "{\n", "history.jsonl line 1"),
        ("history.jsonl", "[]\n", "no object"),
        ("history.jsonl", '{"client": "c"}\n', "history.jsonl line 1"),
        ("events.inventory.jsonl", '{"seq": 1}\n', "another shape"),
        ("export.json", "?", "export.json"),
    ],
)
def test_names_what_it_cannot_read(name: str, text: str, told: str, tmp_path: Path) -> None:
    """Exit code 2 is kept for an input that is no export."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(Unreadable, match=told):
        check(folder=tmp_path)
    assert 2 == main([str(tmp_path)])


def test_a_broken_archive_is_no_export(tmp_path: Path) -> None:
    """A run that was killed leaves half a file."""
    whole = gzip.compress(b'{"client": "c"}\n' * 100)
    (tmp_path / "history.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    assert 2 == main([str(tmp_path)])


def test_no_folder_is_no_export(tmp_path: Path) -> None:
    """A misspelt path passes nothing."""
    assert 2 == main([str(tmp_path / "nowhere")])


def test_files_may_be_gzipped(tmp_path: Path) -> None:
    """Any of them."""
    folder = books().derive().write(tmp_path)
    for file in list(folder.glob("*.jsonl")):
        with gzip.open(f"{file}.gz", "wt", encoding="utf-8") as stream:
            stream.write(file.read_text(encoding="utf-8"))
        file.unlink()
    assert 0 == main([str(folder)])


def test_parsed_bodies_are_as_good_as_texts(tmp_path: Path) -> None:
    """A load may have parsed what it got."""
    played = books().derive()
    for call in played.rows("history"):
        for name in ("request", "body"):
            call[name] = json.loads(call[name]) if call[name] else None
    verdicts = check(folder=played.write(tmp_path))
    assert [] == verdicts.violations
    assert verdicts.looked["I3"]


def test_rubbish_in_topics_is_no_violation(tmp_path: Path) -> None:
    """Whoever writes into a topic can't make the checker stumble; rubbish is parked."""
    played = books().derive()
    rubbish = [
        {"headers": [], "value": None},
        {"headers": [["ce_type", None], ["ce_position", "x"]], "value": "\x00"},
        {"headers": [["ce_type", "ota.inventory.availability_reported"]], "value": "{"},
        {"headers": [["ce_figures", "[]"]], "value_base64": "/w=="},
    ]
    parked = played.rows("topics.ota.platform.dead-letters.v1")
    for name in [name for name in played.files if name.startswith("topics.")]:
        topic = name.removeprefix("topics.")
        for record in rubbish:
            row = {"partition": 0, "offset": 10**6, "timestamp_ms": 0, "key": None, **record}
            if "commands" in topic:
                why = {"headers": [*record["headers"], ["x-dlq-topic", topic]]}
                parked.append({**row, **why, "value": record.get("value") or ""})
                if "value_base64" in record:
                    del parked[-1]["value"]
            played.rows(name).append(row)
    for head in (*played.rows("heads.inventory"), *played.rows("heads.reservation")):
        for taken in head["inputs"].values():
            taken["offset"] = 10**6
    verdicts = check(folder=played.write(tmp_path))
    assert [] == verdicts.violations
    assert 8 == verdicts.figures["commands dead-lettered"]


def test_a_prefix_is_short(tmp_path: Path) -> None:
    """Of an oversold pool only what counts is told: its allotment, open holds and sales."""
    played = books()
    falsified.sells_more_than_there_is(played)
    folder = played.derive().write(tmp_path)
    assert 1 == main([str(folder), "--only", "I1"])
    report = json.loads((folder / "checked.json").read_text(encoding="utf-8"))
    story = report["stories"][0]
    kinds = [event["type"].rpartition(".")[2] for event in story["events"]]
    assert "allotment_set" == kinds[0]
    assert "units_held" == kinds[-1]
    assert story["until"] == ["inventory", *_place(story["events"][-1])]
    assert "units_released" not in kinds
    assert story["left_out"] > 0
    units = {"allotment_set": 0, "units_held": 1, "units_sold": 0}
    moved = sum(
        units[kind] * json.loads(event["data"]).get("quantity", 0)
        for kind, event in zip(kinds, story["events"], strict=True)
    )
    assert moved > played.units


def _place(event: dict[str, int]) -> list[int]:
    return [event["partition"], event["seq"]]


def test_logs_are_searched(tmp_path: Path) -> None:
    """A canary in a log file is found, whatever else the line holds."""
    played = books().derive()
    folder = played.write(tmp_path / "export")
    logs = tmp_path / "log"
    logs.mkdir()
    (logs / "gateway.log").write_text("all is well\n", encoding="utf-8")
    assert 0 == main([str(folder), "--logs", str(logs)])
    word = played.documents["canaries.json"][0]
    (logs / "gateway.log").write_text(f"name={word.encode().hex()}\n", encoding="utf-8")
    assert 1 == main([str(folder), "--logs", str(logs)])
    report = json.loads((folder / "checked.json").read_text(encoding="utf-8"))
    assert ["I24"] == report["violated"]
