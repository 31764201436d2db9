"""The partners file: TOML that people write -> checked partners with their keys.

The file holds API keys in the clear, so no error and no `repr` here shows one;
hashing and storing them belongs to the store.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from services.gateway.domain.api_key import is_mistyped
from services.gateway.domain.directory import (
    CHANNEL_FORM,
    PARTNER_ID_FORM,
    DirectoryState,
    Event,
    Permission,
)
from services.gateway.domain.directory_decisions import (
    ACTIVE_KEYS_MAX,
    CALLS_PER_MINUTE_MAX,
    ChangePartner,
    Command,
    IssueKey,
    Refused,
    RegisterPartner,
    decide_all,
)
from services.gateway.domain.keyed_hash import api_key_hash


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


def decide_seeds(
    state: DirectoryState, partners: Sequence[PartnerSeed], *, pepper: bytes, now: datetime
) -> tuple[Event, ...] | Refused:
    """Decide what makes the directory have a file's partners and keys; a repeat changes nothing.

    A key that was issued before stays as it is: a file does not bring a revoked key back,
    nor a suspended partner. *state* goes along.
    """
    return decide_all(state, _commands(state, partners, pepper), now=now)


def _commands(
    state: DirectoryState, partners: Sequence[PartnerSeed], pepper: bytes
) -> Iterator[Command]:
    for partner in partners:
        command = ChangePartner if partner.partner_id in state.partners else RegisterPartner
        yield command(
            partner_id=partner.partner_id,
            name=partner.name,
            channel=partner.channel,
            permissions=partner.permissions,
            calls_per_minute=partner.calls_per_minute,
        )
        for key in partner.keys:
            key_hash = api_key_hash(pepper=pepper, api_key=key).hex()
            if not state.has_hash(key_hash):
                yield IssueKey(
                    partner_id=partner.partner_id,
                    key_id=f"key_{key_hash[:16]}",
                    key_hash=key_hash,
                    expires_at=None,
                )


def _not_mistyped(key: str) -> str:
    if is_mistyped(key):
        raise ValueError("begins like a key of ota-admin but is none: its checksum is wrong")
    return key


# What fits in an HTTP header as one word, and is too long to be guessed by hand.
Key = Annotated[str, Field(pattern=r"^[!-~]{12,255}$"), AfterValidator(_not_mistyped)]


class _Row(BaseModel):
    """A table of the file: types as written, unknown keys refused, values never in errors."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class _PartnerRow(_Row):
    partner_id: str = Field(pattern=PARTNER_ID_FORM)
    name: str = Field(min_length=1, max_length=100)
    channel: str = Field(pattern=CHANNEL_FORM)
    permissions: list[Permission] = Field(max_length=50)
    calls_per_minute: int = Field(ge=1, le=CALLS_PER_MINUTE_MAX)
    keys: list[Key] = Field(min_length=1, max_length=ACTIVE_KEYS_MAX)


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
