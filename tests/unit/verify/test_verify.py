"""The verifier: a sound system is sound, each thing that can be wrong is found where it is."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from libs.events.envelope import Position
from libs.events.requests import Reply
from ota_verify.cli import main
from ota_verify.files import ExportError, ExportFolder
from ota_verify.findings import CHECKS
from ota_verify.verifying import Options, Report, verify
from services.gateway.app.receipts import ReceiptSeal
from tests.support.exported import SIGNER, PlayedSystem, read_rows, write_rows
from tests.tamper.campaign import campaign
from tests.tamper.controls import controls
from tests.tamper.tampering import hash_of, relink

Row = dict[str, Any]
Change = Callable[[list[Row]], object]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of a system that was played, to be read only."""
    return PlayedSystem(seed=3, holds=60).write(tmp_path_factory.mktemp("played") / "export")


@pytest.fixture
def export(played: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    folder = tmp_path / "export"
    folder.mkdir()
    for path in played.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def changed(export: Path, name: str, change: Change) -> None:
    """Change a file's rows."""
    rows = read_rows(export, name)
    change(rows)
    write_rows(export, name, rows)


def checked(export: Path, options: Options | None = None) -> Report:
    """Verify an export."""
    return verify(ExportFolder(export), options)


def found(export: Path, options: Options | None = None) -> set[str]:
    """Return the checks that something is wrong by."""
    return set(checked(export, options).findings.counts)


def test_what_the_services_record_is_sound(played: Path) -> None:
    """Every kind of event, of two partitions and two owners each."""
    report = checked(played)
    assert [] == report.findings.kept
    assert min(report.events.values()) > 10
    assert (report.pins > 6, report.units["sold"] > 0) == (True, True)
    types = {row["type"] for row in read_rows(played, "events.inventory.jsonl")}
    assert {"ota.inventory.units_released", "ota.inventory.partner_cap_set"} < types
    epochs = {row["epoch"] for row in read_rows(played, "events.fulfillment.jsonl")}
    assert {1, 2} == epochs


def test_an_export_may_be_compressed(export: Path) -> None:
    """File by file."""
    import gzip

    for name in ("events.inventory.jsonl", "table.inventory.hold.jsonl"):
        path = export / name
        (export / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert checked(export).sound


def test_the_first_place_is_told(export: Path) -> None:
    """The chain breaks where the edit is, and is told once."""
    changed(export, "events.inventory.jsonl", lambda rows: rows[20].update(subject="else"))
    report = checked(export)
    first = report.findings.first()
    row = read_rows(export, "events.inventory.jsonl")[20]
    assert first is not None
    assert ("chain", row["partition"], row["seq"]) == (first.check, first.partition, first.seq)
    assert 1 == report.findings.counts["chain"]


def rechain(export: Path, service: str, partition: int) -> None:
    """Do what an attacker does who can compute: make chain, evidence and head anew."""
    rows = read_rows(export, f"events.{service}.jsonl")
    answers = read_rows(export, f"answers.{service}.jsonl")
    relink(service, rows, partition, answers)
    write_rows(export, f"events.{service}.jsonl", rows)
    write_rows(export, f"answers.{service}.jsonl", answers)
    last = [row for row in rows if row["partition"] == partition][-1]
    changed(
        export,
        f"heads.{service}.jsonl",
        lambda heads: [
            head.update(seq=last["seq"], hash=last["hash"])
            for head in heads
            if head["partition"] == partition
        ],
    )


def edit_data(row: Row, **changes: object) -> None:
    """Change fields of an event's data."""
    row["data"] = json.dumps(json.loads(row["data"]) | changes, separators=(",", ":"))


def first_of(rows: list[Row], type: str) -> Row:
    """Return the first event of a type."""
    return next(row for row in rows if row["type"].endswith(type))


OFF = Options(anchors=False, topics=False)
"""Only what can be seen inside the databases."""


@pytest.mark.parametrize(
    "service, type, changes, check",
    [
        ("inventory", "units_held", {"quantity": 5000}, "conservation"),
        ("inventory", "units_sold", {"quantity": 99}, "conservation"),
        ("inventory", "units_released", {"reservation_id": "res_unknown"}, "once"),
        ("inventory", "units_released", {"reason": "expired"}, "once"),
        ("inventory", "partner_cap_set", {"held": 999}, "conservation"),
        ("inventory", "units_held", {"partner_id": "another"}, "once"),
        ("reservation", "reservation_opened", {"ledger_seq": 1}, "once"),
        ("reservation", "reservation_opened", {"ledger_seq": 9999}, "witnesses"),
        ("reservation", "reservation_activated", {"order_id": "ORD-0000000000000"}, "once"),
        ("reservation", "reservation_activated", {"total_minor": 1}, "conservation"),
        ("fulfillment", "order_created", {"tickets": []}, "once"),
        ("fulfillment", "order_created", {"customer": None}, "once"),
    ],
)
def test_rules_hold_also_where_the_chain_was_made_anew(
    export: Path, service: str, type: str, changes: Row, check: str
) -> None:
    """What an event says must fit all others: chain, head and evidence are as they should be."""
    name = f"events.{service}.jsonl"
    place: list[int] = []

    def edit(rows: list[Row]) -> None:
        row = first_of(rows, type)
        edit_data(row, **changes)
        place.append(row["partition"])

    changed(export, name, edit)
    rechain(export, service, place[0])
    wrong = found(export, OFF)
    assert check in wrong
    assert not {"chain", "heads"} & wrong


@pytest.mark.parametrize(
    "field, value, check",
    [
        ("epoch", 0, "time"),
        ("epoch", 3, "chain"),
        ("decided_at", "2020-01-01T00:00:00.000000+00:00", "time"),
        ("generation", 0, "time"),
        ("type", "ota.inventory.units_lost", "readable"),
        ("data", "{", "readable"),
        ("data", "[]", "readable"),
        ("meta", "{}", "readable"),
    ],
)
def test_times_and_shapes_are_checked_where_the_chain_was_made_anew(
    export: Path, field: str, value: object, check: str
) -> None:
    """The epoch's column must be what the hash covers."""
    name = "events.inventory.jsonl"
    changed(export, name, lambda rows: rows[20].update({field: value}))
    rechain(export, "inventory", read_rows(export, name)[20]["partition"])
    assert check in found(export, OFF)


def test_who_caused_an_event_must_be_said(export: Path) -> None:
    """Partner, key and request."""

    def forget(rows: list[Row]) -> None:
        row = first_of(rows, "units_held")
        row["meta"] = json.dumps(json.loads(row["meta"]) | {"key_id": None})

    changed(export, "events.inventory.jsonl", forget)
    assert "actors" in found(export)


def cut(export: Path, service: str, *, events: int) -> int:
    """Cut a partition's tail with its head, rows and answers gone, as a rollback does."""
    rows = read_rows(export, f"events.{service}.jsonl")
    mine = [row for row in rows if row["partition"] == 0]
    gone = mine[-events:]
    changed(
        export,
        f"events.{service}.jsonl",
        lambda rows: [rows.remove(row) for row in gone],
    )
    rechain(export, service, 0)
    return int(mine[-events]["seq"])


def test_a_rollback_is_told_by_anchors_topics_readers_and_the_audit_trail(export: Path) -> None:
    """Each by itself: none of them lies in the database that was set back."""
    first_gone = cut(export, "inventory", events=10)
    report = checked(export)
    assert {"anchors", "topics", "witnesses"} <= set(report.findings.counts)
    known = report.findings.counts["witnesses"]
    answered = {"answered_by": "inventory", "generation": 1, "partition": 0, "seq": first_gone}
    write_rows(export, "audit.jsonl", [answered])
    assert known + 1 == checked(export).findings.counts["witnesses"]


def test_what_came_while_the_export_was_made_is_no_fault(export: Path) -> None:
    """Topics and anchors are read later than the databases; where the logs ended then is noted."""
    cut(export, "inventory", events=10)
    wrong = found(export)
    ends: dict[str, int] = {}
    for row in read_rows(export, "heads.inventory.jsonl"):
        ends[str(row["partition"])] = row["seq"] + 10
    about = {"version": 1, "heads_after": {"inventory": ends}}
    (export / "export.json").write_text(json.dumps(about))
    assert {"anchors", "topics", "witnesses"} <= wrong
    assert not {"anchors", "topics", "witnesses"} & found(export)


def test_anchors_are_verified_with_keys_from_elsewhere(export: Path) -> None:
    """Whoever signs everything anew has another key, and a list of keys that goes with it."""
    assert checked(export, Options(keys={SIGNER.key_id: SIGNER.public_key})).sound
    assert "anchors" in found(export, Options(keys={}))
    assert "anchors" in found(export, Options(keys={SIGNER.key_id: b"k" * 32}))


def test_a_restored_generation_may_end_early(export: Path) -> None:
    """If the operator says so; nothing else may."""

    def restore(rows: list[Row]) -> None:
        gone = [row for row in rows if row["partition"] == 0][-10:]
        for row in gone[1:]:
            rows.remove(row)
        gone[0]["generation"] = 2

    changed(export, "events.fulfillment.jsonl", restore)
    rechain(export, "fulfillment", 0)
    assert "anchors" in found(export)
    assert "anchors" not in found(export, Options(restored=frozenset({1})))


def receipts(export: Path) -> list[str]:
    """Return a receipt of each of the first orders, as the gateway makes them."""
    seal = ReceiptSeal(b"r" * 64)
    made = []
    for row in read_rows(export, "answers.fulfillment.jsonl"):
        reply = Reply(
            answer=None,
            replayed=False,
            source="fulfillment",
            position=Position(1, 0, 1),
            evidence=row["evidence"],
        )
        receipt = seal.of_reply(reply, partner_id="test_partner")
        assert receipt is not None
        made.append(receipt)
    return made


def test_receipts_catch_what_was_made_anew_after_the_last_anchor(export: Path) -> None:
    """With the topics gone they are the only thing that shows it."""
    kept = tuple(receipts(export))
    assert checked(export, Options(receipts=kept)).sound
    rows = read_rows(export, "events.fulfillment.jsonl")
    last = rows[-1]
    meta = json.loads(last["meta"])
    last["meta"] = json.dumps(meta | {"traceparent": "another"}, separators=(",", ":"))
    write_rows(export, "events.fulfillment.jsonl", rows)
    rechain(export, "fulfillment", last["partition"])
    assert set() == found(export, Options(topics=False))
    assert {"receipts"} == found(export, Options(topics=False, receipts=kept))


def test_what_is_no_receipt_is_told() -> None:
    """A word, another version, an unknown service."""
    from ota_verify.findings import Findings
    from ota_verify.pins import Pins

    findings = Findings()
    pins = Pins(findings, {}, lambda service, partition: 0)
    for raw in (b"", b"\x01" * 63, b"\x02" + b"\x00" * 63, b"\x01\x07" + b"\x00" * 62):
        pins.receipt(base64.urlsafe_b64encode(raw).decode().rstrip("="))
    assert 4 == findings.counts["receipts"]


def test_the_record_of_partners_and_keys_is_a_chain(export: Path) -> None:
    """With the actor's JSON in the place of meta."""
    rows: list[Row] = []
    previous = "00" * 32
    for seq in (1, 2, 3):
        row: Row = {
            "seq": seq,
            "type": "ota.gateway.key_issued",
            "version": 1,
            "partner_id": "p",
            "data": "{}",
            "actor": "é",
            "actor_json": '"é"',
            "at": "2026-01-01T00:00:00.000000+00:00",
            "previous_hash": previous,
        }
        stored = {"generation": 1, "partition": 0, "subject": "p", "decided_at": row["at"]}
        previous = row["hash"] = hash_of("gateway", {**row, **stored, "meta": row["actor_json"]})
        rows.append(row)
    write_rows(export, "directory.jsonl", rows)
    (export / "export.json").write_text('{"directory_version": 3}')
    assert checked(export).sound
    write_rows(export, "directory.jsonl", rows[:2])
    assert {"directory"} == found(export)
    rows[1]["actor_json"] = '"somebody else"'
    write_rows(export, "directory.jsonl", rows)
    assert {"directory"} == found(export)


def test_a_slice_of_the_tamper_campaign_is_detected_whole(played: Path) -> None:
    """Edits, deletions, insertions, swaps, cut tails, chains made anew; `make tamper` has 1,000."""
    outcomes = list(campaign(played, seed=1, count=60))
    assert [] == [outcome.told for outcome in outcomes if not outcome.detected]
    assert 6 == len({outcome.kind for outcome in outcomes})


def test_without_a_guard_the_campaign_would_miss(played: Path) -> None:
    """Control: anchors off, a chain that was made anew passes."""
    tried = controls(played, seed=1)
    assert ["detected", "missed", "detected", "missed"] == [each.outcome for each in tried]


def test_the_command_tells_of_all_checks(export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 for what is sound, 1 for what is not, 2 for what is no export."""
    with pytest.raises(SystemExit, match="0"):
        main(["exported", str(export)])
    told = capsys.readouterr().out
    assert all(f"✓ {check} " in told for check in CHECKS)
    changed(export, "table.inventory.pool.jsonl", lambda rows: rows[0].update(sold=0))
    with pytest.raises(SystemExit, match="1"):
        main(["exported", str(export), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (False, {"tables": 1}) == (report["sound"], report["counts"])
    assert "sold is 0, not " in report["findings"][0]["text"]
    with pytest.raises(SystemExit, match="2"):
        main(["exported", str(export / "nowhere")])
    assert "ota-verify export" in capsys.readouterr().err


def test_a_file_that_is_no_json_is_named(export: Path) -> None:
    """With its line."""
    with (export / "events.inventory.jsonl").open("a") as file:
        file.write("{\n")
    with pytest.raises(ExportError, match=r"events\.inventory\.jsonl, line \d+"):
        checked(export)
