"""What the drill is made of: nothing here starts a process."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.monitoring.alerts import symptom_alerts
from deploy.monitoring.panels import Panel
from deploy.monitoring.servers import targets_file
from services.gateway.console.pages import rendered
from tests.incidents.__main__ import chosen
from tests.incidents.catalogue import INCIDENTS
from tests.incidents.console import rows_of
from tests.incidents.drill import Told, compared, is_of, runbook_of
from tests.incidents.incident import Incident
from tests.incidents.prometheus import Alarm, figure, legend, moment, panel_named
from tests.incidents.report import EVIDENCE, PAGE, keep, page_of
from tests.incidents.stages import with_target

DATA = Path("data")


def test_the_ten_are_numbered() -> None:
    """In the order of the page."""
    assert list(range(1, 11)) == [each.number for each in INCIDENTS]


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda each: each.title)
def test_an_incident_names_what_there_is(incident: Incident) -> None:
    """Its alert with its labels, panels, and three lines of the runbook."""
    (alert,) = [each for each in symptom_alerts() if each.name == incident.alert]
    assert incident.labels.keys() <= alert.labels.keys()
    assert {"First look", "Do"} <= runbook_of(incident.alert).keys()
    for look in incident.looks:
        panel = panel_named(look.dashboard, look.panel)
        assert isinstance(panel, Panel)


def test_what_is_played() -> None:
    """By number, one of them all, or all."""
    assert ["Broker gone"] == [each.title for each in chosen("1")]
    assert [2, 10] == [each.number for each in chosen("10,2")]
    assert 1 == len(chosen("any"))
    assert 10 == len(chosen("all"))
    with pytest.raises(ValueError, match="N=11"):
        chosen("11")


def test_an_alert_is_followed_to_the_receiver() -> None:
    """Each moment is the first of its kind, counted from the cause."""
    began = time.time() - 50
    told = Told()
    old = datetime.fromtimestamp(began - 5, UTC).isoformat()
    told.take(alarms=[], lines=[{"timestamp": old}], began=began)
    assert Told() == told
    told.take(alarms=[_alarm(began + 10, firing=False)], lines=[], began=began)
    assert (10.0, None, None) == (told.pending_s, told.firing_s, told.told_s)
    new = datetime.fromtimestamp(began + 40, UTC).isoformat()
    alarms = [_alarm(began + 10, firing=True), _alarm(began + 12, firing=False)]
    told.take(alarms=alarms, lines=[{"timestamp": new}], began=began)
    assert (10.0, 40.0) == (told.pending_s, told.told_s)
    assert told.firing_s == pytest.approx(50, abs=5)


def _alarm(since: float, *, firing: bool) -> Alarm:
    return Alarm(name="ServiceDown", firing=firing, since=since, labels={})


def test_another_alert_of_the_same_name_is_not_meant() -> None:
    """Labels tell which one; a folder's is known only once the stack is there."""
    disk, hung = INCIDENTS[5], INCIDENTS[2]
    assert is_of(hung, "ServiceDown", {"job": "fulfillment", "severity": "page"}, data=DATA)
    assert not is_of(hung, "ServiceDown", {"job": "gateway"}, data=DATA)
    assert not is_of(hung, "ServiceMissing", {"job": "fulfillment"}, data=DATA)
    assert is_of(disk, "DiskNearlyFull", {"mountpoint": "data"}, data=DATA)
    assert not is_of(disk, "DiskNearlyFull", {"mountpoint": "/"}, data=DATA)


def test_prometheus_is_read() -> None:
    """Instants with nanoseconds, curves' names, figures in a reader's units."""
    assert 1.5 == moment("1970-01-01T00:00:01.500000999Z")
    assert 1.0 == moment("1970-01-01T00:00:01Z")
    assert "gateway ota " == legend(
        "{{job}} {{topic}} {{none}}", {"job": "gateway", "topic": "ota"}
    )
    assert "12 ms 3.4 s" == " ".join((figure(0.012, "s"), figure(3.44, "s")))
    assert "6.0 % 7 1.5" == " ".join(
        (figure(0.06, "percentunit"), figure(7, "short"), figure(1.5, "short"))
    )
    assert "2 MiB 0.3/s" == " ".join((figure(2_097_152, "bytes"), figure(0.3, "cps")))


def test_the_curves_that_changed_most_are_shown() -> None:
    """Four of them, and what is not there is said to be nothing."""
    was = dict.fromkeys("abcde", 1.0)
    now = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "f": 9.0}
    (found,) = compared([("p", "short", was)], [("p", "short", now)])
    assert {"b": "1", "c": "1", "d": "1", "f": "nothing"} == found["before"]
    assert {"b": "2", "c": "3", "d": "4", "f": "9"} == found["during"]


def test_the_console_s_rows_are_read() -> None:
    """Of one panel: sentences, rows and cards, each as one text."""
    page = (
        '<div class="body" id="body-other"><p>not this</p></div>'
        '<div class="body" id="body-services"><p>a <b>word</b></p><div><ul>'
        "<li><h3>one</h3><dl><dd>1</dd></dl><p>inner</p></li><li>two</li></ul></div>"
        "<table><tr><td>x<br>y</td><td>z</td></tr></table></div><p>after</p>"
    )
    assert ["a word", "one 1 inner", "two", "x y z"] == rows_of(page, "services")
    frame = rendered(
        "sign_in.html", next="/console", fault="This name and this password or code do not fit."
    )
    assert [] == rows_of(frame, "services")


def test_one_more_target_is_scraped() -> None:
    """Beside those of its job; the others stay."""
    before = targets_file({"gateway": ["a:1"], "inventory": ["b:2"]})
    after = json.loads(with_target(before, job="gateway", address="c:3"))
    assert [["a:1", "c:3"], ["b:2"]] == [each["targets"] for each in after]


def test_a_newer_run_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    """The page has each incident once, in order."""
    evidence = tmp_path / "incidents.json"
    keep([_result(2, 70.0), _result(1, 30.0)], evidence=evidence)
    page = keep([_result(2, None)], evidence=evidence)
    rows = [line for line in page.splitlines() if line.startswith("| ") and "ServiceDown" in line]
    assert [
        "| 1 | [It](#1-it) | ServiceDown | 5 s | 30 s | 35 s | 9 s |",
        "| 2 | [It](#2-it) | ServiceDown | 5 s | never | 35 s | 9 s |",
    ] == rows
    assert "| p | a 1 | a nothing |" in page.splitlines()


def _result(number: int, firing_s: float | None) -> dict[str, Any]:
    return {
        "number": number,
        "title": "It",
        "done": "x",
        "alert": "ServiceDown",
        "pending_s": 5.0,
        "firing_s": firing_s,
        "told_s": 35.0,
        "also": {"EndpointErrors": 20.0},
        "panels": [
            {"panel": "p", "before": {"a": "1", "b": "0"}, "during": {"a": "nothing", "b": "0"}}
        ],
        "console": ["row"],
        "picture": None,
        "runbook": {"First look": "look.", "Do": "do."},
        "healed": "y",
        "quiet_s": 9.0,
        "lingers": "",
    }


def test_the_page_is_that_of_the_evidence() -> None:
    """All ten, each in time; `make incident N=all WRITE=1` writes both."""
    runs = json.loads(EVIDENCE.read_text(encoding="utf-8"))
    assert [each.title for each in INCIDENTS] == [run["title"] for run in runs]
    assert [True] * 10 == [run["detected"] for run in runs]
    assert page_of(runs) == PAGE.read_text(encoding="utf-8")
