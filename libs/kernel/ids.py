"""Identifiers: derived ids (same input, same id) and scrambled counters.

Nothing here reads a clock or a random source: a retry of the same request
derives the same ids and collides with the first one (design, rule 3).
"""

from __future__ import annotations

import hashlib
import hmac
import re

PARTITIONS_MAX = 64
"""Room for partition numbers inside a scrambled number; never lower it."""

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CONFIRMATION_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Without the look-alikes 0/O and 1/I/L (contract, section 5)."""

NUMBERS_OF_A_GENERATION = 100_000_000
"""Numbers of a partition that each restore skips: more than it can give after a backup."""

_RESERVATION = re.compile(rf"res_[0-7][{CROCKFORD}]{{25}}\Z")
_ORDER = re.compile(r"ORD-[0-9]{13}\Z")
_PAIRS = tuple(high + low for high in CROCKFORD for low in CROCKFORD)
_POOL_BITS = 16
_HASH_BITS = 112


def command_id(*, partner_id: str, method: str, path: str, idempotency_key: str) -> str:
    """Derive the id of a partner's command (design, rule 3).

    The scope is partner, method and concrete path (contract, section 1), so one
    key may be used once on each path. Returns a UUID in its usual text form.
    """
    parts = (partner_id, method, path, idempotency_key)
    return derived_uuid("command", *parts)


def derived_uuid(purpose: str, *parts: str) -> str:
    """Return a UUID (version 8, RFC 9562) that depends on nothing but the arguments."""
    framed = b"".join([len(raw).to_bytes(4, "big") + raw for raw in map(str.encode, parts)])
    value = bytearray(
        hashlib.blake2b(framed, digest_size=16, person=purpose.encode()[:16]).digest()
    )
    value[6] = (value[6] & 0x0F) | 0x80
    value[8] = (value[8] & 0x3F) | 0x80
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def reservation_id(*, command_id: str, pool_no: int) -> str:
    """Derive a reservation id that carries its pool's number.

    Any service can route by it without a look-up. Raises ValueError for a pool
    number outside 1..65535.
    """
    if not 1 <= pool_no < 1 << _POOL_BITS:
        raise ValueError(f"pool number {pool_no} is outside 1..65535")
    digest = hashlib.blake2b(
        f"{command_id}/{pool_no}".encode(), digest_size=_HASH_BITS // 8, person=b"reservation"
    ).digest()
    value = pool_no << _HASH_BITS | int.from_bytes(digest, "big")
    # 26 characters hold 130 bits: the number stands at their right end, as in a ULID.
    return "res_" + "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])


def pool_no_of(reservation_id: str) -> int | None:
    """Return the pool number inside a reservation id, None if it is not of the right form."""
    if not _RESERVATION.match(reservation_id):
        return None
    value = 0
    for character in reservation_id[4:8]:
        value = value << 5 | CROCKFORD.index(character)
    return (value >> 2) or None


def is_order_id(text: str) -> bool:
    """Say whether *text* has the form of an order id (contract, section 5)."""
    return _ORDER.match(text) is not None


class Scrambler:
    """A keyed bijection over ``0 <= n < size`` that hides how many numbers were given.

    A balanced Feistel network of eight rounds with HMAC-SHA-256 as its round
    function, walked until the value falls into the range (cycle walking). Equal
    keys and purposes give equal numbers, different purposes unrelated ones.
    """

    ROUNDS = 8

    def __init__(self, *, key: bytes, purpose: str, size: int) -> None:
        own = hmac.digest(key, purpose.encode(), "sha256")
        # With key and round taken in already: a copy goes on from there.
        self._begun = [hmac.new(own, bytes([index]), "sha256") for index in range(self.ROUNDS)]
        self._size = size
        self._half = ((size - 1).bit_length() + 1) // 2
        self._mask = (1 << self._half) - 1

    def _round(self, index: int, value: int) -> int:
        code = self._begun[index].copy()
        code.update(value.to_bytes(8, "big"))
        return int.from_bytes(code.digest()[:8], "big") & self._mask

    def scramble(self, n: int) -> int:
        """Return the number that stands for *n*; raises ValueError outside the range."""
        if not 0 <= n < self._size:
            raise ValueError(f"{n} is outside 0..{self._size - 1}")
        while True:
            left, right = n >> self._half, n & self._mask
            for index in range(self.ROUNDS):
                left, right = right, left ^ self._round(index, right)
            n = left << self._half | right
            if n < self._size:
                return n

    def unscramble(self, n: int) -> int:
        """Invert `scramble`; raises ValueError outside the range."""
        if not 0 <= n < self._size:
            raise ValueError(f"{n} is outside 0..{self._size - 1}")
        while True:
            left, right = n >> self._half, n & self._mask
            for index in reversed(range(self.ROUNDS)):
                left, right = right ^ self._round(index, left), left
            n = left << self._half | right
            if n < self._size:
                return n


class Numbers:
    """The numbers that people see, made from counters of a partition (contract, section 5).

    A log that went back to an earlier moment counts what it counted before once more. So each
    *generation* counts in a range of its own, and no number is given twice.
    """

    def __init__(self, key: bytes, *, generation: int = 1) -> None:
        self._key = key
        self._first = (generation - 1) * NUMBERS_OF_A_GENERATION
        self._orders = Scrambler(key=key, purpose="order", size=10**13)
        self._tickets = Scrambler(key=key, purpose="ticket", size=10**13)
        self._confirmations = Scrambler(
            key=key, purpose="confirmation", size=len(CONFIRMATION_ALPHABET) ** 8
        )

    def of_generation(self, generation: int) -> Numbers:
        """Return the same numbers as a generation of the log counts them."""
        return Numbers(self._key, generation=generation)

    def order_id(self, *, partition: int, counter: int) -> str:
        """Return the order id of the partition's *counter*-th order."""
        return f"ORD-{self._orders.scramble(_index(partition, self._first + counter)):013d}"

    def ticket_code(self, *, prefix: str, partition: int, counter: int) -> str:
        """Return the ticket code of the partition's *counter*-th ticket."""
        return f"{prefix}-{self._tickets.scramble(_index(partition, self._first + counter)):013d}"

    def confirmation_code(self, *, partition: int, counter: int) -> str:
        """Return the confirmation code of the partition's *counter*-th order."""
        value = self._confirmations.scramble(_index(partition, self._first + counter))
        characters = []
        for _ in range(8):
            value, digit = divmod(value, len(CONFIRMATION_ALPHABET))
            characters.append(CONFIRMATION_ALPHABET[digit])
        return "CONF-" + "".join(characters)


def _index(partition: int, counter: int) -> int:
    if not 0 <= partition < PARTITIONS_MAX:
        raise ValueError(f"partition {partition} is outside 0..{PARTITIONS_MAX - 1}")
    return counter * PARTITIONS_MAX + partition
