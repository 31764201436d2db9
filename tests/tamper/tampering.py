"""Ways of falsifying a system's stored rows, each drawn at random; every one must be noticed.

A tampering changes the rows of an export in place and says what it did. Those named *smart*
recompute what they can: the hash chain, the head, the evidence in recorded answers. They do
not have the anchors' key, and cannot reach the topic.

Left out, because nothing in the ledgers says what they should be: who owns a partition (the
head's owner, its epoch raised, its time moved forward), positions in Kafka's logs, recorded
refusals (which came of no event), and rows of the audit trail.
"""

from __future__ import annotations

import copy
import hashlib
import json
import random
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.support.exported import SERVICES, read_rows

Row = dict[str, Any]
Files = dict[str, list[Row]]

EVENT_FIELDS: Final = (
    *("partition", "generation", "epoch", "seq", "type", "version", "subject", "decided_at"),
    *("meta", "data", "previous_hash", "hash"),
)
KEYED_TABLES: Final = (
    *("inventory.pool", "inventory.hold", "inventory.catalogue"),
    *("reservation.reservation", "reservation.numbering", "reservation.reservation_count"),
    *("fulfillment.customer_order", "fulfillment.ticket", "fulfillment.numbering"),
    "fulfillment.order_count",
)
ANCHOR_FIELDS: Final = (
    *("service", "partition", "generation", "seq", "hash", "anchored_at", "key_id", "signature"),
)
EVENTFUL: Final = ("hold_placed", "order_confirmed", "hold_released", "ledger_changed")


class NothingToTamper(Exception):
    """This export has no row of the kind; another tampering is drawn."""


def load(folder: Path) -> Files:
    """Return all rows of an export by file."""
    return {path.name: read_rows(folder, path.name) for path in sorted(folder.glob("*.jsonl"))}


class Tamperer:
    """Draws and makes tamperings; equal seeds make equal ones."""

    def __init__(self, files: Files, *, seed: int) -> None:
        self.files = files
        self.random = random.Random(seed)
        self.touched: set[str] = set()

    def rows(self, name: str) -> list[Row]:
        """Return a file's rows, to be changed; raises NothingToTamper if there are none."""
        rows = self.files.get(name)
        if not rows:
            raise NothingToTamper(name)
        if name not in self.touched:
            rows = self.files[name] = copy.deepcopy(rows)
            self.touched.add(name)
        return rows

    def events(self) -> tuple[str, list[Row]]:
        """Return a service and its events."""
        service = self.random.choice(SERVICES)
        return service, self.rows(f"events.{service}.jsonl")

    def index(self, rows: list[Row]) -> int:
        """Draw a row."""
        return self.random.randrange(len(rows))

    # Events

    def edit_event(self) -> str:
        """One column of one event."""
        service, rows = self.events()
        row, name = rows[self.index(rows)], self.random.choice(EVENT_FIELDS)
        row[name] = self.other(row[name])
        return f"events.{service}: {name} of {row['partition']}/{row['seq']}"

    def edit_event_data(self) -> str:
        """One value inside an event's data, at any depth."""
        service, rows = self.events()
        row = rows[self.index(rows)]
        data = json.loads(row["data"])
        where = self.edit_inside(data)
        row["data"] = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        return f"events.{service}: {where} in data of {row['partition']}/{row['seq']}"

    def flip_character(self) -> str:
        """One character of an event's text."""
        service, rows = self.events()
        row, name = rows[self.index(rows)], self.random.choice(("meta", "data", "subject"))
        at = self.random.randrange(len(row[name]))
        flipped = chr(ord(row[name][at]) ^ 1)
        row[name] = row[name][:at] + flipped + row[name][at + 1 :]
        return f"events.{service}: character {at} of {name} of {row['partition']}/{row['seq']}"

    def delete_event(self) -> str:
        """One event is gone."""
        service, rows = self.events()
        row = rows.pop(self.index(rows))
        return f"events.{service}: {row['partition']}/{row['seq']} deleted"

    def delete_event_and_close_the_gap(self) -> str:
        """One event is gone and those behind it have moved up."""
        service, rows = self.events()
        gone = rows.pop(self.index(rows))
        for row in rows:
            if row["partition"] == gone["partition"] and row["seq"] > gone["seq"]:
                row["seq"] -= 1
        return f"events.{service}: {gone['partition']}/{gone['seq']} deleted, numbers moved up"

    def insert_event(self) -> str:
        """A copy of an event, with another subject or without, somewhere in the log."""
        service, rows = self.events()
        row = copy.deepcopy(rows[self.index(rows)])
        if self.random.random() < 0.5:
            row["subject"] = self.other(row["subject"])
        at = self.index(rows)
        row["partition"] = rows[at]["partition"]
        rows.insert(at, row)
        return f"events.{service}: {row['seq']} inserted again at {row['partition']}/{at}"

    def insert_linked_event(self) -> str:
        """A well-formed event behind the last, with the right number and hash."""
        service, rows = self.events()
        last = self.last_of_a_partition(rows)
        row = copy.deepcopy(rows[self.index(rows)])
        row |= {"partition": last["partition"], "seq": last["seq"] + 1}
        row |= {"epoch": last["epoch"], "decided_at": last["decided_at"]}
        row["previous_hash"] = last["hash"]
        row["hash"] = hash_of(service, row)
        rows.insert(rows.index(last) + 1, row)
        return f"events.{service}: {row['partition']}/{row['seq']} appended"

    def swap_events(self) -> str:
        """Two events of a partition have changed places; their numbers stay."""
        service, rows = self.events()
        partition = rows[self.index(rows)]["partition"]
        mine = [row for row in rows if row["partition"] == partition]
        if len(mine) < 2:
            raise NothingToTamper("one event only")
        one, other = self.random.sample(mine, 2)
        first, second = dict(one), dict(other)
        one.update(second | {"seq": first["seq"]})
        other.update(first | {"seq": second["seq"]})
        return f"events.{service}: {partition}/{one['seq']} and {other['seq']} swapped"

    def swap_neighbours(self) -> str:
        """Two rows stand in the other order."""
        service, rows = self.events()
        if len(rows) < 2:
            raise NothingToTamper("one event only")
        at = self.random.randrange(len(rows) - 1)
        rows[at], rows[at + 1] = rows[at + 1], rows[at]
        return f"events.{service}: rows {at} and {at + 1} swapped"

    def cut_tail(self) -> str:
        """The last events of a partition are gone."""
        service, rows = self.events()
        partition, count = self.cut(rows)
        return f"events.{service}: the last {count} of {partition} cut off"

    def cut_tail_and_head(self) -> str:
        """The last events are gone, and the head says so too."""
        service, rows = self.events()
        partition, count = self.cut(rows)
        self.set_head(service, partition)
        return f"events.{service}: the last {count} of {partition} cut off, the head set back"

    def cut(self, rows: list[Row]) -> tuple[int, int]:
        """Take off the end of a partition's log; return how much of which."""
        partition = rows[self.index(rows)]["partition"]
        mine = [row for row in rows if row["partition"] == partition]
        count = self.random.randint(1, min(len(mine), 20))
        for row in mine[-count:]:
            rows.remove(row)
        return partition, count

    def last_of_a_partition(self, rows: list[Row]) -> Row:
        """Return the last event of a partition."""
        partition = rows[self.index(rows)]["partition"]
        return [row for row in rows if row["partition"] == partition][-1]

    # Heads

    def replay_old_head(self) -> str:
        """A head as it was before."""
        service, rows = self.events()
        row = rows[self.index(rows)]
        last = [each for each in rows if each["partition"] == row["partition"]][-1]
        if row is last:
            raise NothingToTamper("the last event's head is the true one")
        head = self.head(service, row["partition"])
        head |= {"seq": row["seq"], "hash": row["hash"], "decided_at": row["decided_at"]}
        return f"heads.{service}: {row['partition']} as it was at {row['seq']}"

    def edit_head(self) -> str:
        """A head's number, hash, or an epoch or generation before the last event's."""
        service = self.random.choice(SERVICES)
        rows = [row for row in self.rows(f"heads.{service}.jsonl") if row["seq"]]
        if not rows:
            raise NothingToTamper("no head")
        head = self.random.choice(rows)
        name = self.random.choice(("seq", "hash", "epoch", "generation"))
        head[name] = self.other(head[name]) if name in ("seq", "hash") else 0
        return f"heads.{service}: {name} of {head['partition']}"

    def delete_head(self) -> str:
        """A head is gone."""
        service = self.random.choice(SERVICES)
        rows = self.rows(f"heads.{service}.jsonl")
        used = [row for row in rows if row["seq"]]
        if not used:
            raise NothingToTamper("no head")
        rows.remove(self.random.choice(used))
        return f"heads.{service}: deleted"

    def head(self, service: str, partition: int) -> Row:
        """Return a head, to be changed."""
        rows = self.rows(f"heads.{service}.jsonl")
        return next(row for row in rows if row["partition"] == partition)

    def set_head(self, service: str, partition: int) -> None:
        """Let a head say what its log's last event is now."""
        rows = [
            row for row in self.files[f"events.{service}.jsonl"] if row["partition"] == partition
        ]
        last = rows[-1] if rows else {"seq": 0, "hash": "00" * 32}
        self.head(service, partition).update(seq=last["seq"], hash=last["hash"])

    # What follows from events

    def edit_entity(self) -> str:
        """One column of a row of an entity table."""
        table = self.random.choice(KEYED_TABLES)
        rows = self.rows(f"table.{table}.jsonl")
        row = rows[self.index(rows)]
        name = self.random.choice(sorted(row))
        row[name] = self.other(row[name])
        return f"{table}: {name}"

    def delete_entity(self) -> str:
        """A row of an entity table is gone."""
        table = self.random.choice(KEYED_TABLES)
        rows = self.rows(f"table.{table}.jsonl")
        rows.pop(self.index(rows))
        return f"{table}: a row deleted"

    def insert_entity(self) -> str:
        """A row too many in an entity table, under a new key or the same."""
        table = self.random.choice(KEYED_TABLES)
        rows = self.rows(f"table.{table}.jsonl")
        row = copy.deepcopy(rows[self.index(rows)])
        for name in ("reservation_id", "order_id", "ticket_code"):
            if name in row and self.random.random() < 0.5:
                row[name] = self.other(row[name])
        rows.append(row)
        return f"{table}: a row inserted"

    def swap_entities(self) -> str:
        """Two rows have each other's value in a column."""
        table = self.random.choice(KEYED_TABLES)
        rows = self.rows(f"table.{table}.jsonl")
        names = [name for name in rows[0] if len({json.dumps(row[name]) for row in rows}) > 1]
        if not names:
            raise NothingToTamper("all alike")
        name = self.random.choice(sorted(names))
        one = rows[self.index(rows)]
        other = self.random.choice([row for row in rows if row[name] != one[name]])
        one[name], other[name] = other[name], one[name]
        return f"{table}: {name} of two rows swapped"

    def edit_answer(self) -> str:
        """A recorded answer that came of an event says something else."""
        service, _, row = self.answer()
        name = self.random.choice(("fingerprint", "type", "answer", "evidence", "command_id"))
        if name == "answer":
            answer = json.loads(row["answer"])
            self.edit_inside(answer)
            row["answer"] = json.dumps(answer)
        else:
            row[name] = self.other(row[name])
        return f"answers.{service}: {name}"

    def delete_answer(self) -> str:
        """A recorded answer is gone: its key would have a second effect."""
        service, rows, row = self.answer()
        rows.remove(row)
        return f"answers.{service}: deleted"

    def insert_answer(self) -> str:
        """An answer that no event led to."""
        service, rows, row = self.answer()
        rows.append(row | {"command_id": self.other(row["command_id"])})
        return f"answers.{service}: inserted"

    def answer(self) -> tuple[str, list[Row], Row]:
        """Draw an answer that came of an event."""
        service = self.random.choice(SERVICES)
        rows = self.rows(f"answers.{service}.jsonl")
        of_events = [row for row in rows if row["type"].rpartition(".")[2] in EVENTFUL]
        if not of_events:
            raise NothingToTamper("no such answer")
        return service, rows, self.random.choice(of_events)

    # Anchors and topics

    def edit_anchor(self) -> str:
        """One column of a stored anchor."""
        rows = self.rows("anchors.jsonl")
        row, name = rows[self.index(rows)], self.random.choice(ANCHOR_FIELDS)
        row[name] = self.other(row[name])
        return f"anchors: {name}"

    def delete_anchor(self) -> str:
        """A stored anchor is gone; the topic still has it."""
        rows = self.rows("anchors.jsonl")
        rows.pop(self.index(rows))
        return "anchors: deleted"

    def insert_anchor(self) -> str:
        """An anchor of another event under a signature that is genuine elsewhere."""
        rows = self.rows("anchors.jsonl")
        row = dict(rows[self.index(rows)])
        rows.append(row | {"seq": row["seq"] + self.random.choice((-1, 1))})
        return "anchors: inserted"

    def edit_record(self) -> str:
        """What an event topic holds says something else than the ledger."""
        service, rows = self.records()
        row = rows[self.index(rows)]
        value = json.loads(row["value"])
        where = self.edit_inside(value)
        row["value"] = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        return f"topic of {service}: {where}"

    def delete_record(self) -> str:
        """An event was never published, with later ones that were and earlier ones too."""
        service, rows = self.records()
        inner = [
            row
            for row in rows
            if 1 < int(dict(row["headers"])["ce_position"].split("-")[2]) < self.newest(rows, row)
        ]
        if not inner:
            raise NothingToTamper("none between others")
        gone = self.random.choice(inner)
        place = dict(gone["headers"])["ce_position"]
        rows[:] = [row for row in rows if dict(row["headers"]).get("ce_position") != place]
        return f"topic of {service}: {place} deleted"

    def newest(self, rows: list[Row], like: Row) -> int:
        """Return the highest number in a record's partition."""
        return max(
            int(dict(row["headers"])["ce_position"].split("-")[2])
            for row in rows
            if row["partition"] == like["partition"]
        )

    def records(self) -> tuple[str, list[Row]]:
        """Return a service and the events in its topic."""
        service = self.random.choice(SERVICES)
        name = f"topics.ota.{service}.events.v1.jsonl"
        rows = self.rows(name)
        rows[:] = [row for row in rows if "ce_position" in dict(row["headers"])]
        if not rows:
            raise NothingToTamper(name)
        return service, rows

    # Attackers who recompute

    def smart_edit(self) -> str:
        """An event before an anchor is another; chain, head and evidence are made anew."""
        return self.rewrite(anchored=True)

    def smart_edit_without_stored_anchors(self) -> str:
        """The same, and the table of anchors is emptied: the topic has them."""
        told = self.rewrite(anchored=True)
        self.rows("anchors.jsonl").clear()
        return f"{told}, anchors emptied"

    def rewrite(self, *, anchored: bool) -> str:
        """Change what nothing else repeats, and make everything anew that the database has."""
        service, rows = self.events()
        ends = self.anchored_until(service)
        mine = [row for row in rows if (row["seq"] <= ends.get(row["partition"], 0)) == anchored]
        if not mine:
            raise NothingToTamper("no such event")
        row = self.random.choice(mine)
        meta = json.loads(row["meta"])
        meta["traceparent"] = self.other(meta["traceparent"])
        row["meta"] = json.dumps(meta, separators=(",", ":"), ensure_ascii=False)
        relink(service, rows, row["partition"], self.rows(f"answers.{service}.jsonl"))
        self.set_head(service, row["partition"])
        return f"events.{service}: all made anew from {row['partition']}/{row['seq']} on"

    def anchored_until(self, service: str) -> dict[int, int]:
        """Return the last anchored number of each partition."""
        found: dict[int, int] = {}
        for row in self.files.get("anchors.jsonl", []):
            if row["service"] == service:
                found[row["partition"]] = max(found.get(row["partition"], 0), row["seq"])
        return found

    # Values

    def other(self, value: Any) -> Any:
        """Return another value of the same kind."""
        match value:
            case bool():
                return not value
            case int():
                return value + self.random.choice((-1, 1, 7))
            case None:
                return "something"
            case str() if value:
                at = self.random.randrange(len(value))
                swapped = self.random.choice([c for c in "0123456789abcdef" if c != value[at]])
                return value[:at] + swapped + value[at + 1 :]
            case str():
                return "something"
            case dict() | list():
                changed = copy.deepcopy(value)
                if changed:
                    self.edit_inside(changed)
                    return changed
                return [1] if isinstance(value, list) else {"more": 1}
            case _:
                return 0

    def edit_inside(self, value: Any) -> str:
        """Change one value inside a document; return its path."""
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = self.random.choice(keys)
        inner = value[key]
        if isinstance(inner, dict | list) and inner:
            return f"{key}.{self.edit_inside(inner)}"
        value[key] = self.other(inner)
        return str(key)


def hash_of(service: str, row: Row) -> str:
    """Return the hash that an event should have."""
    fields = [service, f"{row['generation']}-{row['partition']}-{row['seq']}", row["type"]]
    fields += [str(row["version"]), row["subject"], row["decided_at"], row["meta"], row["data"]]
    content = bytes.fromhex(row["previous_hash"]) + "\n".join(fields).encode()
    return hashlib.sha256(content).hexdigest()


def relink(service: str, rows: list[Row], partition: int, answers: list[Row]) -> None:
    """Make a partition's whole chain anew, and the evidence of recorded answers."""
    previous, renamed = "00" * 32, {}
    for row in rows:
        if row["partition"] == partition:
            place = f"{row['generation']}-{row['partition']}-{row['seq']}"
            before = f"{place}.{base64_of(row['hash'])}"
            row["previous_hash"] = previous
            previous = row["hash"] = hash_of(service, row)
            renamed[before] = f"{place}.{base64_of(row['hash'])}"
    for answer in answers:
        answer["evidence"] = renamed.get(answer["evidence"], answer["evidence"])


def base64_of(hexadecimal: str) -> str:
    """Return bytes as evidence has them."""
    return b64encode(bytes.fromhex(hexadecimal)).decode()


Tampering = Callable[[Tamperer], str]
KINDS: Final[Mapping[str, Mapping[str, Tampering]]] = {
    "edit": {
        "a column of an event": Tamperer.edit_event,
        "a value in an event's data": Tamperer.edit_event_data,
        "a character of an event": Tamperer.flip_character,
        "a head": Tamperer.edit_head,
        "an old head again": Tamperer.replay_old_head,
        "a column of an entity": Tamperer.edit_entity,
        "a recorded answer": Tamperer.edit_answer,
        "an anchor": Tamperer.edit_anchor,
        "a published record": Tamperer.edit_record,
    },
    "delete": {
        "an event": Tamperer.delete_event,
        "an event, the gap closed": Tamperer.delete_event_and_close_the_gap,
        "a head": Tamperer.delete_head,
        "an entity": Tamperer.delete_entity,
        "a recorded answer": Tamperer.delete_answer,
        "an anchor": Tamperer.delete_anchor,
        "a published record": Tamperer.delete_record,
    },
    "insert": {
        "an event": Tamperer.insert_event,
        "an event at the end, well linked": Tamperer.insert_linked_event,
        "an entity": Tamperer.insert_entity,
        "a recorded answer": Tamperer.insert_answer,
        "an anchor": Tamperer.insert_anchor,
    },
    "swap": {
        "two events": Tamperer.swap_events,
        "two neighbours": Tamperer.swap_neighbours,
        "a column of two entities": Tamperer.swap_entities,
    },
    "cut tail": {
        "the log": Tamperer.cut_tail,
        "the log and its head": Tamperer.cut_tail_and_head,
    },
    "recompute": {
        "chain, head and evidence": Tamperer.smart_edit,
        "the same, anchors deleted": Tamperer.smart_edit_without_stored_anchors,
    },
}
"""By class and by name; a campaign takes the classes in turns."""
