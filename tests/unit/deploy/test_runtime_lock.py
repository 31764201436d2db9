"""The image's part of the lock: all that the services need, hashes included, and no more."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires

import pytest

from deploy.local.settings import CHECKOUT
from deploy.runtime_lock import LockError, canonical, needed, parse, runtime_roots

LOCK = """\
aiohttp==3.0 \\
    --hash=sha256:aa
    # via ota-channel-platform (pyproject.toml)
Multi_Dict==1.0 \\
    --hash=sha256:bb \\
    --hash=sha256:cc
    # via
    #   aiohttp
    #   yarl
pytest==9.0 \\
    --hash=sha256:dd
    # via ota-channel-platform (pyproject.toml)
pluggy==1.0 \\
    --hash=sha256:ee
    # via pytest
yarl==1.0 \\
    --hash=sha256:ff
    # via aiohttp
"""


def test_needs_are_followed_to_the_end() -> None:
    """What a root needs is in, directly or not; what only others need is out."""
    entries = parse(lock=LOCK)
    assert {"aiohttp", "yarl", "multi-dict"} == needed(entries=entries, roots={"aiohttp"})
    assert {"pytest", "pluggy"} == needed(entries=entries, roots={"pytest"})


def test_entries_keep_every_hash() -> None:
    """A part of the lock is as strict as the whole."""
    text = parse(lock=LOCK)["multi-dict"].text
    assert "--hash=sha256:bb" in text
    assert "--hash=sha256:cc" in text


def test_a_root_that_the_lock_lacks_is_named() -> None:
    """A lock that is older than pyproject.toml does not make an image."""
    with pytest.raises(LockError, match="httpx"):
        needed(entries=parse(lock=LOCK), roots={"httpx"})


def test_the_real_lock_gives_what_the_installed_packages_ask_for() -> None:
    """The notes of the lock agree with the metadata of what is installed, and no tool is in."""
    entries = parse(lock=(CHECKOUT / "requirements.lock").read_text(encoding="utf-8"))
    pyproject = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    chosen = needed(entries=entries, roots=runtime_roots(pyproject=pyproject))
    assert not chosen & {"pytest", "mypy", "ruff", "hypothesis", "testcontainers"}
    for name in chosen:
        for requirement in asked_for(name):
            assert requirement not in entries or requirement in chosen, (name, requirement)


def test_an_extra_is_added_with_all_that_it_needs() -> None:
    """The image has it when it is asked for; an extra that there is not is refused."""
    entries = parse(lock=(CHECKOUT / "requirements.lock").read_text(encoding="utf-8"))
    pyproject = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    bare = runtime_roots(pyproject=pyproject)
    with_extra = runtime_roots(pyproject=pyproject, extras=["otel"])
    assert {"opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"} == with_extra - bare
    added = needed(entries=entries, roots=with_extra) - needed(entries=entries, roots=bare)
    assert {"opentelemetry-api", "opentelemetry-proto", "protobuf", "requests"} <= added
    with pytest.raises(LockError, match="no extra oetl"):
        runtime_roots(pyproject=pyproject, extras=["oetl"])


def asked_for(name: str) -> set[str]:
    """Return the unconditional requirements of an installed package."""
    try:
        lines = requires(name) or []
    except PackageNotFoundError:
        return set()
    return {canonical(re.split(r"[^A-Za-z0-9_.-]", each)[0]) for each in lines if ";" not in each}
