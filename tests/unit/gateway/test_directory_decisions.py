"""What may be done to partners and keys: events, refusals in their order, repeats, storage."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest

from services.gateway.domain.directory import (
    PERMISSIONS,
    DirectoryState,
    Event,
    KeyExpirySet,
    KeyIssued,
    KeyRevoked,
    Partner,
    PartnerChanged,
    PartnerRegistered,
    PartnerResumed,
    PartnerSuspended,
    evolve,
)
from services.gateway.domain.directory_decisions import (
    ChangePartner,
    Command,
    IssueKey,
    Reason,
    Refused,
    RegisterPartner,
    ResumePartner,
    RevokeKey,
    RotateKey,
    SetKeyExpiry,
    SuspendPartner,
    decide,
    decide_all,
)
from services.gateway.store.directory import EVENTS

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

REGISTER = RegisterPartner(
    partner_id="harbour",
    name="Harbour Travel",
    channel="ota",
    permissions=("orders:read", "inventory:read"),
    calls_per_minute=60,
)
ISSUE = IssueKey(partner_id="harbour", key_id="one", key_hash="11" * 32, expires_at=None)
ISSUE_TWO = replace(ISSUE, key_id="two", key_hash="22" * 32)
ROTATE = RotateKey(
    partner_id="harbour", key_id="two", key_hash="22" * 32, expires_at=None, overlap=HOUR
)
CHANGE = ChangePartner(partner_id="harbour")
ALL_AT_ONCE = [
    REGISTER,
    replace(CHANGE, name="Harbour"),
    SuspendPartner(partner_id="harbour"),
    ResumePartner(partner_id="harbour"),
    ISSUE,
    ROTATE,
    SetKeyExpiry(key_id="two", expires_at=NOW + 9 * HOUR),
    RevokeKey(key_id="one"),
]


def after(*commands: Command, now: datetime = NOW) -> DirectoryState:
    """Return the directory after commands that are not refused."""
    state = DirectoryState()
    assert not isinstance(decide_all(state, commands, now=now), Refused)
    return state


def events(state: DirectoryState, command: Command, *, now: datetime = NOW) -> tuple[Event, ...]:
    """Return the events of a command that is not refused."""
    decided = decide(state, command, now=now)
    assert not isinstance(decided, Refused), decided
    return decided


def reason(state: DirectoryState, command: Command, *, now: datetime = NOW) -> str:
    """Return why a command is refused."""
    refused = decide(state, command, now=now)
    assert isinstance(refused, Refused)
    assert refused.detail.endswith(".")
    return refused.reason


def test_every_change_is_an_event() -> None:
    """Each command has its event; their folding is the state."""
    state = DirectoryState()
    happened = decide_all(state, ALL_AT_ONCE, now=NOW)
    assert not isinstance(happened, Refused)
    assert [
        PartnerRegistered,
        PartnerChanged,
        PartnerSuspended,
        PartnerResumed,
        KeyIssued,
        KeyIssued,
        KeyExpirySet,
        KeyExpirySet,
        KeyRevoked,
    ] == [type(event) for event in happened]
    folded = DirectoryState()
    for event in happened:
        evolve(folded, event, at=NOW)
    assert (state.partners, state.keys) == (folded.partners, folded.keys)
    expected = Partner(
        partner_id="harbour",
        name="Harbour",
        channel="ota",
        permissions=("inventory:read", "orders:read"),
        calls_per_minute=60,
        created_at=NOW,
    )
    assert {"harbour": expected} == state.partners
    assert ["two"] == [key.key_id for key in state.active_keys("harbour", NOW)]


@pytest.mark.parametrize(
    ("before", "repeat"),
    [
        ([REGISTER], replace(CHANGE, name="Harbour Travel", calls_per_minute=60)),
        ([REGISTER], replace(CHANGE, permissions=("inventory:read", "orders:read"))),
        ([REGISTER, SuspendPartner(partner_id="harbour")], SuspendPartner(partner_id="harbour")),
        ([REGISTER], ResumePartner(partner_id="harbour")),
        ([REGISTER, ISSUE, RevokeKey(key_id="one")], RevokeKey(key_id="one")),
        ([REGISTER, ISSUE], SetKeyExpiry(key_id="one", expires_at=None)),
    ],
)
def test_a_repeat_changes_nothing(before: list[Command], repeat: Command) -> None:
    """What is so already makes no event, whoever says it again."""
    assert () == events(after(*before), repeat)


BAD = "Bad Id"


def test_a_registration_is_refused_in_the_documented_order() -> None:
    """Each row mends a fault of the row before and meets the next refusal."""
    rows: list[tuple[dict[str, object], str]] = [
        ({}, "partner_id_has_wrong_form"),
        ({"partner_id": "harbour"}, "name_has_wrong_form"),
        ({"name": "H"}, "channel_has_wrong_form"),
        ({"channel": "ota"}, "permission_unknown"),
        ({"permissions": ()}, "limit_out_of_range"),
        ({"calls_per_minute": 1}, "partner_exists"),
    ]
    command = RegisterPartner(
        partner_id=BAD, name="", channel="O", permissions=("admin:*",), calls_per_minute=0
    )
    for mended, expected in rows:
        command = replace(command, **mended)
        assert expected == reason(after(REGISTER), command)
    assert 1 == len(events(DirectoryState(), command))


def test_a_change_is_refused_in_the_documented_order() -> None:
    """Another channel before bad values; the partner's own channel may be named."""
    command = ChangePartner(
        partner_id=BAD, name=" ", channel="direct", permissions=("x",), calls_per_minute=10**8
    )
    rows: list[tuple[dict[str, object], str]] = [
        ({}, "partner_unknown"),
        ({"partner_id": "harbour"}, "channel_is_fixed"),
        ({"channel": "ota"}, "name_has_wrong_form"),
        ({"name": None}, "permission_unknown"),
        ({"permissions": PERMISSIONS}, "limit_out_of_range"),
    ]
    for mended, expected in rows:
        command = replace(command, **mended)
        assert expected == reason(after(REGISTER), command)
    (changed,) = events(after(REGISTER), replace(command, calls_per_minute=None))
    expected_change = PartnerChanged(
        partner_id="harbour", name="Harbour Travel", permissions=PERMISSIONS, calls_per_minute=60
    )
    assert expected_change == changed


def test_a_rotation_is_refused_in_the_documented_order() -> None:
    """Overlap, no key, expiry, a key that is there, two keys."""
    command = replace(
        ROTATE, partner_id=BAD, overlap=-HOUR, expires_at=NOW, key_id="one", key_hash="33" * 32
    )
    one, two = after(REGISTER, ISSUE), after(REGISTER, ISSUE, ISSUE_TWO)
    assert "partner_unknown" == reason(two, command)
    command = replace(command, partner_id="harbour")
    assert "overlap_out_of_range" == reason(two, command)
    assert "overlap_out_of_range" == reason(two, replace(command, overlap=timedelta(days=91)))
    command = replace(command, overlap=HOUR)
    assert "no_active_key" == reason(after(REGISTER), command)
    assert "expiry_is_past" == reason(two, command)
    command = replace(command, expires_at=None)
    assert "key_is_taken" == reason(two, command)
    assert "key_is_taken" == reason(two, replace(command, key_id="x", key_hash="22" * 32))
    assert "too_many_active_keys" == reason(two, replace(command, key_id="three"))
    assert 2 == len(events(one, replace(command, key_id="three")))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (SetKeyExpiry(key_id="none", expires_at=None), "key_unknown"),
        (RevokeKey(key_id="none"), "key_unknown"),
        (SetKeyExpiry(key_id="one", expires_at=NOW), "expiry_is_past"),
        (SetKeyExpiry(key_id="two", expires_at=None), "key_has_ended"),
        (SuspendPartner(partner_id="none"), "partner_unknown"),
        (ResumePartner(partner_id="none"), "partner_unknown"),
        (replace(ISSUE, partner_id="none"), "partner_unknown"),
        (replace(ISSUE, expires_at=NOW), "expiry_is_past"),
        (ISSUE, "key_is_taken"),
    ],
)
def test_what_cannot_be_is_refused(command: Command, expected: str) -> None:
    """Ids that there are not, and ends that are past; a key that has ended stays ended."""
    state = after(REGISTER, ISSUE, ISSUE_TWO, RevokeKey(key_id="two"))
    assert expected == reason(state, command)


def test_every_reason_is_met() -> None:
    """The tests above leave none out."""
    text = Path(__file__).read_text(encoding="utf-8")
    assert [] == [each for each in get_args(Reason) if f'"{each}"' not in text]


def test_at_most_two_keys_are_active() -> None:
    """Ended and revoked ones do not count, a second that ends later does."""
    state = after(REGISTER, ISSUE, replace(ISSUE_TWO, expires_at=NOW + HOUR))
    third = replace(ISSUE, key_id="three", key_hash="33" * 32)
    assert "too_many_active_keys" == reason(state, third)
    assert 1 == len(events(state, third, now=NOW + HOUR))
    evolve(state, KeyRevoked(partner_id="harbour", key_id="one"), at=NOW)
    assert 1 == len(events(state, third))


def test_a_rotation_never_prolongs_the_old_key() -> None:
    """It ends after the overlap, or when it would have ended anyway if that is earlier."""
    soon = NOW + HOUR / 2
    state = after(REGISTER, replace(ISSUE, expires_at=soon))
    assert [KeyIssued] == [type(event) for event in events(state, ROTATE)]
    ended = events(after(REGISTER, ISSUE), replace(ROTATE, overlap=timedelta(0)))
    assert KeyExpirySet(partner_id="harbour", key_id="one", expires_at=NOW) == ended[-1]
    state = after(REGISTER, ISSUE, replace(ROTATE, overlap=timedelta(0)))
    assert ["two"] == [key.key_id for key in state.active_keys("harbour", NOW)]


def test_all_or_nothing() -> None:
    """One refused command refuses all."""
    refused = decide_all(DirectoryState(), [REGISTER, ISSUE, ISSUE], now=NOW)
    assert isinstance(refused, Refused)


STORED = {
    '{"partner_id":"harbour","name":"港","channel":"ota","permissions":["orders:read"],'
    '"calls_per_minute":60}': PartnerRegistered(
        partner_id="harbour",
        name="港",
        channel="ota",
        permissions=("orders:read",),
        calls_per_minute=60,
    ),
    '{"partner_id":"harbour","name":"H","permissions":[],"calls_per_minute":1}': PartnerChanged(
        partner_id="harbour", name="H", permissions=(), calls_per_minute=1
    ),
    '{"partner_id":"harbour"}': PartnerSuspended(partner_id="harbour"),
    '{"partner_id":"harbour" }': PartnerResumed(partner_id="harbour"),
    '{"partner_id":"harbour","key_id":"one","key_hash":"11","expires_at":null}': KeyIssued(
        partner_id="harbour", key_id="one", key_hash="11", expires_at=None
    ),
    '{"partner_id":"harbour","key_id":"one","expires_at":"2026-01-05T12:00:00Z"}': KeyExpirySet(
        partner_id="harbour", key_id="one", expires_at=NOW
    ),
    '{"partner_id":"harbour","key_id":"one"}': KeyRevoked(partner_id="harbour", key_id="one"),
}
NAMES = [
    "ota.gateway.partner_registered",
    "ota.gateway.partner_changed",
    "ota.gateway.partner_suspended",
    "ota.gateway.partner_resumed",
    "ota.gateway.key_issued",
    "ota.gateway.key_expiry_set",
    "ota.gateway.key_revoked",
]


@pytest.mark.parametrize(
    ("name", "body", "event"),
    [(name, *stored) for name, stored in zip(NAMES, STORED.items(), strict=True)],
)
def test_the_storage_format_is_for_good(name: str, body: str, event: Event) -> None:
    """Names, fields and versions as they are in databases; a change needs a new version."""
    assert (name, 1) == (EVENTS.message_of(event).name, EVENTS.message_of(event).version)
    assert body.replace(" ", "") == EVENTS.write(event).decode()
    assert event == EVENTS.read(name=name, version=1, body=body)


def test_no_event_is_missing_from_the_storage_format() -> None:
    """Every class of event can be stored."""
    assert set(get_args(Event)) == {message.shape for message in EVENTS}
    assert set(NAMES) == {message.name for message in EVENTS}
