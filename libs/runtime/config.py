"""Settings from environment variables: what all services share, and the types of secrets.

Each service adds its own fields in its ``settings.py``. Nothing here reads a file: the
launcher passes the environment.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

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

Dsn = Annotated[
    str,
    AfterValidator(_postgresql_dsn),
    PlainSerializer(lambda _: _MASK, return_type=str),
    Field(repr=False),
]
"""The address of a database; it may hold a password, so it is never shown."""

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

    kafka_bootstrap: str = Field("127.0.0.1:9092", description="Address of a Kafka broker.")
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
