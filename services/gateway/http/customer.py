"""Customer details: names in any script, numbers as people write them, addresses by syntax."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

from email_validator import EmailNotValidError, validate_email
from pydantic import JsonValue

from services.gateway.domain.refusal import Fault

CUSTOMER_FIELDS = ("name", "email", "phone")
NAME_LENGTH_MAX = 200
EMAIL_LENGTH_MAX = 254
PHONE_LENGTH_MAX = 40
PHONE_DIGITS_MIN = 5

CUSTOMER_EXAMPLE: dict[str, JsonValue] = {
    "name": "陳大文",
    "email": "tai.man.chan@example.com",
    "phone": "+852 9123 4567",
}
_CONTROLS = r"\u0000-\u001f\u007f-\u009f"
_VISIBLE = rf"[^{_CONTROLS}]"
CUSTOMER_SCHEMA: dict[str, object] = {
    "type": "object",
    "required": list(CUSTOMER_FIELDS),
    "example": CUSTOMER_EXAMPLE,
    "properties": {
        "name": {
            "type": "string",
            "description": "In any script.",
            "minLength": 1,
            "maxLength": NAME_LENGTH_MAX,
            "pattern": rf"^{_VISIBLE}*[^\s{_CONTROLS}]{_VISIBLE}*$",
        },
        "email": {
            "type": "string",
            "format": "email",
            "description": f"Checked by syntax only; at most {EMAIL_LENGTH_MAX} characters.",
        },
        "phone": {
            "type": "string",
            "description": f"As people write it, with at least {PHONE_DIGITS_MIN} digits.",
            "maxLength": PHONE_LENGTH_MAX,
            "pattern": rf"^{_VISIBLE}*([0-9]{_VISIBLE}*){{{PHONE_DIGITS_MIN}}}$",
        },
    },
}
"""The same rules for readers of the document."""


def customer_faults(details: Mapping[str, object]) -> tuple[Fault, ...]:
    """Return what is wrong with each field, nothing if all is well."""
    return tuple(_faults(details))


def _faults(details: Mapping[str, object]) -> Iterator[Fault]:
    for name in CUSTOMER_FIELDS:
        value = details.get(name)
        if value is None:
            rule: str | None = "is missing"
        elif not isinstance(value, str):
            rule = "must be text"
        else:
            rule = _CHECKS[name](value)
        if rule is not None:
            yield Fault(f"#/customer_details/{name}", rule)


def _name_rule(name: str) -> str | None:
    if len(name) > NAME_LENGTH_MAX or not name.strip():
        return f"must have 1 to {NAME_LENGTH_MAX} characters"
    return "must have no control characters" if _has_controls(name) else None


def _email_rule(address: str) -> str | None:
    if len(address) > EMAIL_LENGTH_MAX:  # the library says the same, after long work
        return f"must have at most {EMAIL_LENGTH_MAX} characters"
    try:
        # Reserved names for tests are addresses by syntax; nothing is looked up.
        validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return "must be an e-mail address"
    return None


def _phone_rule(number: str) -> str | None:
    if len(number) > PHONE_LENGTH_MAX:
        return f"must have at most {PHONE_LENGTH_MAX} characters"
    if sum(map(str.isdecimal, number)) < PHONE_DIGITS_MIN or _has_controls(number):
        return f"must be a telephone number with at least {PHONE_DIGITS_MIN} digits"
    return None


def _has_controls(text: str) -> bool:
    return any(unicodedata.category(character) == "Cc" for character in text)


_CHECKS = {"name": _name_rule, "email": _email_rule, "phone": _phone_rule}
