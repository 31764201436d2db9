"""Entry point of `make verify`: ota-verify with the addresses of this local stack."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from dotenv import dotenv_values

from deploy.local.credentials import dsns, names
from deploy.local.settings import CHECKOUT, SERVICES, Settings, SettingsError, load


def verifier_environment(
    *, settings: Settings, secrets_by_name: Mapping[str, str]
) -> dict[str, str]:
    """Return what the verifier is told: where everything is, and no secret but its own."""
    addresses = dsns(secrets_by_name=secrets_by_name, server=str(settings.postgres))
    wanted = {f"OTA_{name.upper()}_VERIFY_DSN" for name in SERVICES}
    outside = {
        name: text for name, text in settings.environment.items() if not name.startswith("OTA_")
    }
    return {
        **outside,
        "OTA_KAFKA_BOOTSTRAP": str(settings.kafka),
        **{name: text for name, text in addresses.items() if name in wanted},
    }


def main(*, arguments: list[str]) -> None:
    """Become ota-verify; raises SystemExit if there is no stack to work on."""
    try:
        settings = load(process_environment=os.environ)
    except SettingsError as error:
        raise SystemExit(str(error)) from error
    kept = dotenv_values(settings.data_dir / "secrets.env", interpolate=False)
    secrets_by_name = {name: text for name, text in kept.items() if text}
    if not all(name in secrets_by_name for name in names()):
        raise SystemExit("there is no stack in this folder yet: `make up` makes it")
    environment = verifier_environment(settings=settings, secrets_by_name=secrets_by_name)
    environment["PYTHONPATH"] = str(CHECKOUT / "verify")
    words = (sys.executable, "-m", "ota_verify", *arguments)
    os.execve(sys.executable, words, environment)  # noqa: S606 - no shell is meant


if __name__ == "__main__":
    main(arguments=sys.argv[1:])
