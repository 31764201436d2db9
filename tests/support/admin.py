"""The operators' console as operators run it: a process, its output and its exit code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from deploy.local.plan import own_environment
from deploy.local.settings import CHECKOUT

TIMEOUT_S: Final = 60.0


def run_admin(
    env: Mapping[str, str], *words: str, given: str = "", owner: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run ``ota-admin`` in the gateway's environment, with *given* as what is typed in."""
    return subprocess.run(
        [sys.executable, "-m", "services.gateway.admin", *words],
        cwd=CHECKOUT,
        env=own_environment(environment=env, service="gateway", owner=owner),
        input=given,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def admin(env: Mapping[str, str], *words: str, given: str = "", owner: bool = False) -> str:
    """Run ``ota-admin`` and return what it printed; raises AssertionError unless it ends well."""
    ended = run_admin(env, *words, given=given, owner=owner)
    assert 0 == ended.returncode, f"ota-admin {' '.join(words)}: {ended.stderr}"
    return ended.stdout
