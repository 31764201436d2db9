"""One thread of a process stands still, the others go on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from chaos.freeze import NOT_ALLOWED, freeze
from deploy.local.settings import CHECKOUT

CHILD = """
import sys, threading, time
ticks = {"main": 0, "other": 0}
def tick(name):
    while "stop" not in ticks:
        ticks[name] += 1
        time.sleep(0.01)
other = threading.Thread(target=tick, args=("other",))
other.start()
print("ready", flush=True)
threading.Thread(target=lambda: (sys.stdin.readline(), ticks.update(stop=1))).start()
tick("main")
print(ticks["main"], ticks["other"])
"""


def test_only_the_main_thread_stands_still() -> None:
    """While it is frozen the other thread ticks; afterwards both do."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert "ready\n" == child.stdout.readline()
        words = [sys.executable, "-m", "chaos.freeze", str(child.pid), "1.0"]
        code = subprocess.run(words, cwd=CHECKOUT, check=False, timeout=30).returncode
        if code == NOT_ALLOWED:
            pytest.skip("this system lets nobody stop a single thread")
        out, _ = child.communicate("stop\n", timeout=30)
    finally:
        child.kill()
        child.wait()
    main, other = map(int, out.split())
    assert 0 == code
    assert main < other / 2


def test_a_process_that_is_gone_cannot_be_frozen() -> None:
    """That is told, not raised."""
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert not freeze(child.pid, 0.1)
