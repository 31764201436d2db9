"""Holds the recorded answers, which repeats are answered from, against the events (I5)."""

from __future__ import annotations

import json

from ota_checker.identity import micros
from ota_checker.model import SERVICES, Hold, Model
from ota_checker.reading import Export, Row
from ota_checker.verdicts import Verdicts


def check_recorded_answers(*, export: Export, model: Model, verdicts: Verdicts) -> None:
    """Check each record against the effect that it stands for, and each effect for a record."""
    services = [name for name in SERVICES if export.path(f"answers.{name}.jsonl") is not None]
    for service in services:
        for row in export.rows(f"answers.{service}.jsonl"):
            verdicts.look("I5")
            _check(service, row, model, verdicts)
            at = micros(row["decided_at"])
            model.recorded[row["command_id"]] = min(at, model.recorded.get(row["command_id"], at))
    if {"inventory", "reservation"} <= set(services):
        for hold in model.holds.values():
            ended_by = hold.life_command_id if hold.life_end in ("activated", "cancelled") else None
            for id in filter(None, (hold.command_id, ended_by)):
                if id not in model.recorded:
                    rule = (
                        f"command {id} had an effect on {hold.reservation_id} and no answer is"
                        " recorded"
                    )
                    verdicts.violate("I5", rule, reservations=(hold.reservation_id,))


def _check(service: str, row: Row, model: Model, verdicts: Verdicts) -> None:
    id, kind = row["command_id"], row["type"]
    held, ended = model.held_by.get(id), model.ended_by.get(id)
    if kind == "ota.answer.hold_placed":
        _agree(
            row, held, held.fingerprint if held else "", ("reservation_id", "quantity"), verdicts
        )
    elif kind == "ota.answer.order_confirmed":
        _agree(
            row,
            ended,
            ended.life_fingerprint if ended else "",
            ("reservation_id", "order_id"),
            verdicts,
        )
    elif kind == "ota.answer.hold_released":
        _agree(row, ended, ended.life_fingerprint if ended else "", ("reservation_id",), verdicts)
    elif kind == "ota.answer.hold_refused" and held is not None:
        rule = (
            f"command {id} holds units as {held.reservation_id}, its recorded answer refuses them"
        )
        verdicts.violate("I5", rule, until=held.place, reservations=(held.reservation_id,))
    elif kind == "ota.answer.reservation_refused" and ended is not None:
        rule = (
            f"command {id} has {ended.life_end} {ended.reservation_id}, its recorded answer refuses"
        )
        verdicts.violate(
            "I5", rule, until=ended.life_end_place, reservations=(ended.reservation_id,)
        )


def _agree(
    row: Row, hold: Hold | None, fingerprint: str, names: tuple[str, ...], verdicts: Verdicts
) -> None:
    id = row["command_id"]
    if hold is None:
        verdicts.violate("I5", f"the answer to command {id} is recorded, its effect is nowhere")
        return
    answer = json.loads(row["answer"])
    for name in names:
        if answer[name] != getattr(hold, name):
            rule = (
                f"the recorded answer to command {id} names {answer[name]}, its effect is"
                f" {getattr(hold, name)}"
            )
            verdicts.violate("I5", rule, reservations=(hold.reservation_id,))
    if row["fingerprint"] != fingerprint:
        rule = f"the answer to command {id} is recorded for another request than its effect"
        verdicts.violate("I5", rule, reservations=(hold.reservation_id,))
