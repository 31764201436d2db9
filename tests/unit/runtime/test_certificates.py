"""A service tells when the certificates end that its settings name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from prometheus_client import CollectorRegistry

from libs.runtime.certificates import certificate_files, show_certificates
from libs.runtime.config import Dsn, ServiceSettings
from libs.runtime.metrics import Metrics

SOON = datetime(2026, 12, 1, tzinfo=UTC)
LATER = datetime(2027, 12, 1, tzinfo=UTC)


class Settings(ServiceSettings):
    """Those of a service with a database."""

    ledger_dsn: Dsn
    text: str = "https://example.com?name=x"


def certificate(ends_at: datetime) -> bytes:
    """Return an authority's certificate as PEM."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends_at - timedelta(days=365))
        .not_valid_after(ends_at)
        .sign(key, None)
        .public_bytes(Encoding.PEM)
    )


def test_files_are_found_in_the_addresses() -> None:
    """Of broker and databases; addresses without a file have none."""
    settings = Settings(
        kafka_bootstrap="scram://ota:p%40ss@kafka:9093?ca=/kafka/ca.crt",
        ledger_dsn="postgresql://a:b@db/ledger?sslmode=verify-full&sslrootcert=/db/ca.crt",
    )
    assert ("/db/ca.crt", "/kafka/ca.crt") == certificate_files(settings)
    bare = Settings(kafka_bootstrap="kafka:9092", ledger_dsn="postgresql://a:b@db/ledger")
    assert () == certificate_files(bare)


def test_the_first_of_a_file_to_end_is_shown_and_a_new_file_is_seen(tmp_path: Path) -> None:
    """Operators replace the file while the service runs."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, service="inventory", version="1")
    file = tmp_path / "ca.crt"

    def shown() -> datetime:
        show_certificates(metrics, [str(file)])
        name = "ota_certificate_expires_timestamp_seconds"
        value = registry.get_sample_value(name, {"file": str(file)})
        assert value is not None
        return datetime.fromtimestamp(value, UTC)

    file.write_bytes(certificate(LATER) + certificate(SOON))
    assert SOON == shown()
    file.write_bytes(certificate(LATER))
    assert LATER == shown()


@pytest.mark.parametrize("content", [b"", b"no certificate", None])
def test_a_file_that_cannot_be_read_counts_as_ended(tmp_path: Path, content: bytes | None) -> None:
    """It is told of before the next connection fails."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, service="gateway", version="1")
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_bytes(content)
    show_certificates(metrics, [str(file)])
    shown = registry.get_sample_value(
        "ota_certificate_expires_timestamp_seconds", {"file": str(file)}
    )
    assert 0 == shown
