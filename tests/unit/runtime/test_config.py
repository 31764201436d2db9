"""Settings: what is read from the environment, what is refused, and what never shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from libs.runtime.config import (
    Dsn,
    HexKey,
    HexKeyFile,
    HexKeyOrNone,
    HexKeys,
    Port,
    SecretKey,
    ServiceSettings,
    describe,
    read_secret_keys,
)

SECRET = "0f" * 32
ADDRESS = "postgresql://app:hunter2@127.0.0.1:5433/ota_inventory"


class InventorySettings(ServiceSettings):
    """Settings of a service, for these tests."""

    inventory_dsn: Dsn
    master_key: HexKey
    inventory_ops_port: Port = 9102
    extra_hosts: tuple[str, ...] = ()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which the two required settings are right."""
    monkeypatch.setenv("OTA_INVENTORY_DSN", ADDRESS)
    monkeypatch.setenv("OTA_MASTER_KEY", SECRET)
    return monkeypatch


def complaint(settings: type[ServiceSettings] = InventorySettings) -> str:
    """Return what an operator is told about the environment as it is."""
    with pytest.raises((ValidationError, SettingsError)) as caught:
        settings()
    error = caught.value
    assert isinstance(error, ValidationError | SettingsError)
    return describe(error)


def test_the_shared_settings_are_these() -> None:
    """Every service has these fields, each with a default and a meaning."""
    assert {
        "kafka_bootstrap": "127.0.0.1:9092",
        "ops_host": "127.0.0.1",
        "partitions": 4,
        "log_level": "INFO",
        "log_format": "json",
        "kill_at": None,
        "throttle": None,
    } == {name: field.default for name, field in ServiceSettings.model_fields.items()}
    assert all(field.description for field in ServiceSettings.model_fields.values())


def test_settings_come_from_prefixed_variables(environment: pytest.MonkeyPatch) -> None:
    """OTA_PARTITIONS sets partitions; a variable without the prefix sets nothing."""
    environment.setenv("OTA_PARTITIONS", "8")
    environment.setenv("LOG_LEVEL", "DEBUG")
    environment.setenv("OTA_OF_ANOTHER_SERVICE", "ignored")
    settings = InventorySettings()
    assert (8, "INFO", 9102) == (
        settings.partitions,
        settings.log_level,
        settings.inventory_ops_port,
    )


def test_an_empty_variable_is_not_set(environment: pytest.MonkeyPatch) -> None:
    """A launcher may pass empty variables."""
    environment.setenv("OTA_KILL_AT", "")
    environment.setenv("OTA_PARTITIONS", "")
    assert (None, 4) == (InventorySettings().kill_at, InventorySettings().partitions)


def test_settings_do_not_change(environment: pytest.MonkeyPatch) -> None:
    """Settings are read once."""
    settings = InventorySettings()
    with pytest.raises(ValidationError):
        settings.partitions = 5  # type: ignore[misc]  # that it is refused is the point


def test_a_secret_is_its_bytes() -> None:
    """A key of 64 hexadecimal characters becomes 32 bytes."""
    assert bytes.fromhex(SECRET) == InventorySettings().master_key
    assert bytes(32) == InventorySettings(master_key=bytes(32)).master_key


def test_a_secret_never_shows() -> None:
    """No text form of the settings or of a key holds a secret or a password."""
    settings = InventorySettings()
    key = settings.master_key
    shown = [
        repr(settings),
        str(settings),
        settings.model_dump_json(),
        str(settings.model_dump(mode="json")),
        repr(key),
        str(key),
        f"{key!s} {key!r}",
        format(key),
        repr([key]),
    ]
    for text in shown:
        assert SECRET not in text
        assert "hunter2" not in text
        assert r"\x0f" not in text
    assert isinstance(key, SecretKey)


def test_a_missing_variable_is_named(environment: pytest.MonkeyPatch) -> None:
    """The operator learns which variables to set."""
    environment.delenv("OTA_INVENTORY_DSN")
    environment.delenv("OTA_MASTER_KEY")
    expected = (
        "The settings cannot be used:\n  OTA_INVENTORY_DSN: is not set\n"
        "  OTA_MASTER_KEY: is not set"
    )
    assert expected == complaint()


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("OTA_PARTITIONS", "many", "integer"),
        ("OTA_PARTITIONS", "0", "greater than or equal to 1"),
        ("OTA_PARTITIONS", "65", "less than or equal to 64"),
        ("OTA_LOG_LEVEL", "LOUD", "'DEBUG'"),
        ("OTA_LOG_FORMAT", "xml", "'json' or 'console'"),
        ("OTA_KILL_AT", "step:0", "pattern"),
        ("OTA_INVENTORY_OPS_PORT", "65536", "65535"),
        ("OTA_INVENTORY_DSN", "mysql://root:hunter2@db/x", "postgresql://"),
        ("OTA_MASTER_KEY", "hunter2", "64 hexadecimal"),
        ("OTA_MASTER_KEY", "0f" * 31, "64 hexadecimal"),
        ("OTA_MASTER_KEY", "zz" * 32, "64 hexadecimal"),
        ("OTA_EXTRA_HOSTS", "hunter2", "extra_hosts"),
    ],
)
def test_a_wrong_value_is_named_but_not_shown(
    environment: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    """The message names variable and rule, never the value, which may be a secret."""
    environment.setenv(variable, value)
    text = complaint()
    assert variable in text or "extra_hosts" in text
    assert reason in text
    assert "hunter2" not in text


class ManyKeys(ServiceSettings):
    """Settings with secrets that may be several, missing, or in a file."""

    key_or_none: HexKeyOrNone = None
    keys_old: HexKeys = ()
    key_file: HexKeyFile | None = None


def test_several_secrets_stand_between_commas(environment: pytest.MonkeyPatch) -> None:
    """In their order; none is nothing, and none of them shows."""
    assert ((), None) == (ManyKeys().keys_old, ManyKeys().key_or_none)
    environment.setenv("OTA_KEYS_OLD", f"{SECRET}, {'ab' * 32}")
    environment.setenv("OTA_KEY_OR_NONE", SECRET)
    settings = ManyKeys()
    assert (bytes.fromhex(SECRET), b"\xab" * 32) == settings.keys_old
    assert settings.key_or_none == settings.keys_old[0]
    for text in (repr(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert SECRET not in text
        assert r"\x0f" not in text
    environment.setenv("OTA_KEYS_OLD", f"{SECRET},hunter2")
    assert "64 hexadecimal" in complaint(ManyKeys)
    assert "hunter2" not in complaint(ManyKeys)


def test_a_file_of_secrets_has_one_a_line(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Comments and empty lines don't count; what is wrong is named by its line, never shown."""
    file = tmp_path / "keys"
    file.write_text(f"# current\n{SECRET}\n\n  {'ab' * 32}  \n", encoding="ascii")
    environment.setenv("OTA_KEY_FILE", str(file))
    assert file == ManyKeys().key_file
    assert (bytes.fromhex(SECRET), b"\xab" * 32) == read_secret_keys(file)
    for content, reason in (
        (f"{SECRET}\nhunter2\n", "line 2 must be 64"),
        ("# nothing\n", "no secret"),
    ):
        file.write_text(content, encoding="ascii")
        text = complaint(ManyKeys)
        assert "OTA_KEY_FILE" in text
        assert reason in text
        assert "hunter2" not in text
    file.unlink()
    assert "cannot be read" in complaint(ManyKeys)
