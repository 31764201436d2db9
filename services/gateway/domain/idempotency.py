"""Idempotency keys as clients write them (contract, section 1)."""

from __future__ import annotations

LENGTH_MAX = 255


def parse_key(text: str) -> str | None:
    """Return the key in a header's value, quoted or bare; None if it is no key.

    Quoted keys are structured-field strings (RFC 9651, 3.3.3): a backslash stands before
    a quote or a backslash. Both forms of one key are the same key.
    """
    key = _unquoted(text) if text.startswith('"') else text
    if key is None or not 1 <= len(key) <= LENGTH_MAX:
        return None
    return key if key.isascii() and key.isprintable() and " " not in key else None


def _unquoted(text: str) -> str | None:
    if len(text) < 2 or not text.endswith('"'):
        return None
    characters: list[str] = []
    inner = iter(text[1:-1])
    for character in inner:
        if character == '"':
            return None
        if character == "\\":
            character = next(inner, "")
            if character not in ('"', "\\"):
                return None
        characters.append(character)
    return "".join(characters)
