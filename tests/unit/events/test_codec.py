"""The record of a message: CloudEvents in binary mode, and what is no message of ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import cast

import pytest

from libs.events import codec
from libs.events.codec import Uninteresting, decode, encode
from libs.events.envelope import Position
from libs.events.hashing import evidence_of, parse_evidence
from libs.events.registry import Unreadable
from libs.events.requests import Reply, read_reply
from tests.support import examples

RECORD = encode(examples.envelope_of(examples.UNITS_HELD))
NEEDED = (
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_dataversion",
    "ce_time",
    "ce_correlationid",
    "ce_causationid",
)


def with_header(name: str, value: bytes) -> codec.Headers:
    """Return the record's headers with another value of one."""
    return [(each, value if each == name else old) for each, old in RECORD[0]]


def test_a_record_is_a_cloud_event() -> None:
    """The attributes that CloudEvents 1.0 asks for, in Kafka's binary mode."""
    headers = dict(RECORD[0])
    assert b"1.0" == headers["ce_specversion"]
    assert b"1-0-11" == headers["ce_id"]
    assert b"/ota/inventory" == headers["ce_source"]
    assert b"ota.inventory.units_held" == headers["ce_type"]
    assert b"2" == headers["ce_dataversion"]
    assert b"2026-03-02T04:05:06.789012+00:00" == headers["ce_time"]
    assert b"application/json" == headers["content-type"]
    assert examples.TRACEPARENT.encode() == headers["traceparent"]
    assert len(headers) == len(RECORD[0])


def test_what_is_absent_has_no_header() -> None:
    """And comes back as absent."""
    bare = replace(
        examples.envelope_of(examples.CANCEL),
        actor=None,
        traceparent=None,
        fingerprint=None,
        reply_to=None,
    )
    headers, value = encode(bare)
    assert {*NEEDED, "ce_specversion", "content-type"} == {name for name, _ in headers}
    assert bare == decode(headers, value)


def test_data_that_is_written_already_is_taken_as_it_is() -> None:
    """The loop writes an event once: the same bytes go to the log and to the broker."""
    headers, value = encode(examples.envelope_of(examples.UNITS_HELD), body=b"{}")
    assert b"{}" == value
    assert RECORD[0] == headers


def test_figures_travel_beside_an_answer() -> None:
    """And are read without the answer; without them there are none."""
    headers, _ = encode(examples.envelope_of(examples.HOLD_PLACED), figures=examples.FIGURES)
    assert examples.FIGURES == codec.figures_of(dict(headers))
    assert codec.figures_of(dict(RECORD[0])) is None


def test_evidence_travels_beside_an_answer() -> None:
    """It reaches whoever asked, and names position and hash; an answer without one has none."""
    named = evidence_of(Position(1, 2, 3), b"h" * 32)
    envelope = examples.envelope_of(examples.HOLD_PLACED)
    _, reply = read_reply(*codec.encode(envelope, evidence=named))
    _, without = read_reply(*codec.encode(envelope))
    assert reply is not None
    assert without is not None
    assert (named, None) == (reply.evidence, without.evidence)
    assert (Position(1, 2, 3), b"h" * 32) == parse_evidence(named)


def test_an_answer_is_read_as_its_envelope_has_it() -> None:
    """A gateway reads less of it, and not otherwise."""
    envelope = examples.envelope_of(examples.HOLD_PLACED)
    for sent in (envelope, replace(envelope, replayed=True, fingerprint=None)):
        whose, reply = read_reply(*codec.encode(sent, figures=examples.FIGURES))
        assert (sent.correlation_id, sent.fingerprint or "") == whose
        assert reply == Reply(
            answer=sent.data,
            replayed=sent.replayed,
            source=sent.source,
            position=cast("Position", sent.position),
            figures=examples.FIGURES,
        )
    homeless = replace(envelope, position=None)
    assert read_reply(*codec.encode(homeless))[1] is None


@pytest.mark.parametrize("text", ["", "1-2-3", "1-2.aGFzaA==", "a-b-c.aGFzaA==", "1-2-3.a"])
def test_what_names_no_event_is_no_evidence(text: str) -> None:
    """Neither a position alone nor half of one."""
    with pytest.raises(ValueError, match=r"hash|base 10|unpack"):
        parse_evidence(text)


def test_data_that_nobody_asked_for_is_not_read() -> None:
    """Its position still counts, even if the data is beyond us."""
    envelope = decode(RECORD[0], b"never looked at", interests={"ota.inventory.units_sold"})
    assert Uninteresting("ota.inventory.units_held") == envelope.data
    assert examples.POSITION == envelope.position
    asked = decode(*RECORD, interests={"ota.inventory.units_held"})
    assert examples.UNITS_HELD == asked.data


def test_unknown_headers_are_ignored() -> None:
    """Brokers and newer releases may add some."""
    headers = [*RECORD[0], ("x-dlq-reason", b"\x00"), ("ce_subject", b"42")]
    assert decode(*RECORD) == decode(headers, RECORD[1])


@pytest.mark.parametrize("missing", NEEDED)
def test_a_record_without_a_needed_header_is_unreadable(missing: str) -> None:
    """None has a default."""
    headers = [(name, value) for name, value in RECORD[0] if name != missing]
    with pytest.raises(Unreadable):
        decode(headers, RECORD[1])


@pytest.mark.parametrize(
    "name, value",
    [
        ("ce_type", b"ota.inventory.units_stolen"),
        ("ce_type", b"\xff\xfe"),
        ("ce_dataversion", b"3"),
        ("ce_dataversion", b"0"),
        ("ce_dataversion", b"one"),
        ("ce_dataversion", b"9" * 5000),
        ("ce_time", b"yesterday"),
        ("ce_time", b""),
        ("ce_time", b"2026-03-02T04:05:06"),
        ("ce_replyto", b"gateway-2"),
        ("ce_position", b"11"),
        ("ce_position", b"1-0-11-3"),
        ("ce_position", b"1-0-x"),
        ("ce_id", None),
    ],
)
def test_a_header_of_another_form_is_unreadable(name: str, value: bytes) -> None:
    """Times without a zone included: they could not be compared with a clock."""
    with pytest.raises(Unreadable):
        decode(with_header(name, value), RECORD[1])


@pytest.mark.parametrize("missing", ["ce_keyid", "ce_requestid"])
def test_half_an_actor_is_unreadable(missing: str) -> None:
    """Who acted is known completely or not at all."""
    headers = [(name, value) for name, value in RECORD[0] if name != missing]
    with pytest.raises(Unreadable):
        decode(headers, RECORD[1])


@pytest.mark.parametrize("value", [None, b"", b"{}", b"null", b"[1]", b"\xff", b'{"pool_no":1}'])
def test_a_body_of_another_shape_is_unreadable(value: bytes | None) -> None:
    """A tombstone is no message either."""
    with pytest.raises(Unreadable):
        decode(RECORD[0], value)


def test_times_keep_their_instant() -> None:
    """Whatever zone they were written in."""
    local = datetime(2026, 3, 2, 12, 5, 6, tzinfo=timezone(timedelta(hours=8)))
    headers, value = encode(replace(examples.envelope_of(examples.CANCEL), time=local))
    assert datetime(2026, 3, 2, 4, 5, 6, tzinfo=UTC) == decode(headers, value).time


def test_a_position_is_written_as_its_events_id() -> None:
    """And read back."""
    position = Position(2, 3, 12_345)
    assert "2-3-12345" == position.event_id()
    assert position == codec.parse_position("2-3-12345")
    with pytest.raises(ValueError, match="not enough values"):
        codec.parse_position("2-3")


def test_a_records_id_is_found_without_reading_it() -> None:
    """Even of a record that can't be read; empty if it has none."""
    assert "1-0-11" == codec.record_id(RECORD[0])
    assert "" == codec.record_id([("ce_type", b"x")])
    assert "\ufffd" == codec.record_id([("ce_id", b"\xff")])
