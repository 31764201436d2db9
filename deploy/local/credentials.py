"""Secrets of the local stack: made once, kept in `secrets.env` (0600), turned into connection
strings.

Not for production: there, secrets come from outside, under the same names.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from deploy.local.settings import SERVICES

# Used by the services, 32 bytes each in hexadecimal, and by which of them. One that is set outside
# is taken as it is.
SECRET_READERS: Final[Mapping[str, tuple[str, ...]]] = {
    "OTA_MASTER_KEY": ("gateway",),
    "OTA_API_KEY_PEPPER": ("gateway",),
    "OTA_FINGERPRINT_KEY": ("gateway",),
    "OTA_NUMBERING_KEY": ("reservation", "fulfillment"),
    "OTA_TICKET_SIGNING_KEY": ("fulfillment",),
    "OTA_ANCHOR_SIGNING_KEY": ("inventory", "reservation", "fulfillment"),
}
SERVICE_SECRETS: Final = tuple(SECRET_READERS)
SUPERUSER_PASSWORD: Final = "OTA_POSTGRES_PASSWORD"  # noqa: S105 - a name
READER_PASSWORD: Final = "OTA_READER_PASSWORD"  # noqa: S105 - a name
VERIFIER_PASSWORD: Final = "OTA_VERIFIER_PASSWORD"  # noqa: S105 - a name


def owner_password(*, service: str) -> str:
    """Return the name under which the password of a service's migration role is kept."""
    return f"OTA_{service.upper()}_OWNER_PASSWORD"


def app_password(*, service: str) -> str:
    """Return the name under which the password of a service's application role is kept."""
    return f"OTA_{service.upper()}_APP_PASSWORD"


def names() -> tuple[str, ...]:
    """Return the names of all secrets that the stack keeps."""
    return (
        *SERVICE_SECRETS,
        SUPERUSER_PASSWORD,
        *(owner_password(service=name) for name in SERVICES),
        *(app_password(service=name) for name in SERVICES),
        READER_PASSWORD,
        VERIFIER_PASSWORD,
    )


def load_or_make(*, file: Path) -> dict[str, str]:
    """Return the secrets kept in a file, making those that it does not have yet."""
    kept = {name: text for name, text in dotenv_values(file, interpolate=False).items() if text}
    made = {name: kept.get(name) or secrets.token_hex(32) for name in names()}
    if made != kept:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        # Readable by its owner from the first moment on, not after a later chmod.
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write("# Secrets of this local stack. Losing them loses its data.\n")
            stream.writelines(f"{name}={text}\n" for name, text in made.items())
        fresh.replace(file)
    return made


def dsns(
    *, secrets_by_name: Mapping[str, str], server: str, database_suffix: str = ""
) -> dict[str, str]:
    """Return the connection strings of all services; server is `host:port`."""

    def dsn(role: str, password: str, service: str) -> str:
        secret = secrets_by_name[password]
        return f"postgresql://{role}:{secret}@{server}/ota_{service}{database_suffix}"

    found = {}
    for name in SERVICES:
        prefix = f"OTA_{name.upper()}"
        found[f"{prefix}_DSN"] = dsn(f"ota_{name}_app", app_password(service=name), name)
        found[f"{prefix}_OWNER_DSN"] = dsn(f"ota_{name}_owner", owner_password(service=name), name)
        found[f"{prefix}_READ_DSN"] = dsn("ota_reader", READER_PASSWORD, name)
        found[f"{prefix}_VERIFY_DSN"] = dsn("ota_verifier", VERIFIER_PASSWORD, name)
    return found
