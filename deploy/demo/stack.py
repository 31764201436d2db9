"""Where the running stack is: its addresses, and those of its databases for reading only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from deploy.local import credentials
from deploy.local.settings import load

SERVICES = ("inventory", "reservation", "fulfillment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running stack as a visitor sees it; *read_dsns* is empty when the launcher did not run."""

    base_url: str
    ticket_keys_url: str
    read_dsns: Mapping[str, str]
    data_dir: Path


def find(*, environment: Mapping[str, str]) -> Stack:
    """Return where the stack is; raises deploy.local.settings.SettingsError.

    ``OTA_<SERVICE>_READ_DSN`` in *environment* wins over what the launcher keeps.
    """
    settings = load(process_environment=environment)
    names = {service: f"OTA_{service.upper()}_READ_DSN" for service in SERVICES}
    known = {
        **_launcher_dsns(settings.data_dir / "secrets.env", server=str(settings.postgres)),
        **{name: text for name, text in settings.environment.items() if text},
    }
    return Stack(
        base_url=f"http://{settings.partner}",
        ticket_keys_url=f"http://{settings.ops['fulfillment']}/ticket-keys",
        read_dsns={service: known[name] for service, name in names.items() if name in known},
        data_dir=settings.data_dir,
    )


def _launcher_dsns(file: Path, *, server: str) -> dict[str, str]:
    kept = {name: text for name, text in dotenv_values(file, interpolate=False).items() if text}
    if not all(name in kept for name in credentials.names()):
        return {}
    return credentials.dsns(secrets_by_name=kept, server=server)
