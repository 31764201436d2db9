"""Correct books, falsified in one way each, and the invariant that must be reported.

Before the hashes are made, so that nothing but the falsehood itself is wrong; or after, where the
falsehood is about what was derived.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.support.books import PARTNERS, POOLS, PRICES_ROW, Books, Held, Row, compact, instant

Falsehood = Callable[[Books], None]


@dataclass(frozen=True)
class Falsified:
    """A falsehood; *derived* ones are told after hashes, heads and topics were made."""

    invariant: str
    tell: Falsehood
    derived: bool


ALL: list[Falsified] = []


def falsifies(invariant: str, *, derived: bool = False) -> Callable[[Falsehood], Falsehood]:
    """Take a falsehood into the list."""

    def take(tell: Falsehood) -> Falsehood:
        ALL.append(Falsified(invariant, tell, derived))
        return tell

    return take


def edit(row: Row, column: str = "data", **changes: Any) -> None:
    """Change values inside a row's JSON."""
    row[column] = compact({**json.loads(row[column]), **changes})


def body(call: Row, **changes: Any) -> None:
    """Change values in an answer."""
    edit(call, "body", **changes)


def data(row: Row) -> Any:
    """Return an event's data."""
    return json.loads(row["data"])


def about(books: Books, service: str, kind: str, hold: Held) -> Row:
    """Return the event of a kind about a hold."""
    return next(row for row in books.events(service, kind) if row["subject"] == hold.id)


def some(books: Books, status: str, **wanted: Any) -> Held:
    """Return a hold of a status, answered with 201."""
    told = {json.loads(call["body"])["reservation_id"] for call in books.calls("reserve", 201)}
    return next(
        hold
        for hold in books.holds
        if hold.status == status
        and hold.id in told
        and all(getattr(hold, name) == value for name, value in wanted.items())
    )


def answered(books: Books, op: str, hold: Held, status: int = 201) -> Row:
    """Return the first answer about a hold."""
    return next(
        call
        for call in books.calls(op, status)
        if hold.id in call["path"] or hold.id in (call["body"] or "")
    )


def append(books: Books, service: str, like: Row, **changes: Any) -> Row:
    """Append an event that is like another one, at the end of its partition."""
    mine = [r for r in books.rows(f"events.{service}") if r["partition"] == like["partition"]]
    row = {**copy.deepcopy(like), "seq": mine[-1]["seq"] + 1, "decided_at": mine[-1]["decided_at"]}
    edit(row, **changes)
    row["subject"] = data(row).get("reservation_id", like["subject"])
    books.rows(f"events.{service}").append(row)
    return row


def opened(books: Books, hold: Held, **changes: Any) -> None:
    """Append what only old logs have: the ledger's event, said once more."""
    held = about(books, "inventory", "units_held", hold)
    again = {"held_at": instant(hold.held_at), "ledger_seq": held["seq"], **changes}
    row = append(books, "reservation", held, **again)
    row["type"] = "ota.reservation.reservation_opened"


def remove(books: Books, service: str, *gone: Row) -> None:
    """Remove events and close the gaps."""
    for row in gone:
        rows = books.rows(f"events.{service}")
        rows.remove(row)
        for later in rows:
            if later["partition"] == row["partition"] and later["seq"] > row["seq"]:
                later["seq"] -= 1


def later(row: Row, seconds: float) -> None:
    """Move an event in time."""
    at = datetime.fromisoformat(row["decided_at"]) + timedelta(seconds=seconds)
    row["decided_at"] = instant(at, "+00:00")


def call_like(books: Books, like: Row, **changes: Any) -> Row:
    """Append a call at the end of the history, like another one."""
    books.pass_time(1_000_000)
    call = {**copy.deepcopy(like)}
    books._timed(call)
    call |= changes
    books.rows("history").append(call)
    return call


# I1, I2


@falsifies("I1")
def sells_more_than_there_is(books: Books) -> None:
    like = books.events("inventory", "units_held")[0]
    append(books, "inventory", like, reservation_id=_other_id(like), quantity=100)


@falsifies("I1")
def takes_sold_units_from_the_allotment(books: Books) -> None:
    sold = some(books, "activated")
    like = next(
        row
        for row in books.events("inventory", "allotment_set")
        if data(row)["pool_no"] == sold.pool_no
    )
    append(books, "inventory", like, units=0)


@falsifies("I1")
def sells_while_sales_are_stopped(books: Books) -> None:
    like = books.events("inventory", "units_held")[0]
    stopped = append(books, "inventory", like, reason="audit")
    stopped["type"] = "ota.inventory.sales_stopped"
    append(books, "inventory", like, reservation_id=_other_id(like), quantity=1)


@falsifies("I1")
def holds_beyond_a_cap(books: Books) -> None:
    like = books.events("inventory", "units_held")[0]
    cap = append(books, "inventory", like, units=0, held=_open(books, like))
    cap["type"] = "ota.inventory.partner_cap_set"
    append(books, "inventory", like, reservation_id=_other_id(like), quantity=1)


@falsifies("I2")
def row_of_a_pool_forgets_a_unit(books: Books) -> None:
    books.rows("table.inventory.pool")[0]["sold"] -= 1


@falsifies("I2")
def reports_a_unit_too_many(books: Books) -> None:
    reported = {
        "pools": [
            {
                "pool_no": 1,
                "seq": 10**6,
                "available": books.available[1] + 1,
                "allotted": books.units,
            }
        ]
    }
    books.rows("topics.ota.inventory.availability.v1").append(
        {
            "partition": 0,
            "offset": 0,
            "headers": [["ce_type", "ota.inventory.availability_reported"]],
            "value": compact(reported),
        }
    )


@falsifies("I2")
def opens_a_hold_with_other_units(books: Books) -> None:
    opened(books, some(books, "active"), quantity=99)


def _other_id(like: Row) -> str:
    return str(data(like)["reservation_id"])[:-4] + "ZZZZ"


def _open(books: Books, like: Row) -> int:
    theirs = (data(like)["pool_no"], data(like)["partner_id"])
    return sum(
        h.quantity for h in books.holds if (h.pool_no, h.partner) == theirs and h.status == "active"
    )


# I3, I4, I5


@falsifies("I3")
def loses_a_hold_that_was_acknowledged(books: Books) -> None:
    hold = some(books, "active")
    remove(books, "inventory", about(books, "inventory", "units_held", hold))


@falsifies("I3")
def loses_an_acknowledged_order(books: Books) -> None:
    hold = some(books, "activated")
    remove(books, "inventory", about(books, "inventory", "units_sold", hold))
    remove(books, "reservation", about(books, "reservation", "activated", hold))
    remove(books, "fulfillment", about(books, "fulfillment", "order_created", hold))


@falsifies("I3")
def acknowledges_a_cancellation_that_was_not(books: Books) -> None:
    hold = some(books, "active")
    like = books.calls("cancel", 204)[0]
    path = f"/api/ota/reservations/{hold.id}"
    call_like(books, like, path=path, key="new", partner=hold.partner)


@falsifies("I3")
def tells_more_units_than_are_held(books: Books) -> None:
    body(books.calls("reserve", 201)[0], quantity=77)


@falsifies("I4")
def holds_units_that_nobody_asked_for(books: Books) -> None:
    key = answered(books, "reserve", some(books, "expired"))["key"]
    books.files["history"] = [call for call in books.rows("history") if call["key"] != key]


@falsifies("I4")
def refuses_and_holds_all_the_same(books: Books) -> None:
    refused = answered(books, "reserve", some(books, "expired"))
    for call in books.rows("history"):
        if call["key"] == refused["key"]:
            call |= {"status": 503, "body": compact({"code": "NOT_EXECUTED"})}


@falsifies("I4")
def holds_other_units_than_asked_for(books: Books) -> None:
    key = answered(books, "reserve", some(books, "expired"))["key"]
    for call in books.rows("history"):
        if call["key"] == key:
            edit(call, "request", quantity=9)


@falsifies("I4")
def says_sold_out_and_holds(books: Books) -> None:
    hold = some(books, "expired")
    refusal = compact({"code": "SOLD_OUT", "available": 0})
    key = answered(books, "reserve", hold)["key"]
    for call in books.rows("history"):
        if call["key"] == key and call["status"] == 201:
            call |= {"status": 409, "body": refusal}


@falsifies("I5")
def answers_a_repeat_otherwise(books: Books) -> None:
    call = books.calls("reserve", 201)[0]
    again = call_like(books, call)
    body(again, note="second")


@falsifies("I5")
def accepts_a_key_with_another_body(books: Books) -> None:
    call = books.calls("reserve", 201)[0]
    call_like(books, call, request=compact({"product_id": 106, "quantity": 8}))


@falsifies("I5")
def refuses_a_repeat_of_what_was_accepted(books: Books) -> None:
    call = books.calls("reserve", 201)[0]
    call_like(books, call, status=422, body=compact({"code": "VALIDATION_ERROR"}))


@falsifies("I5")
def takes_a_repeat_for_another_request(books: Books) -> None:
    call = next(
        call
        for call in books.calls("reserve", 201)
        if sum(each["key"] == call["key"] for each in books.rows("history")) == 1
    )
    call_like(books, call, status=422, body=compact({"code": "IDEMPOTENCY_KEY_REUSED"}))


@falsifies("I5")
def holds_units_twice_for_one_command(books: Books) -> None:
    like = books.events("inventory", "units_held")[0]
    append(books, "inventory", like, reservation_id=_other_id(like), quantity=1)


@falsifies("I5")
def records_an_answer_about_another_hold(books: Books) -> None:
    row = next(r for r in books.rows("answers.inventory") if r["type"].endswith("hold_placed"))
    edit(row, "answer", reservation_id="res_0")


@falsifies("I5")
def records_an_answer_to_another_request(books: Books) -> None:
    row = next(r for r in books.rows("answers.inventory") if r["type"].endswith("hold_placed"))
    row["fingerprint"] = "another"


@falsifies("I5")
def has_an_effect_without_a_record(books: Books) -> None:
    rows = books.rows("answers.inventory")
    rows.remove(next(row for row in rows if row["type"].endswith("hold_placed")))


# I6, I7


@falsifies("I6")
def ends_a_hold_twice(books: Books) -> None:
    cancelled = books.events("reservation", "cancelled")[0]
    hold = some(books, "activated", pool_no=data(cancelled)["pool_no"])
    append(books, "reservation", cancelled, reservation_id=hold.id)


@falsifies("I6")
def sells_what_was_released(books: Books) -> None:
    sold = books.events("inventory", "units_sold")[0]
    hold = next(
        h for h in books.holds if h.status == "expired" and POOLS[h.pool_no][2] == sold["partition"]
    )
    append(books, "inventory", sold, reservation_id=hold.id, quantity=hold.quantity)


@falsifies("I6")
def ends_in_the_ledger_alone(books: Books) -> None:
    hold = some(books, "expired")
    remove(books, "reservation", about(books, "reservation", "expired", hold))


@falsifies("I6")
def opens_a_hold_twice(books: Books) -> None:
    hold = some(books, "active")
    opened(books, hold)
    opened(books, hold)


@falsifies("I6")
def ends_a_hold_that_never_was(books: Books) -> None:
    hold = some(books, "expired")
    remove(books, "inventory", about(books, "inventory", "units_held", hold))


@falsifies("I6")
def finds_a_conflict(books: Books) -> None:
    like = books.events("inventory", "units_sold")[0]
    append(books, "inventory", like, reason="not held")["type"] = (
        "ota.inventory.ledger_conflict_found"
    )


@falsifies("I7")
def makes_two_orders_of_one_activation(books: Books) -> None:
    append(books, "fulfillment", books.events("fulfillment")[0], order_id="ORD-9999999999999")


@falsifies("I7")
def makes_an_order_of_a_cancelled_hold(books: Books) -> None:
    like = books.events("fulfillment")[0]
    hold = some(books, "cancelled")
    append(books, "fulfillment", like, order_id="ORD-9999999999999", reservation_id=hold.id)


@falsifies("I7")
def makes_no_order_of_an_activation(books: Books) -> None:
    remove(books, "fulfillment", books.events("fulfillment")[0])


@falsifies("I7")
def issues_a_ticket_too_few(books: Books) -> None:
    row = books.events("fulfillment")[0]
    edit(row, tickets=data(row)["tickets"][1:])


@falsifies("I7")
def tells_other_tickets_than_were_issued(books: Books) -> None:
    call = books.calls("activate", 201)[0]
    tickets = json.loads(call["body"])["tickets"]
    tickets[0]["qr_token"] = "another"
    body(call, tickets=tickets)


@falsifies("I7")
def shows_other_tickets_later(books: Books) -> None:
    call = books.calls("list_tickets", 200)[0]
    tickets = json.loads(call["body"])["tickets"]
    tickets[0]["ticket_code"] = "FERRY-9999999999999"
    body(call, tickets=tickets)


@falsifies("I7")
def gives_an_order_number_twice(books: Books) -> None:
    first, second = books.events("reservation", "activated")[:2]
    edit(second, order_id=data(first)["order_id"])


@falsifies("I7")
def confirms_two_orders_with_one_code(books: Books) -> None:
    first, second = books.events("fulfillment")[:2]
    edit(second, confirmation_code=data(first)["confirmation_code"])


@falsifies("I7")
def sells_no_units_for_an_order(books: Books) -> None:
    remove(books, "inventory", books.events("inventory", "units_sold")[0])


# I8, I9, I10


@falsifies("I8")
def expires_a_hold_early(books: Books) -> None:
    later(books.events("reservation", "expired")[0], -1)


@falsifies("I8")
def expires_a_hold_late(books: Books) -> None:
    hold = max((h for h in books.holds if h.status == "expired"), key=lambda h: h.ended_at)
    later(about(books, "reservation", "expired", hold), 12)
    later(about(books, "inventory", "units_released", hold), 12)


@falsifies("I8")
def never_expires_a_hold(books: Books) -> None:
    hold = some(books, "expired")
    remove(books, "reservation", about(books, "reservation", "expired", hold))
    remove(books, "inventory", about(books, "inventory", "units_released", hold))


@falsifies("I8")
def activates_after_the_deadline(books: Books) -> None:
    hold = some(books, "activated")
    ended_at = instant(hold.ended_at or books.now)
    edit(about(books, "inventory", "units_held", hold), expires_at=ended_at)


@falsifies("I8")
def holds_for_a_week(books: Books) -> None:
    hold = some(books, "active")
    week = instant(hold.held_at + timedelta(days=7))
    edit(about(books, "inventory", "units_held", hold), expires_at=week)


@falsifies("I9")
def releases_units_twice(books: Books) -> None:
    append(books, "inventory", books.events("inventory", "units_released")[0])


@falsifies("I9")
def releases_other_units_than_were_held(books: Books) -> None:
    row = books.events("inventory", "units_released")[0]
    edit(row, quantity=data(row)["quantity"] + 1)


@falsifies("I9")
def never_releases(books: Books) -> None:
    remove(books, "inventory", books.events("inventory", "units_released")[0])


@falsifies("I10")
def confirms_what_has_expired(books: Books) -> None:
    hold = some(books, "expired")
    like = books.calls("activate", 201)[0]
    path = f"/api/ota/reservations/{hold.id}/activate"
    call_like(books, like, path=path, key="new", partner=hold.partner)


@falsifies("I10")
def refuses_as_expired_what_became_an_order(books: Books) -> None:
    hold = some(books, "activated")
    like = books.calls("activate", 201)[0]
    path = f"/api/ota/reservations/{hold.id}/activate"
    refusal = compact({"code": "RESERVATION_EXPIRED"})
    call_like(books, like, path=path, key="new", partner=hold.partner, status=409, body=refusal)


@falsifies("I10")
def names_another_order(books: Books) -> None:
    calls = books.calls("activate", 409)
    call = next(call for call in calls if "ALREADY_ACTIVATED" in call["body"])
    body(call, order_id="ORD-9999999999999")


@falsifies("I10")
def expires_what_was_activated(books: Books) -> None:
    expired = books.events("reservation", "expired")[0]
    hold = next(
        h
        for h in books.holds
        if h.status == "activated" and POOLS[h.pool_no][2] == expired["partition"]
    )
    append(books, "reservation", expired, reservation_id=hold.id)


# I11, I12, I13, I14


@falsifies("I11")
def lists_a_foreign_hold(books: Books) -> None:
    foreign = next(hold for hold in books.holds if hold.partner == "bob")
    like = books.calls("inventory", 200)[0]
    row = books._shown(foreign)
    listed = compact({"reservations": [row]})
    call_like(books, like, op="list_reservations", partner="ada", body=listed)


@falsifies("I11")
def admits_that_a_foreign_hold_exists(books: Books) -> None:
    call = books.calls("get_reservation", 404)[0]
    call |= {"status": 409, "body": compact({"code": "RESERVATION_EXPIRED"})}


@falsifies("I11")
def shows_a_foreign_customer(books: Books) -> None:
    order = next(call for call in books.calls("activate", 201) if call["partner"] == "bob")
    name = json.loads(order["request"])["customer_details"]["name"]
    like = books.calls("inventory", 200)[0]
    call_like(books, like, op="other", partner="ada", body=compact({"customer_name": name}))


@falsifies("I11")
def lets_a_stranger_cancel(books: Books) -> None:
    row = books.events("reservation", "cancelled")[0]
    edit(row, "meta", partner_id="mallory")


@falsifies("I12")
def takes_units_of_another_channel(books: Books) -> None:
    edit(books.events("inventory", "units_held")[0], channel="elsewhere")


@falsifies("I12")
def holds_for_a_partner_of_another_channel(books: Books) -> None:
    partners = copy.deepcopy(PARTNERS)
    partners["ada"]["channel"] = "direct"
    books.documents["partners.json"] = partners


@falsifies("I12")
def moves_units_of_another_pool(books: Books) -> None:
    edit(books.events("inventory", "units_sold")[0], pool_no=99)


@falsifies("I12")
def gives_a_hold_the_number_of_another_pool(books: Books) -> None:
    row = books.events("inventory", "units_held")[0]
    edit(row, reservation_id="res_003" + data(row)["reservation_id"][7:])


@falsifies("I13")
def leaves_a_gap(books: Books) -> None:
    mine = [row for row in books.rows("events.inventory") if row["partition"] == 1]
    for row in mine[4:]:
        row["seq"] += 1


@falsifies("I13")
def goes_back_in_time(books: Books) -> None:
    later(books.rows("events.inventory")[-1], -3600)


@falsifies("I13", derived=True)
def cuts_a_tail(books: Books) -> None:
    books.rows("events.fulfillment").pop()


@falsifies("I14")
def orders_against_real_time(books: Books) -> None:
    mine = [row for row in books.events("inventory", "units_held") if row["partition"] == 0]
    told = {json.loads(call["body"])["reservation_id"] for call in books.calls("reserve", 201)}
    first, second = [row for row in mine if row["subject"] in told][:2]
    names = ("subject", "meta", "data")
    swapped = {name: first[name] for name in names}
    for name in names:
        first[name], second[name] = second[name], swapped[name]


# I15 to I19


@falsifies("I15")
def shows_figures_that_never_were(books: Books) -> None:
    call = books.calls("inventory", 200)[-1]
    inventory = json.loads(call["body"])["inventory"]
    inventory[0]["available"] = 1_000
    body(call, inventory=inventory)


@falsifies("I15")
def shows_old_figures(books: Books) -> None:
    partner = "ada" if some(books, "activated").pool_no != 3 else "own"
    reads = [call for call in books.calls("inventory", 200) if call["partner"] == partner]
    inventory = json.loads(reads[0]["body"])["inventory"]
    for row in inventory:
        row["available"] = row["capacity"]
    body(reads[-1], inventory=inventory)


@falsifies("I15")
def hides_a_hold_that_was_just_placed(books: Books) -> None:
    hold = some(books, "expired")
    like = books.calls("get_reservation", 404)[0]
    path = f"/api/ota/reservations/{hold.id}"
    call_like(books, like, path=path, partner=hold.partner)


@falsifies("I15")
def shows_an_activated_hold_as_active(books: Books) -> None:
    hold = some(books, "activated")
    like = books.calls("get_reservation", 200)[0]
    shown = {**books._shown(hold), "status": "active"}
    path = f"/api/ota/reservations/{hold.id}"
    call_like(books, like, path=path, partner=hold.partner, body=compact(shown))


@falsifies("I15")
def shows_an_end_that_never_was(books: Books) -> None:
    hold = some(books, "activated")
    like = books.calls("get_reservation", 200)[0]
    shown = {**books._shown(hold), "status": "cancelled"}
    call_like(books, like, partner=hold.partner, body=compact(shown))


@falsifies("I15")
def refuses_what_is_there(books: Books) -> None:
    call = books.calls("reserve", 409)[0]
    for each in books.rows("history"):
        if each["key"] == call["key"] and each["status"] == 409:
            body(each, available=100)


@falsifies("I15")
def answers_in_another_shape(books: Books) -> None:
    body(books.calls("inventory", 200)[0], inventory=[{"product": 106}])


@falsifies("I15")
def refuses_for_a_cap_that_is_none(books: Books) -> None:
    like = books.calls("reserve", 201)[0]
    refusal = compact({"code": "HOLD_LIMIT_REACHED", "limit": 3, "held": 3})
    call_like(books, like, key="new", status=409, body=refusal)


@falsifies("I16")
def row_of_a_hold_has_another_end(books: Books) -> None:
    books.rows("table.inventory.hold")[0]["status"] = "lost"


@falsifies("I16")
def row_of_a_reservation_is_missing(books: Books) -> None:
    books.rows("table.reservation.reservation").pop()


@falsifies("I16")
def row_of_an_order_costs_something_else(books: Books) -> None:
    books.rows("table.fulfillment.customer_order")[0]["total_minor"] += 1


@falsifies("I16")
def rows_of_tickets_change_places(books: Books) -> None:
    rows = books.rows("table.fulfillment.ticket")
    rows[0]["qr_token"] = "another"


@falsifies("I17", derived=True)
def never_publishes_an_event(books: Books) -> None:
    books.rows("topics.ota.reservation.events.v1").pop(3)


@falsifies("I17", derived=True)
def publishes_nothing_at_all(books: Books) -> None:
    books.rows("topics.ota.inventory.events.v1").clear()


@falsifies("I17", derived=True)
def publishes_something_else(books: Books) -> None:
    edit(books.rows("topics.ota.inventory.events.v1")[3], "value", quantity=1_000)


@falsifies("I17", derived=True)
def publishes_what_is_not_in_the_log(books: Books) -> None:
    records = books.rows("topics.ota.fulfillment.events.v1")
    headers = [*records[-1]["headers"][:-1], ["ce_position", "1-0-100000"]]
    records.append({**records[-1], "headers": headers})


@falsifies("I18")
def writes_in_an_old_epoch(books: Books) -> None:
    for row in books.rows("events.inventory")[2:-1]:
        row["epoch"] = 2


@falsifies("I18", derived=True)
def head_has_an_older_epoch_than_its_events(books: Books) -> None:
    books.rows("heads.reservation")[0]["epoch"] = 0


@falsifies("I19")
def skips_a_command(books: Books) -> None:
    records = books.rows("topics.ota.inventory.commands.v1")
    traced = [row["command_id"] for row in books.rows("answers.inventory")]
    place = next(
        i for i, each in enumerate(records) if i > 3 and dict(each["headers"])["ce_id"] in traced
    )
    lost = copy.deepcopy(records[place])
    headers = {**dict(lost["headers"]), "ce_id": "lost", "ce_correlationid": "lost"}
    lost["headers"] = [list(each) for each in headers.items()]
    records.insert(place, lost)


@falsifies("I19")
def drops_what_it_cannot_read(books: Books) -> None:
    records = books.rows("topics.ota.inventory.commands.v1")
    records.append({**records[-1], "headers": [], "value": "\x00"})


@falsifies("I19", derived=True)
def leaves_commands_untaken(books: Books) -> None:
    books.rows("heads.reservation")[0]["inputs"] = {}


# I20 to I24


@falsifies("I20")
def charges_another_price(books: Books) -> None:
    row = books.events("reservation", "activated")[0]
    edit(row, total_minor=data(row)["total_minor"] + 100)


@falsifies("I20")
def tells_another_price_than_it_charges(books: Books) -> None:
    call = books.calls("activate", 201)[0]
    body(call, total_amount=json.loads(call["body"])["total_amount"] + 0.01)


@falsifies("I20")
def shows_other_prices_than_it_froze(books: Books) -> None:
    call = books.calls("reserve", 201)[0]
    snapshot = json.loads(call["body"])["pricing_snapshot"]
    body(call, pricing_snapshot={**snapshot, "base_price": 288})


@falsifies("I20")
def freezes_other_prices_than_the_catalogue_has(books: Books) -> None:
    """As version 1 of the event could, which carried them."""
    row = books.events("inventory", "units_held")[0]
    edit(row, prices={**PRICES_ROW, "child_minor": 1})


@falsifies("I20")
def sells_from_a_catalogue_that_was_never_published(books: Books) -> None:
    row = books.events("inventory", "units_held")[0]
    edit(row, rule_version=2)


@falsifies("I21")
def lets_a_partner_through_too_often(books: Books) -> None:
    partners = copy.deepcopy(PARTNERS)
    partners["ada"]["calls_per_minute"] = 5
    books.documents["partners.json"] = partners


@falsifies("I22", derived=True)
def edits_an_event(books: Books) -> None:
    edit(books.events("inventory", "units_held")[0], quantity=1)


@falsifies("I22", derived=True)
def swaps_the_hash_of_a_head(books: Books) -> None:
    books.rows("heads.inventory")[0]["hash"] = "00" * 32


@falsifies("I22")
def forgets_who_acted(books: Books) -> None:
    edit(books.events("inventory", "units_held")[0], "meta", key_id=None)


@falsifies("I22", derived=True)
def writes_the_whole_log_anew(books: Books) -> None:
    row = books.rows("events.inventory")[0]
    anchor = {"service": "inventory", "partition": row["partition"], "generation": 1}
    books.rows("anchors").append({**anchor, "seq": row["seq"], "hash": "ab" * 32})


@falsifies("I22", derived=True)
def cuts_an_anchored_tail(books: Books) -> None:
    anchor = {"service": "inventory", "partition": 0, "generation": 1}
    books.rows("anchors").append({**anchor, "seq": 10**6, "hash": "ab" * 32})


@falsifies("I22")
def audits_what_never_happened(books: Books) -> None:
    books.rows("audit")[0]["command_id"] = "00000000-0000-8000-8000-000000000000"


@falsifies("I23")
def issues_a_ticket_twice(books: Books) -> None:
    first, second = books.events("fulfillment")[:2]
    tickets = data(second)["tickets"]
    tickets[0]["ticket_code"] = data(first)["tickets"][0]["ticket_code"]
    edit(second, tickets=tickets)


@falsifies("I23")
def entitles_to_more_than_the_catalogue(books: Books) -> None:
    edit(books.events("fulfillment")[0], entitlements=[])


@falsifies("I24")
def writes_a_name_into_an_event(books: Books) -> None:
    edit(books.events("fulfillment")[0], note=books.documents["canaries.json"][0])


@falsifies("I24")
def hides_a_name_in_base64(books: Books) -> None:
    secret = f"name: {books.documents['canaries.json'][-1]}, a customer"
    edit(books.events("fulfillment")[0], note=base64.b64encode(secret.encode()).decode())
