"""Settings of the launcher: where values come from, and which are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.settings import Address, SettingsError, load, merge, parse

CHECKOUT = Path("/checkout")


def test_the_environment_wins_over_the_file() -> None:
    """A variable of the process hides the same one in .env; the others of the file count."""
    merged = merge(
        dotenv={"OTA_KAFKA_PORT": "1", "OTA_PARTNER_PORT": "2", "OTA_EMPTY": None},
        process_environment={"OTA_KAFKA_PORT": "3", "PATH": "/bin"},
    )
    assert {"OTA_KAFKA_PORT": "3", "OTA_PARTNER_PORT": "2", "PATH": "/bin"} == merged


def test_a_file_in_the_checkout_is_read(tmp_path: Path) -> None:
    """.env is found in the checkout, whatever the working directory is."""
    (tmp_path / ".env").write_text("OTA_PARTNER_PORT=18080\n", encoding="utf-8")
    settings = load(process_environment={}, checkout=tmp_path)
    assert 18080 == settings.partner.port
    assert tmp_path / "var" == settings.data_dir


def test_nothing_said_gives_the_documented_defaults() -> None:
    """Without any setting the stack lives in var and listens on the documented ports."""
    settings = parse(environment={}, checkout=CHECKOUT)
    assert CHECKOUT / "var" == settings.data_dir
    assert [5433, 9092, 9093, 8080, 9101, 9102, 9103, 9104, 9090, 9095, 9096, 9100] == [
        address.port for address in settings.addresses
    ]


def test_an_empty_value_counts_as_not_given() -> None:
    """A line of .env.example that was left empty changes nothing."""
    settings = parse(environment={"OTA_KAFKA_PORT": " "}, checkout=CHECKOUT)
    assert 9092 == settings.kafka.port


def test_an_absolute_data_folder_is_taken_as_it_is() -> None:
    """Only relative folders are meant from the checkout."""
    settings = parse(environment={"OTA_DATA_DIR": "/elsewhere"}, checkout=CHECKOUT)
    assert Path("/elsewhere") == settings.data_dir


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1", "8080.5", "٣"])
def test_what_is_no_port_is_refused_by_name(text: str) -> None:
    """The message names the variable and the value."""
    with pytest.raises(SettingsError, match=f"OTA_PARTNER_PORT={text} is no whole number"):
        parse(environment={"OTA_PARTNER_PORT": text}, checkout=CHECKOUT)


def test_a_service_may_have_more_processes_than_others() -> None:
    """Its own number counts before the one for all, and that before the default."""
    told = {"OTA_INSTANCES": "2", "OTA_INSTANCES_GATEWAY": "3"}
    found = parse(environment=told, checkout=Path("/c")).instances
    assert {"gateway": 3, "inventory": 2, "reservation": 2, "fulfillment": 2} == found
    assert {1} == set(parse(environment={}, checkout=Path("/c")).instances.values())
    with pytest.raises(SettingsError, match="OTA_INSTANCES_GATEWAY"):
        parse(environment={"OTA_INSTANCES_GATEWAY": "0"}, checkout=Path("/c"))


def test_two_addresses_may_not_share_a_port() -> None:
    """Both variables are named, so that either can be changed."""
    with pytest.raises(SettingsError, match="OTA_KAFKA_PORT and OTA_PARTNER_PORT are both 8080"):
        parse(environment={"OTA_KAFKA_PORT": "8080"}, checkout=CHECKOUT)


@pytest.mark.parametrize(
    ("host", "shown"),
    [("0.0.0.0", "127.0.0.1:1"), ("::", "[::1]:1"), ("::1", "[::1]:1"), ("10.1.2.3", "10.1.2.3:1")],
)
def test_an_address_is_shown_as_a_client_would_write_it(host: str, shown: str) -> None:
    """Listening everywhere is reached at the loopback address."""
    assert shown == str(Address("anything", host, 1, "OTA_X"))
