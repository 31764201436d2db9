"""The demonstration, told by the Python client against the four processes."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from deploy.demo.__main__ import tell
from deploy.demo.screen import Screen
from deploy.demo.stack import SERVICES, Stack
from tests.support.deciders import Deciders

pytestmark = pytest.mark.e2e

CHECKS = 48


async def test_the_story_holds(deciders: Deciders, tmp_path: Path) -> None:
    """Every check of the story is right, twice in a row: it can be told again and again."""
    environment = deciders.stack.env
    gateway, fulfillment = (deciders.processes[name] for name in ("gateway", "fulfillment"))
    stack = Stack(
        base_url=gateway.url,
        ticket_keys_url=f"http://{fulfillment.ops}/ticket-keys",
        read_dsns={name: environment[f"OTA_{name.upper()}_READ_DSN"] for name in SERVICES},
        data_dir=tmp_path,
    )
    for _ in range(2):
        out = io.StringIO()
        code = await tell(stack=stack, screen=Screen(out=out, terminal=False, colour=False))
        said = out.getvalue()
        assert 0 == code, "\n".join(line for line in said.splitlines() if "✗" in line)
        assert re.search(rf"^✓ All {CHECKS} checks hold", said, re.MULTILINE)
    assert 2 == len(list((tmp_path / "demo").iterdir()))
