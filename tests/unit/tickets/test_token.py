"""The token: what it holds, that it is exact, and what is refused."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from libs.kernel.pricing import CustomerType, DayClass
from libs.tickets.token import (
    TOKEN_LENGTH,
    TicketClaims,
    TokenRefusal,
    TokenSigner,
    key_id_of,
    verify,
)

SIGNER = TokenSigner(bytes(range(32)))
KEYS = {SIGNER.key_id: SIGNER.public_key}
FORMAT_PAGE = Path(__file__).parents[3] / "docs" / "ticket-token.md"
CLAIMS = TicketClaims.for_ticket(
    ticket_code="CRUISE-2025-FERRY-0123456789012",
    product_id=106,
    visit_date=date(2026, 2, 18),
    day_class="special",
    customer_type="adult",
)


def raw(token: str) -> bytes:
    """Return the bytes of a token."""
    return base64.b32decode(token + "=" * (-len(token) % 8))


def text(content: bytes) -> str:
    """Return bytes in the token's text form."""
    return base64.b32encode(content).decode().rstrip("=")


@pytest.mark.parametrize("day_class", ["weekday", "weekend", "special"])
@pytest.mark.parametrize("customer_type", ["adult", "child", "elderly"])
@pytest.mark.parametrize("visit_date", [None, date(2020, 1, 1), date(2199, 6, 5)])
def test_a_token_gives_back_its_claims(
    day_class: DayClass, customer_type: CustomerType, visit_date: date | None
) -> None:
    """Whatever is signed is read back unchanged."""
    claims = replace(
        CLAIMS, day_class=day_class, customer_type=customer_type, visit_date=visit_date
    )
    assert claims == verify(SIGNER.sign(claims), KEYS)


def test_the_documented_vectors_hold() -> None:
    """The tokens of docs/ticket-token.md are what the signer makes of their fields."""
    page = FORMAT_PAGE.read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (\S+-\d{13}) \| (\d+) \| (\S+) \| (\S+) \| (\S+) \| `([0-9a-f]{48})`", page, re.M
    )
    tokens = re.findall(r"^[A-Z2-7]{141}$", page, re.M)
    assert (3, 3) == (len(rows), len(tokens))
    for (code, product_id, visit_date, day_class, customer_type, body), token in zip(
        rows, tokens, strict=True
    ):
        claims = TicketClaims.for_ticket(
            ticket_code=code,
            product_id=int(product_id),
            visit_date=None if visit_date == "open" else date.fromisoformat(visit_date),
            day_class=day_class,
            customer_type=customer_type,
        )
        assert token == SIGNER.sign(claims)
        assert body == raw(token)[:24].hex()


def test_a_token_fits_its_qr_version() -> None:
    """A token has 141 characters, all of QR's alphanumeric mode."""
    assert re.fullmatch(f"[A-Z2-7]{{{TOKEN_LENGTH}}}", SIGNER.sign(CLAIMS))


def test_the_ticket_code_comes_back_with_its_prefix_only() -> None:
    """The catalogue's prefix gives the code; another prefix is noticed."""
    assert CLAIMS.ticket_code(prefix="CRUISE-2025-FERRY") == "CRUISE-2025-FERRY-0123456789012"
    assert CLAIMS.ticket_code(prefix="PARK-2025") is None


def test_two_codes_never_share_a_token() -> None:
    """Codes that differ in prefix or number have different tokens."""
    codes = ["A-0000000000001", "A-0000000000002", "B-0000000000001", "A-B-0000000000001"]
    tokens = {
        SIGNER.sign(
            TicketClaims.for_ticket(
                ticket_code=code,
                product_id=106,
                visit_date=None,
                day_class="weekday",
                customer_type="adult",
            )
        )
        for code in codes
    }
    assert len(codes) == len(tokens)


@pytest.mark.parametrize("code", ["", "A", "A-123", "0123456789012", "A-01234567890123", "-A"])
def test_a_code_of_another_form_is_refused(code: str) -> None:
    """Only a prefix, a dash and 13 digits make a ticket code."""
    with pytest.raises(ValueError, match="13 digits"):
        TicketClaims.for_ticket(
            ticket_code=code,
            product_id=106,
            visit_date=None,
            day_class="weekday",
            customer_type="adult",
        )


@pytest.mark.parametrize(
    "claims",
    [
        replace(CLAIMS, ticket_number=10**13),
        replace(CLAIMS, ticket_number=-1),
        replace(CLAIMS, product_id=0),
        replace(CLAIMS, product_id=1 << 32),
        replace(CLAIMS, prefix_mark=b"abc"),
        replace(CLAIMS, visit_date=date(2019, 12, 31)),
        replace(CLAIMS, visit_date=date(2199, 6, 5) + timedelta(days=1)),
    ],
)
def test_claims_without_room_are_not_signed(claims: TicketClaims) -> None:
    """What the format cannot hold is an error, never a cut value."""
    with pytest.raises(ValueError, match=r"."):
        SIGNER.sign(claims)


def test_any_changed_bit_is_refused() -> None:
    """No bit of body or signature can be changed."""
    genuine = raw(SIGNER.sign(CLAIMS))
    for bit in range(len(genuine) * 8):
        forged = bytearray(genuine)
        forged[bit // 8] ^= 1 << bit % 8
        assert isinstance(verify(text(bytes(forged)), KEYS), TokenRefusal)


def test_a_body_of_one_ticket_with_the_signature_of_another_is_refused() -> None:
    """A signature belongs to one body."""
    other = SIGNER.sign(replace(CLAIMS, ticket_number=7))
    forged = text(raw(SIGNER.sign(CLAIMS))[:24] + raw(other)[24:])
    assert TokenRefusal(reason="bad_signature", key_id=SIGNER.key_id) == verify(forged, KEYS)


def test_a_token_of_an_unknown_key_names_it() -> None:
    """A gate learns which key it lacks."""
    stranger = TokenSigner(b"\1" * 32)
    expected = TokenRefusal(reason="unknown_key", key_id=stranger.key_id)
    assert expected == verify(stranger.sign(CLAIMS), KEYS)


def test_a_key_under_a_foreign_name_does_not_help() -> None:
    """A forger who names a trusted key still lacks its signature."""
    forger = TokenSigner(b"\2" * 32)
    forged = bytearray(raw(forger.sign(CLAIMS)))
    forged[1:7] = bytes.fromhex(SIGNER.key_id)
    refusal = verify(text(bytes(forged)), KEYS)
    assert TokenRefusal(reason="bad_signature", key_id=SIGNER.key_id) == refusal


def test_a_later_version_is_refused_by_name() -> None:
    """A verifier of version 1 does not guess what version 2 means, whatever its length."""
    assert TokenRefusal(reason="unsupported_version") == verify(text(b"\2" + bytes(99)), KEYS)


def test_a_class_outside_the_table_is_malformed() -> None:
    """Even a well-signed body must keep to the table."""
    key = SIGNER._key
    body = raw(SIGNER.sign(CLAIMS))[:23] + b"\x00"
    token = text(body + key.sign(body))
    assert TokenRefusal(reason="malformed", key_id=SIGNER.key_id) == verify(token, KEYS)


def test_other_spellings_are_malformed() -> None:
    """A token has one spelling, so that a list of used tokens cannot be cheated."""
    token = SIGNER.sign(CLAIMS)
    last_bit_set = token[:-1] + chr(ord(token[-1]) + 1)
    assert raw(token) == raw(last_bit_set)
    spellings = [
        token.lower(),
        token + "=",
        token + "===",
        f" {token}",
        f"{token}\n",
        token[:-1],
        last_bit_set,
        token + "AA",
        "",
        "é",
        "A" * 10_000,
    ]
    for spelling in spellings:
        assert TokenRefusal(reason="malformed") == verify(spelling, KEYS), spelling


def test_keys_are_named_by_their_public_half() -> None:
    """The key id depends on the public key alone."""
    assert key_id_of(SIGNER.public_key) == SIGNER.key_id
    assert re.fullmatch("[0-9a-f]{12}", SIGNER.key_id)


def test_a_seed_of_another_length_is_refused() -> None:
    """A cut secret is noticed at the start."""
    with pytest.raises(ValueError, match="32 bytes"):
        TokenSigner(b"short")
