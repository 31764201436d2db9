"""The form of an API key: ``otak_``, 8 characters of key id, ``_``, the secret, a checksum.

The prefix lets scanners find a key that was published by mistake, the id says which one it
is, and the checksum tells a typing error from a wrong key without asking anybody. Keys of
the development seed have a form of their own.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

PREFIX = "otak_"
_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_BYTES = 5
_ID_LENGTH = 8
_SECRET_BYTES = 22  # 176 bits
_SECRET_LENGTH = 30
_CHECKSUM_LENGTH = 6
_BODY_LENGTH = len(PREFIX) + _ID_LENGTH + 1 + _SECRET_LENGTH

_FORM = re.compile(
    rf"{PREFIX}[{_ID_ALPHABET}]{{{_ID_LENGTH}}}_"
    rf"[0-9A-Za-z]{{{_SECRET_LENGTH}}}[0-9A-Za-z]{{{_CHECKSUM_LENGTH}}}\Z"
)
_BEGINNING = re.compile(rf"{PREFIX}(?P<id>[{_ID_ALPHABET}]{{{_ID_LENGTH}}})(?:_|\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKey:
    """A key that was just made; *text* is the secret, shown once and stored nowhere."""

    key_id: str
    text: str = field(repr=False)


def make_api_key(*, random: Callable[[int], bytes]) -> NewApiKey:
    """Return a new key; *random* gives as many random bytes as it is asked for."""
    key_id = _written(int.from_bytes(random(_ID_BYTES), "big"), _ID_ALPHABET, _ID_LENGTH)
    secret = _written(int.from_bytes(random(_SECRET_BYTES), "big"), _ALPHABET, _SECRET_LENGTH)
    body = f"{PREFIX}{key_id}_{secret}"
    return NewApiKey(key_id=key_id, text=body + _checksum(body))


def is_mistyped(api_key: str) -> bool:
    """Say whether a key is none that we ever made: our prefix, but another form or checksum.

    Depends on nothing but the key itself, so it tells nothing of the keys that there are.
    """
    if not api_key.startswith(PREFIX):
        return False
    return not _FORM.match(api_key) or _checksum(api_key[:_BODY_LENGTH]) != api_key[_BODY_LENGTH:]


def key_id_of(text: str) -> str:
    """Return the key id in what somebody has found, a whole key or its beginning; else *text*."""
    found = _BEGINNING.match(text)
    return found["id"] if found else text


def _checksum(body: str) -> str:
    """CRC-32 in base 62, as in the tokens of GitHub."""
    return _written(zlib.crc32(body.encode("ascii")), _ALPHABET, _CHECKSUM_LENGTH)


def _written(number: int, alphabet: str, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(reversed(digits))
