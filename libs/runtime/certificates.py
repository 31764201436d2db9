"""When the certificates end that a service's settings name: authorities it trusts, its own.

Files are those in the addresses of broker and databases (``ca``, ``sslrootcert``, ``sslcert``).
The partner API's certificate is not among them: whoever ends TLS before the gateway has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509

from libs.runtime.config import ServiceSettings
from libs.runtime.metrics import Metrics

PARAMETERS = ("ca", "sslrootcert", "sslcert")


def certificate_files(settings: ServiceSettings) -> tuple[str, ...]:
    """Return the files of certificates that the addresses in *settings* name."""
    found: set[str] = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, str) and "://" in value:
            asked = parse_qs(urlsplit(value).query)
            found.update(file for each in PARAMETERS for file in asked.get(each, ()))
    return tuple(sorted(found))


def show_certificates(metrics: Metrics, files: Iterable[str]) -> None:
    """Show when the first certificate of each file ends; read again, for files are replaced."""
    for file in files:
        metrics.certificate_expires.labels(file).set(_expires_at(file))


def _expires_at(file: str) -> float:
    try:
        held = x509.load_pem_x509_certificates(Path(file).read_bytes())
    except (OSError, ValueError):
        return 0.0  # long ago: the alert is to fire
    return min(each.not_valid_after_utc.timestamp() for each in held)
