"""The verifier: a sound system is sound, each thing that can be wrong is found where it is."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_json

from libs.events.contracts.reservation import ReservationOpened
from libs.events.envelope import Position
from libs.events.requests import Reply
from libs.kernel.outcome import Decision
from libs.kernel.state import State
from ota_verify.cli import main
from ota_verify.files import ExportError, ExportFolder
from ota_verify.findings import CHECKS
from ota_verify.verifying import Options, Report, verify
from services.gateway.app.receipts import ReceiptSeal
from services.reservation.domain import decisions
from services.reservation.domain.hold import Reservation
from tests.support import examples
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


@pytest.fixture(scope="module")
def played_before_adr_17(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a reservation service that told each hold again, as old logs have it."""
    open_hold = decisions.open_hold

    def open_and_tell(state: State, *args: Any, **kwargs: Any) -> Decision:
        told = []
        for row in open_hold(state, *args, **kwargs).projected:
            assert isinstance(row, Reservation)
            state.put(row)
            names = {each.name for each in fields(ReservationOpened)} - {"prices"}
            same = {name: getattr(row, name) for name in names}
            told.append(ReservationOpened(prices=examples.PRICES, **same))
        return Decision(events=tuple(told))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decisions, "open_hold", open_and_tell)
        return PlayedSystem(seed=3, holds=60).write(tmp_path_factory.mktemp("before") / "export")


@pytest.fixture
def export(played: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return copied(played, tmp_path / "export")


@pytest.fixture
def old_export(played_before_adr_17: Path, tmp_path: Path) -> Path:
    """A copy of the old one, to be changed."""
    return copied(played_before_adr_17, tmp_path / "old_export")


def copied(source: Path, folder: Path) -> Path:
    """Copy an export; return the copy."""
    folder.mkdir()
    for path in source.iterdir():
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
        ("inventory", "units_held", {"partner_id": "another"}, "tables"),
        ("inventory", "units_held", {"reservation_id": "res_unknown"}, "once"),
        ("inventory", "units_held", {"expires_at": "2026-03-01T00:00:00Z"}, "tables"),
        ("reservation", "reservation_cancelled", {"reservation_id": "res_unknown"}, "once"),
        ("reservation", "reservation_cancelled", {"quantity": 99}, "conservation"),
        ("reservation", "reservation_cancelled", {"pool_no": 9}, "conservation"),
        ("reservation", "reservation_expired", {"quantity": 99}, "conservation"),
        ("reservation", "reservation_activated", {"quantity": 99}, "conservation"),
        ("reservation", "reservation_activated", {"partner_id": "another"}, "once"),
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


def told(export: Path, check: str, where: str) -> list[str]:
    """Return what is wrong by a check at a log or a table, inside the databases."""
    kept = checked(export, OFF).findings.kept
    return [each.text for each in kept if (each.check, each.where) == (check, where)]


HOLDS = "reservation.reservation"


def recount(export: Path) -> None:
    """Do what an attacker does who changes rows: let their counts fit them again."""
    names = ("partner_id", "product_id", "status", "partition")
    rows = read_rows(export, f"table.{HOLDS}.jsonl")
    counts = Counter(tuple(row[name] for name in names) for row in rows)
    counted = [dict(zip(names, at, strict=True), reservations=n) for at, n in counts.items()]
    write_rows(export, "table.reservation.reservation_count.jsonl", counted)


@pytest.mark.parametrize("status", ["active", "cancelled", "activated"])
@pytest.mark.parametrize(
    "forge, text",
    [
        (lambda rows, row: rows.append(row | {"reservation_id": "res_new"}), "res_new should not"),
        (lambda rows, row: rows.remove(row), "is missing"),
        (lambda rows, row: rows.append(dict(row)), "is there 2 times, not 1"),
        (lambda rows, row: row.update(ledger_seq=row["ledger_seq"] - 1), "ledger_seq is "),
        (lambda rows, row: row.update(ledger_seq=9999), "ledger_seq is 9999"),
        (lambda rows, row: row.update(held_at="2026-03-01T00:00:00+00:00"), "held_at is "),
        (lambda rows, row: row.update(quantity=99), "quantity is 99"),
        (lambda rows, row: row.update(partner_id="another"), "partner_id is 'another'"),
        (lambda rows, row: row.update(status="expired"), "status is 'expired'"),
    ],
)
def test_a_row_of_reservations_is_what_the_ledger_held(
    export: Path, forge: Callable[[list[Row], Row], object], text: str, status: str
) -> None:
    """One for each hold, with its number in the ledger; none beside."""
    changed(
        export,
        f"table.{HOLDS}.jsonl",
        lambda rows: forge(rows, next(row for row in rows if row["status"] == status)),
    )
    recount(export)
    [found] = told(export, "tables", HOLDS)
    assert text in found


def behind(export: Path) -> tuple[list[str], list[str]]:
    """Let reservations have taken little of the ledger; return who is early, open or ended."""
    seq = 5

    def set_back(heads: list[Row]) -> None:
        for head in heads:
            head["inputs"]["ota.inventory.events.v1"]["seq"] = seq

    changed(export, "heads.reservation.jsonl", set_back)
    early = [row for row in read_rows(export, f"table.{HOLDS}.jsonl") if row["ledger_seq"] > seq]
    is_open, ended = (
        [row["reservation_id"] for row in early if (row["status"] == "active") == wanted]
        for wanted in (True, False)
    )
    return is_open, ended


def without(*ids: str) -> Change:
    """Delete rows of reservations."""
    return lambda rows: [rows.remove(row) for row in list(rows) if row["reservation_id"] in ids]


def test_a_hold_that_is_not_taken_yet_may_have_its_row(export: Path) -> None:
    """And need not: a command may have opened it before its event came."""
    is_open, ended = behind(export)
    assert min(len(is_open), len(ended)) > 3
    assert checked(export).sound
    changed(export, f"table.{HOLDS}.jsonl", without(*is_open[1:]))
    recount(export)
    assert checked(export).sound
    changed(export, f"table.{HOLDS}.jsonl", without(*is_open, ended[0]))
    recount(export)
    assert [f"{ended[0]} is missing"] == told(export, "tables", HOLDS)


@pytest.mark.parametrize(
    "change",
    [{"quantity": 99}, {"ledger_seq": 9999}, {"ledger_seq": 1}, {"status": "cancelled"}, {}],
)
def test_an_early_row_is_what_the_ledger_held(export: Path, change: Row) -> None:
    """Once, with the number of the event that has not come yet."""
    is_open, _ = behind(export)

    def forge(rows: list[Row]) -> None:
        row = next(row for row in rows if row["reservation_id"] == is_open[0])
        if change:
            row.update(change)
        else:
            rows.append(dict(row))

    changed(export, f"table.{HOLDS}.jsonl", forge)
    recount(export)
    [found] = told(export, "tables", HOLDS)
    assert found.startswith(is_open[0])


def renumbered(export: Path, service: str, partition: int) -> None:
    """Number a partition's events anew, in the order that they stand in."""

    def number(rows: list[Row]) -> None:
        mine = [row for row in rows if row["partition"] == partition]
        for seq, row in enumerate(mine, 1):
            row["seq"] = seq

    changed(export, f"events.{service}.jsonl", number)
    rechain(export, service, partition)


@pytest.mark.parametrize("late", [True, False])
def test_a_hold_must_be_there_before_its_end(export: Path, late: bool) -> None:
    """An end whose hold the ledger has later, or not at all."""
    end = first_of(read_rows(export, "events.reservation.jsonl"), "reservation_cancelled")

    def move(rows: list[Row]) -> None:
        mine = [row for row in rows if row["subject"] == end["subject"]]
        held, released = mine
        rows.remove(held)
        if late:
            rows.insert(rows.index(released) + 1, held)

    changed(export, "events.inventory.jsonl", move)
    renumbered(export, "inventory", end["partition"])
    assert f"{end['subject']} is not active" in told(export, "once", "reservation")


def test_a_hold_ends_once(export: Path) -> None:
    """A second end, well linked, of whatever kind."""
    place: list[int] = []

    def again(rows: list[Row]) -> None:
        row = first_of(rows, "reservation_cancelled")
        last = [each for each in rows if each["partition"] == row["partition"]][-1]
        place.append(row["partition"])
        copy = row | {"decided_at": last["decided_at"], "epoch": last["epoch"]}
        rows.insert(rows.index(last) + 1, copy | {"meta": last["meta"]})
        place.append(row["subject"])

    changed(export, "events.reservation.jsonl", again)
    renumbered(export, "reservation", place[0])
    assert f"{place[1]} is not active" in told(export, "once", "reservation")


def test_a_hold_moved_behind_its_deadline_is_expired(export: Path) -> None:
    """Whoever edits the ledger and both rows alike has the end against them."""
    end = first_of(read_rows(export, "events.reservation.jsonl"), "reservation_cancelled")
    early = "2026-03-01T00:00:00.000000+00:00"
    changed(
        export,
        "events.inventory.jsonl",
        lambda rows: edit_data(
            next(row for row in rows if row["subject"] == end["subject"]), expires_at=early
        ),
    )
    rechain(export, "inventory", end["partition"])
    [text] = told(export, "once", "reservation")
    assert text.endswith(f"due at {early}")


def with_prices(row: Row, column: str) -> None:
    """Write an event or an answer as its version 1 had it (ADR 22)."""
    data = json.loads(row[column])
    prices = json.loads(to_json(replace(examples.PRICES, rule_version=data.pop("rule_version"))))
    row[column] = json.dumps(data | {"prices": prices}, separators=(",", ":"))
    row["version"] = 1


def test_old_logs_whose_holds_have_their_prices_are_sound(export: Path) -> None:
    """Rows of holds name the version; events and answers from before ADR 22 repeat its prices."""
    for name, kind, column in (
        ("events.inventory.jsonl", "ota.inventory.units_held", "data"),
        ("answers.inventory.jsonl", "ota.answer.hold_placed", "answer"),
    ):
        rows = read_rows(export, name)
        old = [row for row in rows if row["type"] == kind]
        assert 50 < len(old)
        for row in old:
            with_prices(row, column)
        write_rows(export, name, rows)
    for partition in (0, 1):
        rechain(export, "inventory", partition)
    assert [] == checked(export, OFF).findings.kept
    answers = read_rows(export, "answers.inventory.jsonl")
    with_other = next(row for row in answers if row["type"] == "ota.answer.hold_placed")
    with_other["answer"] = with_other["answer"].replace('"child_minor":18800', '"child_minor":1')
    write_rows(export, "answers.inventory.jsonl", answers)
    assert {"answers"} == found(export, OFF)


def test_old_logs_that_tell_each_hold_again_are_sound(old_export: Path) -> None:
    """From before ADR 17."""
    types = Counter(row["type"] for row in read_rows(old_export, "events.reservation.jsonl"))
    assert 60 <= types["ota.reservation.reservation_opened"]
    assert [] == checked(old_export).findings.kept


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"ledger_seq": 1}, "is not what the ledger has at "),
        ({"ledger_seq": 9999}, "is not what the ledger has at "),
        ({"quantity": 99}, "is not what the ledger has at "),
        ({"held_at": "2026-03-01T00:00:00Z"}, "is not what the ledger has at "),
        ({"reservation_id": "res_unknown"}, "is not held by the ledger"),
    ],
)
def test_what_old_logs_tell_again_is_what_the_ledger_has(
    old_export: Path, changes: Row, text: str
) -> None:
    """Whatever it is: it opens nothing of itself."""
    place: list[int] = []

    def edit(rows: list[Row]) -> None:
        row = first_of(rows, "reservation_opened")
        edit_data(row, **changes)
        place.append(row["partition"])

    changed(old_export, "events.reservation.jsonl", edit)
    rechain(old_export, "reservation", place[0])
    [found] = told(old_export, "once", "reservation")
    assert text in found


@pytest.mark.parametrize("ended", [True, False])
def test_old_logs_tell_a_hold_once(old_export: Path, ended: bool) -> None:
    """Not twice, nor after its end."""
    rows = read_rows(old_export, f"table.{HOLDS}.jsonl")
    id = next(row["reservation_id"] for row in rows if (row["status"] != "active") == ended)
    place: list[int] = []

    def again(rows: list[Row]) -> None:
        row = next(row for row in rows if row["subject"] == id)
        place.append(row["partition"])
        last = [each for each in rows if each["partition"] == row["partition"]][-1]
        late = {"decided_at": last["decided_at"], "epoch": last["epoch"]}
        meta = json.dumps(json.loads(row["meta"]) | {"epoch": last["epoch"]})
        rows.insert(rows.index(last) + 1, row | late | {"meta": meta})

    changed(old_export, "events.reservation.jsonl", again)
    renumbered(old_export, "reservation", place[0])
    [found] = told(old_export, "once", "reservation")
    assert found == (f"{id} is not held by the ledger" if ended else f"{id} is opened twice")


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
