"""Samples of a profiler: what counts as work, and whose it is."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from bench import flame
from bench.profile import explain

OUR = "decide (services/inventory/domain/decisions.py:10)"
LIBRARY = "write (asyncio/selector_events.py:1037)"
RAW = f"""thread (0x1): MainThread;main (app.py:1);{OUR} 3
thread (0x1): MainThread;main (app.py:1);{OUR};{LIBRARY} 5
thread (0x2): watch;Condition.wait (threading.py:288) 12
"""


def test_time_that_only_waits_is_left_out() -> None:
    """A thread that waits for a lock uses no CPU, whatever the profiler says."""
    assert 8 == sum(flame.running(flame.parse(RAW)).values())


def test_shares_are_own_and_with_everything_called() -> None:
    """A caller has the time of what it calls in its cumulative share only."""
    found = {each.function: each for each in flame.shares(flame.running(flame.parse(RAW)))}
    assert (3 / 8, 1.0) == (found[OUR].own, found[OUR].cumulative)
    assert (5 / 8, 5 / 8) == (found[LIBRARY].own, found[LIBRARY].cumulative)
    assert (0.0, 1.0) == (found["main (app.py:1)"].own, found["main (app.py:1)"].cumulative)
    assert not any(name.startswith("thread ") for name in found)


def test_a_function_that_calls_itself_counts_once() -> None:
    """Recursion does not make more of a sample."""
    (share,) = flame.shares(flame.parse("a (x.py:1);a (x.py:1);a (x.py:1) 4"))
    assert (1.0, 1.0) == (share.own, share.cumulative)


def test_the_picture_is_xml_with_every_frame_and_its_share() -> None:
    """Names with angle brackets do not break it."""
    stacks = flame.parse("run.<locals>.step (libs/x.py:1);inner (y.py:2) 1")
    root = ET.fromstring(flame.svg(stacks, title="a & b", ours=("libs/",)))
    titles = [each.text for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert ["run.<locals>.step (libs/x.py:1): 100.0%", "inner (y.py:2): 100.0%"] == titles


def test_lines_of_another_form_are_refused() -> None:
    """A count that is none is no profile."""
    with pytest.raises(ValueError, match="invalid literal"):
        flame.parse("a;b many")


def test_a_refusal_of_ptrace_is_explained() -> None:
    """The user is told what to change."""
    assert "kernel.yama.ptrace_scope" in explain("Error: Permission denied (os error 13)", pid=7)
    assert "py-spy failed: something" in explain("something", pid=7)
