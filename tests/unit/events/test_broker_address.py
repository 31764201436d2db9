"""How a broker is reached: without and with a user, and never a password in a message."""

from __future__ import annotations

import ast
import re
import ssl

import pytest

from deploy.local.settings import CHECKOUT
from libs.events.kafka.address import BadAddress, connection
from libs.runtime.config import ServiceSettings
from ota_verify.address import BadAddress as VerifiersBadAddress
from ota_verify.address import client_options


def test_hosts_alone_are_taken_as_they_are() -> None:
    """The local stack's broker."""
    assert {"bootstrap_servers": "a:1,b:2"} == connection("a:1,b:2")


def test_a_user_signs_in_over_tls() -> None:
    """What stands in the address escaped is told as it is."""
    told = connection("scram://ota-gateway:p%40ss@a:9093,b:9093")
    assert isinstance(told.pop("ssl_context"), ssl.SSLContext)
    expected = {
        "bootstrap_servers": "a:9093,b:9093",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ota-gateway",
        "sasl_plain_password": "p@ss",
    }
    assert expected == told


def test_a_network_that_encrypts_needs_no_tls() -> None:
    """Then there are no authorities to trust."""
    told = connection("scram+plain://u:p@a:1")
    assert ("SASL_PLAINTEXT", False) == (told["security_protocol"], "ssl_context" in told)


@pytest.mark.parametrize("address", ["kafka://u:secret@a:1", "scram://a:1", "scram://u@a:1"])
def test_a_wrong_address_is_refused_without_being_shown(address: str) -> None:
    """The message says the form, not what was given."""
    with pytest.raises(BadAddress) as refused:
        connection(address)
    assert "secret" not in str(refused.value)
    with pytest.raises(VerifiersBadAddress) as refused_too:
        client_options(address)
    assert str(refused.value) == str(refused_too.value)


@pytest.mark.parametrize(
    "address",
    ["a:1,b:2", "scram://ota-x:p%40ss%2F@a:9093,b:9093", "scram+plain://u:p@a:1", "scram://u:p@a/"],
)
def test_the_verifier_reads_addresses_alike(address: str) -> None:
    """By code of its own."""
    ours, its = connection(address), client_options(address)
    assert type(ours.pop("ssl_context", None)) is type(its.pop("ssl_context", None))
    assert ours == its


def clients_without_address(source: str) -> list[str]:
    """Return the clients of Kafka that a module makes without the settings of an address."""
    return [
        f"{node.lineno}: {ast.unparse(node.func)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and re.fullmatch(r"(\w+\.)*AIOKafka(Consumer|Producer|AdminClient)", ast.unparse(node.func))
        and not any(
            each.arg is None and re.match(r"(connection|client_options)\(", ast.unparse(each.value))
            for each in node.keywords
        )
    ]


def test_every_client_signs_in_where_it_has_to() -> None:
    """Of the product, the operators' tools and the verifier: a cluster knows nobody by default."""
    made, without = 0, {}
    for package in ("libs", "services", "verify"):
        for path in (CHECKOUT / package).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            made += len(re.findall(r"AIOKafka(?:Consumer|Producer|AdminClient)\(", source))
            if found := clients_without_address(source):
                without[path.name] = found
    assert {} == without
    assert made >= 6


@pytest.mark.parametrize(
    "source, found",
    [
        ("AIOKafkaConsumer(bootstrap_servers=x)", ["1: AIOKafkaConsumer"]),
        ("aiokafka.AIOKafkaProducer()", ["1: aiokafka.AIOKafkaProducer"]),
        ("admin.AIOKafkaAdminClient(**told)", ["1: admin.AIOKafkaAdminClient"]),
        ("AIOKafkaConsumer(**connection(bootstrap), group_id=None)", []),
    ],
)
def test_a_client_without_an_address_would_be_found(source: str, found: list[str]) -> None:
    """The control of the test above."""
    assert found == clients_without_address(source)


def test_authorities_that_are_not_there_are_an_error() -> None:
    """Nobody is trusted by accident."""
    with pytest.raises(OSError, match="No such file"):
        connection("scram://u:p@a:1?ca=/nowhere/ca.crt")


def test_settings_never_show_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a dump there is a mask; an address without a password is shown."""
    monkeypatch.setenv("OTA_KAFKA_BOOTSTRAP", "scram://u:hidden-password@a:1")
    settings = ServiceSettings()
    assert "hidden" not in repr(settings) + str(settings.model_dump())
    assert "hidden-password" in settings.kafka_bootstrap
    monkeypatch.setenv("OTA_KAFKA_BOOTSTRAP", "a:1")
    assert "a:1" == ServiceSettings().model_dump()["kafka_bootstrap"]
