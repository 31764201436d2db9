"""A broker's address: `host:port,...`, or with a user and TLS in the form of a URL.

`scram://user:password@host:port,...?ca=/file` signs in by SCRAM-SHA-512 over TLS, trusting the
authorities of that file (without it the system's). `scram+plain://...` does so without TLS, for a
network that encrypts by itself.
"""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_SCHEMES = {"scram": "SASL_SSL", "scram+plain": "SASL_PLAINTEXT"}


class BadAddress(ValueError):
    """An address is written wrongly; the message never quotes it, for it may hold a password."""


def connection(bootstrap: str) -> dict[str, Any]:
    """Return what every client of aiokafka is told about an address; raises BadAddress.

    Raises OSError if the file of authorities cannot be read.
    """
    if "://" not in bootstrap:
        return {"bootstrap_servers": bootstrap}
    parts = urlsplit(bootstrap)
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    if parts.scheme not in _SCHEMES or not (user and password and hosts):
        raise BadAddress("a broker's address is host:port or scram://user:password@host:port")
    told: dict[str, Any] = {
        "bootstrap_servers": hosts,
        "security_protocol": _SCHEMES[parts.scheme],
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": unquote(user),
        "sasl_plain_password": unquote(password),
    }
    if parts.scheme == "scram":
        (authorities,) = parse_qs(parts.query).get("ca", [None])
        told["ssl_context"] = ssl.create_default_context(cafile=authorities)
    return told
