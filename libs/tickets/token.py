"""Ticket tokens: a fixed binary body and an Ed25519 signature, as text for a QR code.

The format is described byte by byte, with test vectors, in ``docs/ticket-token.md``. A
token holds no personal data and is verified offline with nothing but public keys.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from libs.kernel.pricing import CustomerType, DayClass

VERSION = 1
TOKEN_LENGTH = 141
SEED_BYTES = 32
KEY_ID_BYTES = 6
PREFIX_MARK_BYTES = 4

_BODY = struct.Struct(f">B{KEY_ID_BYTES}s6s{PREFIX_MARK_BYTES}sIHB")
_SIGNATURE_BYTES = 64
_TICKET_CODE = re.compile(r"(?P<prefix>.+)-(?P<number>[0-9]{13})")
_TICKET_NUMBER_END = 10**13
_PRODUCT_ID_END = 1 << 32
_DAY_ZERO = date(2019, 12, 31)
_DAY_NUMBER_MAX = 0xFFFF

_DAY_CLASS_CODES: dict[DayClass, int] = {"weekday": 1, "weekend": 2, "special": 3}
_CUSTOMER_TYPE_CODES: dict[CustomerType, int] = {"adult": 1, "child": 2, "elderly": 3}
_DAY_CLASSES = {code: name for name, code in _DAY_CLASS_CODES.items()}
_CUSTOMER_TYPES = {code: name for name, code in _CUSTOMER_TYPE_CODES.items()}

RefusalReason = Literal["malformed", "unsupported_version", "unknown_key", "bad_signature"]


def prefix_mark(prefix: str) -> bytes:
    """Return the 4 bytes that stand for a catalogue's ticket prefix (its SHA-256, cut)."""
    return hashlib.sha256(prefix.encode()).digest()[:PREFIX_MARK_BYTES]


def key_id_of(public_key: bytes) -> str:
    """Return the name of a raw public key: 12 hexadecimal characters of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[: 2 * KEY_ID_BYTES]


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketClaims:
    """What a token says about its ticket.

    The ticket code is its product's prefix, a dash and *ticket_number* in 13 digits;
    *prefix_mark* tells whether a prefix is the right one. Without *visit_date* the ticket
    is open-dated, and *day_class* says for which kind of day it was paid.
    """

    ticket_number: int
    prefix_mark: bytes
    product_id: int
    visit_date: date | None
    day_class: DayClass
    customer_type: CustomerType

    @classmethod
    def for_ticket(
        cls,
        *,
        ticket_code: str,
        product_id: int,
        visit_date: date | None,
        day_class: DayClass,
        customer_type: CustomerType,
    ) -> TicketClaims:
        """Return the claims of a ticket; raises ValueError for a code of another form."""
        match = _TICKET_CODE.fullmatch(ticket_code)
        if match is None:
            raise ValueError("a ticket code is a prefix, a dash and 13 digits")
        return cls(
            ticket_number=int(match["number"]),
            prefix_mark=prefix_mark(match["prefix"]),
            product_id=product_id,
            visit_date=visit_date,
            day_class=day_class,
            customer_type=customer_type,
        )

    def ticket_code(self, *, prefix: str) -> str | None:
        """Return the ticket code, None if *prefix* is not the one the ticket was issued with.

        The prefix is that of the product in the catalogue.
        """
        if prefix_mark(prefix) != self.prefix_mark:
            return None
        return f"{prefix}-{self.ticket_number:013d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRefusal:
    """Why a token is worth nothing; *key_id* is the key it names, where it could be read."""

    reason: RefusalReason
    key_id: str | None = None


class TokenSigner:
    """Signs tokens with one Ed25519 key, made from a secret seed of 32 bytes.

    Deterministic: equal claims give equal tokens. Raises ValueError for another length.
    """

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"the seed must have {SEED_BYTES} bytes")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._key.public_key().public_bytes_raw()
        self.key_id = key_id_of(self.public_key)
        self._key_id_raw = bytes.fromhex(self.key_id)

    def sign(self, claims: TicketClaims) -> str:
        """Return the token of *claims*, 141 characters of upper-case base 32.

        Raises ValueError for numbers or dates that the format has no room for (dates from
        2020 to mid-2199).
        """
        if not 0 <= claims.ticket_number < _TICKET_NUMBER_END:
            raise ValueError("a ticket number has 13 digits")
        if not 0 < claims.product_id < _PRODUCT_ID_END:
            raise ValueError("a product id is positive and fits 32 bits")
        if len(claims.prefix_mark) != PREFIX_MARK_BYTES:
            raise ValueError(f"a prefix mark has {PREFIX_MARK_BYTES} bytes")
        body = _BODY.pack(
            VERSION,
            self._key_id_raw,
            claims.ticket_number.to_bytes(6, "big"),
            claims.prefix_mark,
            claims.product_id,
            _day_number(claims.visit_date),
            _DAY_CLASS_CODES[claims.day_class] << 4 | _CUSTOMER_TYPE_CODES[claims.customer_type],
        )
        return base64.b32encode(body + self._key.sign(body)).decode().rstrip("=")


def verify(token: str, keys: Mapping[str, bytes]) -> TicketClaims | TokenRefusal:
    """Return what a genuine token says, or why it is refused.

    *keys* maps key ids to raw public keys. A genuine token may still be used up or
    cancelled: that is known only online.
    """
    raw = _decode(token)
    if raw is None:
        return TokenRefusal(reason="malformed")
    if raw[0] != VERSION:
        return TokenRefusal(reason="unsupported_version")
    if len(raw) != _BODY.size + _SIGNATURE_BYTES:
        return TokenRefusal(reason="malformed")
    body, signature = raw[: _BODY.size], raw[_BODY.size :]
    _, key_id_raw, number, mark, product_id, day_number, classes = _BODY.unpack(body)
    key_id = key_id_raw.hex()
    public_key = keys.get(key_id)
    if public_key is None:
        return TokenRefusal(reason="unknown_key", key_id=key_id)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, body)
    except InvalidSignature:
        return TokenRefusal(reason="bad_signature", key_id=key_id)
    ticket_number = int.from_bytes(number, "big")
    day_class = _DAY_CLASSES.get(classes >> 4)
    customer_type = _CUSTOMER_TYPES.get(classes & 0x0F)
    if day_class is None or customer_type is None or ticket_number >= _TICKET_NUMBER_END:
        return TokenRefusal(reason="malformed", key_id=key_id)
    return TicketClaims(
        ticket_number=ticket_number,
        prefix_mark=mark,
        product_id=product_id,
        visit_date=_DAY_ZERO + timedelta(days=day_number) if day_number else None,
        day_class=day_class,
        customer_type=customer_type,
    )


def _day_number(day: date | None) -> int:
    if day is None:
        return 0
    number = (day - _DAY_ZERO).days
    if not 0 < number <= _DAY_NUMBER_MAX:
        raise ValueError(f"the format has no room for the date {day}")
    return number


def _decode(token: str) -> bytes | None:
    """Return the token's bytes, None unless it is the one text that stands for them."""
    if not 0 < len(token) <= 2 * TOKEN_LENGTH or "=" in token:
        return None
    try:
        raw = base64.b32decode(token + "=" * (-len(token) % 8))
    except (binascii.Error, ValueError):
        return None
    if not raw or base64.b32encode(raw).decode().rstrip("=") != token:
        return None
    return raw
