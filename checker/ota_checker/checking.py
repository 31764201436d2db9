"""The whole judgement: replay the logs, then hold everything else against the replay."""

from __future__ import annotations

from pathlib import Path

from ota_checker.audit import check_audit
from ota_checker.chain import check_anchors_left, check_heads
from ota_checker.history import History
from ota_checker.identity import micros
from ota_checker.ledger import Ledger
from ota_checker.lives import Lives
from ota_checker.model import SERVICES, Model, Windows
from ota_checker.orders import Orders
from ota_checker.privacy import LENGTH_MIN, Needles, check_privacy
from ota_checker.publication import check_publication
from ota_checker.reading import Export, Unreadable
from ota_checker.recorded import check_recorded_answers
from ota_checker.tables import Tables
from ota_checker.verdicts import INVARIANTS, Verdicts

RECOVERY_US = 10_000_000
"""A system has this long to recover after a fault has healed (I8, I26)."""

_NEEDS = {
    "I2": "no entity tables and no reported figures",
    "I3": "no 2xx to a mutation in the history",
    "I4": "no mutation in the history",
    "I5": "no recorded answers and no repeats",
    "I8": "no hold has run out",
    "I9": "no hold has ended",
    "I10": "no activation, cancellation or refusal of one in the history",
    "I11": "no answers in the history",
    "I14": "no two commands that followed one another",
    "I15": "no reads in the history",
    "I16": "no entity tables",
    "I17": "no event topics",
    "I19": "no command topics",
    "I21": "no answers in the history",
}


def check(*, folder: Path, logs: Path | None = None) -> Verdicts:
    """Return the verdicts over an export; raises Unreadable."""
    export, model, verdicts = Export(folder), Model(), Verdicts()
    if not folder.is_dir():
        raise Unreadable(f"{folder} is no folder")
    try:
        _check(export, model, verdicts, logs)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(f"a row has another shape than expected: {error!r}") from error
    for invariant in INVARIANTS:
        if verdicts.state(invariant) == "not judged":
            verdicts.lack(invariant, _NEEDS.get(invariant, "no events"))
    return verdicts


def _check(export: Export, model: Model, verdicts: Verdicts, logs: Path | None) -> None:
    words = Needles(
        [word for word in export.document("canaries.json") or () if len(word) >= LENGTH_MIN]
    )
    about = export.document("export.json") or {}
    model.anchors = {
        (row["service"], row["partition"], row["seq"]): row["hash"]
        for row in export.rows("anchors.jsonl")
    }
    verdicts.look("I22", len(model.anchors))
    lives, orders = _replay(export, model, verdicts)
    stated = about.get("exported_at")
    newest = max((log.decided_at for log in model.logs.values()), default=0)
    model.exported_at = micros(stated) if stated else newest
    orders.finish()
    channels, limits = _partners(export, model, verdicts)
    check_recorded_answers(export=export, model=model, verdicts=verdicts)
    Tables(model=model, verdicts=verdicts).check(export)
    check_publication(export=export, model=model, verdicts=verdicts)
    check_audit(export=export, model=model, verdicts=verdicts)
    history = History(model=model, verdicts=verdicts, channels=channels, limits=limits, words=words)
    history.read(export)
    if history.calls:
        history.finish(complete=about.get("complete_history", True))
    lives.finish(_faults(export, history.offset_us))
    check_privacy(export=export, words=words, logs=logs, verdicts=verdicts)


def _replay(export: Export, model: Model, verdicts: Verdicts) -> tuple[Lives, Orders]:
    """Replay the three logs, each in its own order."""
    ledger = Ledger(model=model, verdicts=verdicts)
    lives = Lives(model=model, verdicts=verdicts)
    orders = Orders(model=model, verdicts=verdicts)
    for service, take in zip(SERVICES, (ledger.take, lives.take, orders.take), strict=True):
        for row in export.rows(f"events.{service}.jsonl"):
            take(row)
    ledger.finish()
    check_anchors_left(model=model, verdicts=verdicts)
    for service in SERVICES:
        heads = list(export.rows(f"heads.{service}.jsonl"))
        check_heads(service=service, rows=heads, model=model, verdicts=verdicts)
    verdicts.figures["events"] = sum(len(log.contents) for log in model.logs.values())
    return lives, orders


def _partners(
    export: Export, model: Model, verdicts: Verdicts
) -> tuple[dict[str, str], dict[str, int]]:
    """Return channel and limit by partner; a partner's holds lie in its one channel (I12)."""
    told = export.document("partners.json") or {}
    channels = {partner: each["channel"] for partner, each in told.items()}
    limits = {partner: each["calls_per_minute"] for partner, each in told.items()}
    for hold in model.holds.values():
        verdicts.look("I12")
        channel = channels.setdefault(hold.partner_id, hold.pool.channel)
        if channel != hold.pool.channel:
            rule = (
                f"{hold.partner_id} of channel {channel} holds units of channel {hold.pool.channel}"
            )
            ids = (hold.reservation_id,)
            verdicts.violate("I12", rule, until=hold.place, reservations=ids)
    return channels, limits


def _faults(export: Export, offset_us: int | None) -> Windows:
    """Return when something was broken, with the time to recover, by the time of day."""
    if offset_us is None:
        return Windows(())
    stretches = []
    for row in export.rows("faults.jsonl"):
        start = row["at_ns"] // 1000 + offset_us
        healed = row.get("healed_ns")
        end = healed // 1000 + offset_us if healed else 1 << 62
        stretches.append((start, end + RECOVERY_US))
    return Windows(stretches)
