"""Tenant isolation (I11): whose ids and names an answer holds, and what is said of foreign ids."""

from __future__ import annotations

from ota_checker.calls import Call
from ota_checker.identity import ANY_ID
from ota_checker.model import Model
from ota_checker.privacy import Needles
from ota_checker.verdicts import Verdicts


class Isolation:
    """Looks for foreign things in each answer."""

    def __init__(self, *, model: Model, verdicts: Verdicts, words: Needles) -> None:
        self._model = model
        self._verdicts = verdicts
        self._words = words
        self._owners: dict[str, str] = {}

    def take(self, call: Call) -> None:
        """Check one call."""
        if call.partner is None or call.status is None:
            return
        for word in self._words.plain(call.request_text):
            self._owners.setdefault(word, call.partner)
        asked = f"{call.path} {call.request_text}"
        self._verdicts.look("I11")
        for id in {*ANY_ID.findall(call.body_text), *ANY_ID.findall(call.location)}:
            hold = self._model.owner(id)
            if hold is not None and hold.partner_id != call.partner and id not in asked:
                self._violate(call, f"{id} of {hold.partner_id}", hold.reservation_id)
        for id in ANY_ID.findall(call.path):
            hold = self._model.owner(id)
            if hold is None or hold.partner_id == call.partner:
                continue
            told = call.status == 409 and call.word != "IDEMPOTENCY_IN_PROGRESS"
            if call.status < 400 or told:
                what = f"that {id} of {hold.partner_id} exists ({call.status})"
                self._violate(call, what, hold.reservation_id)
        for word in self._words.plain(call.body_text):
            owner = self._owners.get(word, call.partner)
            if owner != call.partner:
                self._violate(call, f"a customer's name of {owner}", None)

    def _violate(self, call: Call, what: str, reservation_id: str | None) -> None:
        rule = f"{call.partner} was shown {what}"
        ids = (reservation_id,) if reservation_id is not None else ()
        self._verdicts.violate("I11", rule, reservations=ids, calls=(call.line,))
