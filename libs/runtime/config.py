"""Settings from environment variables: what all services share, and the types of secrets.

Each service adds its own fields in its ``settings.py``. The launcher passes the environment;
the only files that are read are those of secrets, where a variable names one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from libs.kernel.ids import PARTITIONS_MAX

ENV_PREFIX = "OTA_"
SECRET_BYTES = 32
_MASK = "**********"


class SecretKey(bytes):
    """A secret that never shows itself in a log line, a traceback or a settings dump."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"SecretKey({_MASK})"

    __str__ = __repr__


def _secret_key(value: object) -> SecretKey:
    if isinstance(value, bytes):
        raw = value
    else:
        try:
            raw = bytes.fromhex(value) if isinstance(value, str) else b""
        except ValueError:
            raw = b""
    if len(raw) != SECRET_BYTES:
        raise ValueError(f"must be {2 * SECRET_BYTES} hexadecimal characters")
    return SecretKey(raw)


def _secret_keys(value: object) -> tuple[SecretKey, ...]:
    if isinstance(value, str):
        value = [text.strip() for text in value.split(",")]
    if not isinstance(value, Iterable):
        raise ValueError("must be secrets with commas between them")
    return tuple(_secret_key(each) for each in value)


def read_secret_keys(path: Path) -> tuple[SecretKey, ...]:
    """Read a file of secrets, one a line; empty lines and those that begin with # don't count.

    Raises ValueError, which never quotes what is in the file.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read: {type(error).__name__}") from None
    found = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text and not text.startswith("#"):
            try:
                found.append(_secret_key(text))
            except ValueError as error:
                raise ValueError(f"line {number} {error}") from None
    if not found:
        raise ValueError("has no secret in it")
    return tuple(found)


def _secret_file(value: Path) -> Path:
    read_secret_keys(value)
    return value


def _postgresql_dsn(value: str) -> str:
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("must be an address that starts with postgresql://")
    return value


HexKey = Annotated[
    bytes,
    PlainValidator(_secret_key),
    PlainSerializer(lambda _: _MASK, return_type=str),
    Field(repr=False),
]
"""A secret of 32 bytes, written as 64 hexadecimal characters."""

HexKeyOrNone = Annotated[
    bytes | None,
    PlainValidator(lambda value: None if value is None else _secret_key(value)),
    PlainSerializer(lambda value: None if value is None else _MASK, return_type=str | None),
    Field(repr=False),
]
"""The same, where it may be missing; in a union `HexKey` would lose its cover."""

HexKeys = Annotated[
    tuple[bytes, ...],
    NoDecode,
    PlainValidator(_secret_keys),
    PlainSerializer(lambda _: _MASK, return_type=str),
    Field(repr=False),
]
"""Secrets of 32 bytes in hexadecimal, with commas between them."""

HexKeyFile = Annotated[Path, AfterValidator(_secret_file)]
"""A file of such secrets; see `read_secret_keys`."""

Dsn = Annotated[
    str,
    AfterValidator(_postgresql_dsn),
    PlainSerializer(lambda _: _MASK, return_type=str),
    Field(repr=False),
]
"""The address of a database; it may hold a password, so it is never shown."""

BrokerAddress = Annotated[
    str,
    PlainSerializer(lambda value: _MASK if "@" in value else value),
    Field(repr=False),
]
"""The address of brokers; it may hold a password, then it is never shown."""

Port = Annotated[int, Field(ge=0, le=65535)]
"""A TCP port; 0 lets the system choose one."""


class ServiceSettings(BaseSettings):
    """What every service is told by its environment (variables ``OTA_...``).

    Empty variables count as not set; unknown ones belong to other services and are ignored.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_file=None,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    kafka_bootstrap: BrokerAddress = Field(
        "127.0.0.1:9092",
        description="Address of Kafka brokers: host:port, or scram://user:password@host:port?ca=file.",
    )
    ops_host: str = Field("127.0.0.1", description="Address that the ops ports listen on.")
    partitions: int = Field(
        4, ge=1, le=PARTITIONS_MAX, description="Number of partitions; never lower it."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least level that is logged."
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="json: one object a line; console: for people."
    )
    kill_at: str | None = Field(
        None,
        pattern=r"^[a-z0-9_.]+(:[1-9][0-9]*)?$",
        description="Test hook: the process kills itself at the n-th pass of a step (name[:n]).",
    )
    throttle: int | None = Field(
        None,
        ge=1,
        description="Test hook: each partition decides at most so many commands a second.",
    )


class DecidingSettings(ServiceSettings):
    """What every service with a log of its own is told."""

    anchor_signing_key: HexKey = Field(description="Ed25519 seed that signs heads of the log.")
    anchor_interval_s: float = Field(
        60, gt=0, le=86_400, description="Seconds after which a head that has moved is signed."
    )
    anchor_events: int = Field(
        1000, ge=1, le=1_000_000, description="Events after which a head is signed at once."
    )


def describe(error: ValidationError | SettingsError) -> str:
    """Say in one line per variable what is wrong, never what the value was."""
    if isinstance(error, SettingsError):
        return f"The settings cannot be used:\n  {error}"
    lines = ["The settings cannot be used:"]
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        variable = "".join(f"{ENV_PREFIX}{part}".upper() for part in problem["loc"][:1])
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            text = "is not set"
        lines.append(f"  {variable or 'together'}: {text}")
    return "\n".join(lines)
