"""The partners file: TOML that people write -> checked partners with their keys.

The file holds API keys in the clear, so no error and no `repr` here shows one;
hashing and storing them belongs to the store.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Permission = Literal[
    "inventory:read",
    "reserve:create",
    "reserve:activate",
    "orders:read",
    "tickets:bulk-generate",
    "tickets:activate",
    "admin:read",
    "admin:partners:list",
]


class PartnersFileError(ValueError):
    """The partners file cannot be used; the message has a line for each thing to mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerSeed:
    """A partner as the file has it; *keys* are secrets in the clear."""

    partner_id: str
    name: str
    channel: str
    permissions: tuple[str, ...]
    calls_per_minute: int
    keys: tuple[str, ...] = field(repr=False)


def load_partners(*, path: Path) -> tuple[PartnerSeed, ...]:
    """Read and check the partners file at *path*; raises PartnersFileError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        # Only the kind of a decoding error: its full text would quote the file.
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise PartnersFileError(f"{path}: cannot be read: {reason}") from None
    return parse_partners(text=text, source=str(path))


def parse_partners(*, text: str, source: str) -> tuple[PartnerSeed, ...]:
    """Check a partners file's text; raises PartnersFileError naming *source*, key and reason."""
    try:
        rows = _PartnersRow.model_validate(tomllib.loads(text)).partners
    except tomllib.TOMLDecodeError as error:
        raise PartnersFileError(f"{source}: is not TOML: {error}") from None
    except ValidationError as error:
        problems = [(_key(problem["loc"]), problem["msg"]) for problem in error.errors()]
        raise _refused(source, problems) from error
    if problems := list(_repeats(rows)):
        raise _refused(source, problems)
    return tuple(
        PartnerSeed(
            partner_id=row.partner_id,
            name=row.name,
            channel=row.channel,
            permissions=tuple(row.permissions),
            calls_per_minute=row.calls_per_minute,
            keys=tuple(row.keys),
        )
        for row in rows
    )


# What fits in an HTTP header as one word, and is too long to be guessed by hand.
Key = Annotated[str, Field(pattern=r"^[!-~]{12,255}$")]


class _Row(BaseModel):
    """A table of the file: types as written, unknown keys refused, values never in errors."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class _PartnerRow(_Row):
    partner_id: str = Field(pattern=r"^[a-z][a-z0-9_]{1,63}$")
    name: str = Field(min_length=1, max_length=100)
    channel: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    permissions: list[Permission] = Field(max_length=50)
    calls_per_minute: int = Field(ge=1, le=10_000_000)
    keys: list[Key] = Field(min_length=1, max_length=10)


class _PartnersRow(_Row):
    partners: list[_PartnerRow] = Field(min_length=1, max_length=10_000)


Problem = tuple[str, str]
"""A key of the file and what is wrong with it."""


def _repeats(rows: Sequence[_PartnerRow]) -> Iterator[Problem]:
    """Yield what may stand only once in the file, or once in a partner's list."""
    partner_of: dict[str, int] = {}
    partner_of_key: dict[str, int] = {}
    for index, row in enumerate(rows):
        if (earlier := partner_of.setdefault(row.partner_id, index)) != index:
            yield f"partners[{index}].partner_id", f"the same as in partners[{earlier}]"
        for number, permission in enumerate(row.permissions):
            if permission in row.permissions[:number]:
                yield f"partners[{index}].permissions[{number}]", "is in the list already"
        for number, key in enumerate(row.keys):
            if key in partner_of_key:
                where = f"is in use already, in partners[{partner_of_key[key]}]"
                yield f"partners[{index}].keys[{number}]", where
            partner_of_key.setdefault(key, index)


def _key(location: Iterable[int | str]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".")


def _refused(source: str, problems: Iterable[Problem]) -> PartnersFileError:
    return PartnersFileError("\n".join(f"{source}: {key}: {why}" for key, why in problems))
