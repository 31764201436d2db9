"""The gateway's audit rows against the events (I22): who was told of an effect is who had it."""

from __future__ import annotations

from ota_checker.model import Model
from ota_checker.reading import Export
from ota_checker.verdicts import Verdicts


def check_audit(*, export: Export, model: Model, verdicts: Verdicts) -> None:
    """Check each row of a mutation that was carried out.

    Rows may be missing: those of the last half second of a killed gateway are lost (the event
    itself says who acted).
    """
    rows = 0
    for row in export.rows("audit.jsonl"):
        id = row["command_id"]
        if id is None or row["status"] >= 300:
            continue
        rows += 1
        verdicts.look("I22")
        hold = model.held_by.get(id) or model.ended_by.get(id)
        if row["route"].endswith(("/reserve", "/activate")) and hold is None:
            verdicts.violate(
                "I22", f"the audit has a {row['status']} for command {id} without effect"
            )
        elif hold is not None and hold.partner_id != row["partner_id"]:
            rule = (
                f"the audit says that {row['partner_id']} changed {hold.reservation_id} of"
                f" {hold.partner_id}"
            )
            verdicts.violate("I22", rule, reservations=(hold.reservation_id,))
    if rows:
        verdicts.figures["audit_rows_of_effects"] = rows
