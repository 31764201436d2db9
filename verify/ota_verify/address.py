"""A broker's address: `host:port,...`, or `scram://user:password@host:port,...?ca=/file`.

The second signs in by SCRAM-SHA-512 over TLS, `scram+plain://` without TLS. Written anew here:
the verifier shares no code with the services.
"""

from __future__ import annotations

import re
import ssl
from typing import Any
from urllib.parse import parse_qs, unquote

_SIGNED_IN = re.compile(
    r"scram(?P<plain>\+plain)?://(?P<user>[^:@/]+):(?P<password>[^:@/]+)@"
    r"(?P<hosts>[^/?@]+)/?(?:\?(?P<rest>.*))?"
)


class BadAddress(ValueError):
    """An address is written wrongly; the message does not quote it: it may hold a password."""


def client_options(address: str) -> dict[str, Any]:
    """Return how every client of the broker connects; raises BadAddress, OSError."""
    if "://" not in address:
        return {"bootstrap_servers": address}
    found = _SIGNED_IN.fullmatch(address)
    if found is None:
        raise BadAddress("a broker's address is host:port or scram://user:password@host:port")
    options: dict[str, Any] = {
        "bootstrap_servers": found["hosts"],
        "security_protocol": "SASL_PLAINTEXT" if found["plain"] else "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": unquote(found["user"]),
        "sasl_plain_password": unquote(found["password"]),
    }
    if not found["plain"]:
        authorities = parse_qs(found["rest"] or "").get("ca", [None])[0]
        options["ssl_context"] = ssl.create_default_context(cafile=authorities)
    return options
