"""The getting-started page against the real stack: what it says to paste works."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from html import unescape
from pathlib import Path

import pytest

from tests.support.agency import FULL_KEY, Agency
from tests.support.deciders import Deciders

pytestmark = pytest.mark.e2e

_BLOCK = re.compile(r"<pre><code>(.*?)</code></pre>", re.DOTALL)


async def blocks(agency: Agency, url: str) -> list[str]:
    """Return all examples of the page, as a reader would copy them."""
    async with agency.session.get(f"{url}/docs/getting-started") as response:
        return [unescape(block) for block in _BLOCK.findall(await response.text())]


async def run(*command: str, folder: Path) -> str:
    """Run a program with a partner's key, and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "OTA_API_KEY": FULL_KEY},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    assert 0 == process.returncode, output.decode()
    return output.decode()


async def test_the_shell_examples_run_in_order(
    agency: Agency, deciders: Deciders, tmp_path: Path
) -> None:
    """Pasted one after another: from stock to an order with its customer."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    *shell, _, _ = await blocks(agency, deciders.processes["gateway"].url)
    script = tmp_path / "job.sh"
    script.write_text("set -eu\n" + "\n".join(shell), encoding="utf-8")
    output = await run("sh", str(script), folder=tmp_path)
    assert '"available_quantities"' in output
    assert '"customer_name":"陳大文"' in output


async def test_the_python_example_runs(agency: Agency, deciders: Deciders, tmp_path: Path) -> None:
    """With nothing but the standard library."""
    *_, python, _ = await blocks(agency, deciders.processes["gateway"].url)
    program = tmp_path / "job.py"
    program.write_text(python, encoding="utf-8")
    output = await run(sys.executable, "-I", str(program), folder=tmp_path)
    assert "order: ORD-" in output
    assert 2 == output.count("ticket: CRUISE-2025-FERRY-")


async def test_the_javascript_example_runs(
    agency: Agency, deciders: Deciders, tmp_path: Path
) -> None:
    """With nothing but Node."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    *_, javascript = await blocks(agency, deciders.processes["gateway"].url)
    program = tmp_path / "job.mjs"
    program.write_text(javascript, encoding="utf-8")
    output = await run("node", str(program), folder=tmp_path)
    assert "order: ORD-" in output
    assert 2 == output.count("ticket: CRUISE-2025-FERRY-")
