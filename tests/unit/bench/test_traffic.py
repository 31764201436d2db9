"""What clients send: pairs, prepared activations, reads with an ETag, a mixed day; its tally."""

from __future__ import annotations

from collections import Counter, deque

import pytest

from bench.http1 import Response, Site
from bench.tally import ACTIVATE, CANCEL, LIST, READ, RESERVE, Request, Tally
from bench.traffic import Activations, Mixed, Pairs, Reads, Reserves
from tests.support.bench_server import reservation_id

SITE = Site(host="127.0.0.1", port=1, api_key="key")
HOLD = reservation_id(7)
RESERVED = Response(201, f'{{"reservation_id":"{HOLD}"}}'.encode())


def reserves(*, held: deque[Request] | None = None) -> Reserves:
    """Return reserves of two products, in turns."""
    templates = [(SITE.post("/r", {"product_id": each}), each, 3) for each in (900, 901)]
    return Reserves(templates=templates, key_prefix="run", held=held)


def activations(*, images: bool = False, held: deque[Request] | None = None) -> Activations:
    """Return activations."""
    return Activations(
        site=SITE, key_prefix="run", images=images, held=deque() if held is None else held
    )


def activated(order: str, *, images: int) -> Response:
    """Return an activation's answer."""
    return Response(201, f'{{"order_id":"{order}"'.encode() + b'"qr_code"' * images)


def test_products_take_turns_and_keys_differ() -> None:
    """Each request has the next product and a key of its own."""
    traffic = reserves()
    found = [traffic.next(0) for _ in range(3)]
    assert [900, 901, 900] == [each.product for each in found if each]
    assert 3 == len({each.data for each in found if each})


def test_a_pair_activates_what_it_reserved() -> None:
    """The same client activates its own reservation next; another one reserves."""
    traffic = Pairs(reserves=reserves(), activations=activations())
    first = traffic.next(0)
    assert first is not None
    traffic.answered(0, first, RESERVED)
    other, second = traffic.next(1), traffic.next(0)
    assert other is not None
    assert second is not None
    assert [RESERVE, ACTIVATE] == [other.kind, second.kind]
    assert f"POST /api/ota/reservations/{HOLD}/activate?qr=token ".encode() in second.data


def test_a_refused_reserve_is_no_half_of_a_pair() -> None:
    """After a refusal the client reserves again."""
    traffic = Pairs(reserves=reserves(), activations=activations())
    first = traffic.next(0)
    assert first is not None
    traffic.answered(0, first, Response(409, b"{}"))
    again = traffic.next(0)
    assert again is not None
    assert RESERVE == again.kind


def test_activations_end_with_the_holds() -> None:
    """What was prepared is activated once; images are asked for by leaving the query out."""
    held = deque([Request(RESERVE, b"", 900, 3, HOLD)])
    traffic = activations(images=True, held=held)
    first = traffic.next(0)
    assert first is not None
    assert (3, b"qr=token" in first.data) == (first.images, False)
    assert traffic.next(0) is None


def test_reads_say_what_they_have() -> None:
    """A conditional reader sends the ETag that it was given; a plain one does not."""
    told = Response(200, b"{}", b'HTTP/1.1 200 OK\r\nETag: W/"a-1"\r\n')
    sent = {}
    for conditional in (False, True):
        traffic = Reads(site=SITE, conditional=conditional)
        first = traffic.next(0)
        assert first is not None
        traffic.answered(0, first, told)
        second = traffic.next(0)
        assert second is not None
        sent[conditional] = b'\r\nIf-None-Match: W/"a-1"\r\n' in second.data
    assert {False: False, True: True} == sent


def test_a_mixed_day() -> None:
    """The kinds have their shares, as long as there are holds to activate and to cancel."""
    held = deque(Request(RESERVE, b"", 900, 1, reservation_id(each)) for each in range(5000))
    traffic = Mixed(
        site=SITE, reserves=reserves(held=held), activations=activations(), held=held, seed=1
    )
    found = Counter(request.kind for _ in range(20_000) if (request := traffic.next(0)))
    shares = {kind: found[kind] / 20_000 for kind in found}
    expected = {READ: 0.60, RESERVE: 0.20, ACTIVATE: 0.10, CANCEL: 0.04, LIST: 0.06}
    assert expected == pytest.approx(shares, abs=0.01)


def test_units_taken_and_given_back() -> None:
    """A 201 takes a reserve's units, a 204 gives a cancellation's back, a refusal neither."""
    tally = Tally(main=RESERVE)
    tally.count(Request(RESERVE, b"", 900, 3), RESERVED)
    tally.count(Request(RESERVE, b"", 900, 3), Response(409, b'{"code":"SOLD_OUT"}'))
    tally.count(Request(CANCEL, b"", 900, 3, HOLD), Response(204, b""))
    assert ({900: 3}, {900: 3}) == (tally.taken, tally.given_back)
    assert {"201": 1, "409 SOLD_OUT": 1, "cancel 204": 1} == tally.outcomes


def test_activations_are_checked() -> None:
    """An order given twice, or without the images asked for, is no success."""
    tally = Tally(main=ACTIVATE)
    request = Request(ACTIVATE, b"", 900, 2, HOLD, images=2)
    for order, images in (("ORD-1", 2), ("ORD-1", 2), ("ORD-2", 1)):
        tally.count(request, activated(order, images=images))
    expected = {
        "201": 1,
        "201 with an order_id given before": 1,
        "201 without the images asked for": 1,
    }
    assert expected == tally.outcomes
    assert 1 == tally.activated


def test_figures_of_a_tally() -> None:
    """The main kind's latency stands alone, each kind has its own; without one it is all."""
    tally = Tally(main=ACTIVATE)
    tally.samples[ACTIVATE] = [0.002]
    tally.samples[RESERVE] = [0.001, 0.001]
    figures = tally.figures()
    assert (1, 2.0) == (figures["answers_in_window"], figures["latency"]["p50_ms"])
    assert 2 == figures["kinds"][RESERVE]["answers"]
    assert 3 == Tally(main="", samples=tally.samples).figures()["answers_in_window"]
