"""Entry point of `make admin`: ota-admin with the settings and secrets of this local stack."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from dotenv import dotenv_values

from deploy.local.credentials import SERVICE_SECRETS, dsns, names
from deploy.local.plan import own_environment
from deploy.local.settings import CHECKOUT, Settings, SettingsError, load


def console_environment(
    *, settings: Settings, secrets_by_name: Mapping[str, str]
) -> dict[str, str]:
    """Return what the gateway is told, with the owner's access to its database."""
    shared = {
        **{name: secrets_by_name[name] for name in SERVICE_SECRETS},
        **{name: text for name, text in settings.environment.items() if text},
        "OTA_KAFKA_BOOTSTRAP": str(settings.kafka),
        **dsns(secrets_by_name=secrets_by_name, server=str(settings.postgres)),
    }
    return own_environment(environment=shared, service="gateway", owner=True)


def main(*, arguments: list[str]) -> None:
    """Become ota-admin; raises SystemExit if there is no stack to work on."""
    try:
        settings = load(process_environment=os.environ)
    except SettingsError as error:
        raise SystemExit(str(error)) from error
    kept = dotenv_values(settings.data_dir / "secrets.env", interpolate=False)
    secrets_by_name = {name: text for name, text in kept.items() if text}
    if not all(name in secrets_by_name for name in names()):
        raise SystemExit("there is no stack in this folder yet: `make up` makes it")
    environment = console_environment(settings=settings, secrets_by_name=secrets_by_name)
    os.chdir(CHECKOUT)
    words = (sys.executable, "-m", "services.gateway.admin", *arguments)
    os.execve(sys.executable, words, environment)  # noqa: S606 - no shell is meant


if __name__ == "__main__":
    main(arguments=sys.argv[1:])
