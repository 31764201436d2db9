"""Keyed hashes: what must be recognised again and may not be read or guessed.

All are BLAKE2b under one secret, told apart by purpose: a hash made for one purpose
says nothing about the same text in another.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
from collections.abc import Mapping
from typing import Literal

_CANONICAL = json.JSONEncoder(
    sort_keys=True,
    separators=(",", ":"),
    ensure_ascii=False,
    check_circular=False,  # what was parsed has no circles
)

ReferenceKind = Literal["payment", "customer"]


def api_key_hash(*, pepper: bytes, api_key: str) -> bytes:
    """Return what is stored of an API key: HMAC-SHA-256 under the pepper.

    Bytes that are no UTF-8 in a header arrive as surrogates; such a key is simply unknown.
    """
    return hmac.digest(pepper, api_key.encode("utf-8", "surrogatepass"), "sha256")


class KeyedHashes:
    """The hashes of one installation; *key* has 16 to 64 bytes."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if not 16 <= len(key) <= hashlib.blake2b.MAX_KEY_SIZE:
            raise ValueError("the key must have 16 to 64 bytes")
        self._key = key

    def fingerprint(self, body: Mapping[str, object]) -> str:
        """Return the fingerprint of what a client sent; spaces and order of fields don't count."""
        raw = _CANONICAL.encode(body).encode()
        return hashlib.blake2b(
            raw, key=self._key, digest_size=16, person=b"fingerprint"
        ).hexdigest()

    def reference(self, *, kind: ReferenceKind, partner_id: str, text: str) -> str:
        """Return the hash by which a partner's own reference is found again."""
        return self._hash(b"ref." + kind.encode(), partner_id, text)

    def email(self, address: str) -> str:
        """Return the hash by which a person's e-mail address is found, for an erasure."""
        return self._hash(b"email", unicodedata.normalize("NFC", address.strip()).casefold())

    def phone(self, number: str) -> str:
        """Return the hash by which a telephone number is found, for an erasure.

        Only its digits count, of whatever script and without leading zeros; with and
        without country code are two numbers, for nobody can tell (contract, section 1).
        """
        digits = "".join(str(unicodedata.decimal(c)) for c in number if c.isdecimal())
        return self._hash(b"phone", digits.lstrip("0"))

    def seal_of(self, text: bytes) -> bytes:
        """Return 12 bytes that prove that a cursor is one of ours."""
        return hashlib.blake2b(text, key=self._key, digest_size=12, person=b"cursor").digest()

    def position_key(self) -> bytes:
        """Return the 64 bytes under which positions are sealed, the same in every gateway."""
        return hashlib.blake2b(key=self._key, digest_size=64, person=b"position key").digest()

    def receipt_key(self) -> bytes:
        """Return the 64 bytes under which receipts are sealed, the same in every gateway."""
        return hashlib.blake2b(key=self._key, digest_size=64, person=b"receipt key").digest()

    def console_key(self) -> bytes:
        """Return the key under which the console's sessions are signed."""
        return hashlib.blake2b(key=self._key, digest_size=32, person=b"console session").digest()

    def _hash(self, purpose: bytes, *parts: str) -> str:
        digest = hashlib.blake2b(key=self._key, digest_size=24, person=purpose)
        for part in parts:
            raw = part.encode()
            digest.update(len(raw).to_bytes(4, "big") + raw)
        return digest.hexdigest()
