"""Rules, alerts and dashboards: generated, consistent, and about metrics that exist."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.local.monitoring import answers, monitoring_steps, scraped, with_monitoring
from deploy.local.plan import Kind, Plan, Step
from deploy.local.ports import free_ports
from deploy.local.processes import Command, wait_until
from deploy.local.settings import CHECKOUT, Address, parse
from deploy.monitoring.alert import RUNBOOK, Alert
from deploy.monitoring.dashboards import ALL, COLUMNS, dashboards
from deploy.monitoring.documents import all_alerts, catalogue, generated
from deploy.monitoring.indicators import indicator_rules
from deploy.monitoring.objectives import OBJECTIVES, recording_rules
from deploy.monitoring.panels import Query
from deploy.monitoring.receiver import lines

# What others show: the processes' own figures, Prometheus itself, and the usual exporters.
FOREIGN = {
    *("up", "ALERTS", "process_cpu_seconds_total", "process_resident_memory_bytes"),
    *("node_filesystem_avail_bytes", "node_filesystem_size_bytes"),
    "probe_ssl_earliest_cert_expiry",
}
# Words of the query language.
WORDS = {"by", "on", "or", "and", "unless", "group_left", "bool"}
SUFFIXES = ("_bucket", "_sum", "_count")


def known_names() -> set[str]:
    """Return every series that a query may ask for."""
    names = set(FOREIGN)
    for info in catalogue():
        names.add(info.name)
        if info.kind == "histogram":
            names |= {info.name + suffix for suffix in SUFFIXES}
    return names | {rule.record for rule in (*recording_rules(), *indicator_rules())}


def names_in(expr: str) -> set[str]:
    """Return the series that a query asks for."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", " ", expr)
    bare = re.sub(r"\b(by|on|group_left|without)\s*\([^)]*\)", " ", bare)
    words = set(re.findall(r"[a-zA-Z_:][\w:]*(?!\w|\s*\()", bare))
    return {word for word in words if word not in WORDS and not re.match(r"^e?\d", word)}


def queries() -> Iterator[tuple[str, str]]:
    """Return every query of dashboards and rules, and where it stands."""
    for alert in all_alerts():
        yield alert.name, alert.expr
    for rule in (*recording_rules(), *indicator_rules()):
        yield rule.record, rule.expr
    for dashboard in ALL:
        for panel in dashboard.panels:
            for query in panel.queries:
                yield f"{dashboard.uid}: {panel.title}", query.expr


@pytest.mark.parametrize("path", sorted(generated()), ids=lambda path: path.name)
def test_a_generated_file_is_up_to_date(path: Path) -> None:
    """`make monitoring` writes what is committed."""
    assert generated()[path] == path.read_text(encoding="utf-8"), "run `make monitoring`"


def test_nothing_else_lies_where_generated_files_are() -> None:
    """A dashboard that was taken out of the table is gone."""
    grafana = CHECKOUT / "deploy" / "grafana" / "dashboards"
    assert {path for path in generated() if path.parent == grafana} == set(grafana.iterdir())


def test_names_are_found_in_queries() -> None:
    """The check below would see a metric that does not exist."""
    expr = (
        'histogram_quantile(0.9, sum by (le) (rate(a_bucket{x="y z"}[5m]))) > 2 unless on (q) b:c'
    )
    assert {"a_bucket", "b:c"} == names_in(expr)


def test_rules_and_dashboards_ask_for_metrics_that_exist() -> None:
    """Every name is in the catalogue, recorded, or an exporter's."""
    unknown = {
        (where, name) for where, expr in queries() for name in names_in(expr) - known_names()
    }
    assert set() == unknown


def test_every_metric_is_looked_at() -> None:
    """What no dashboard, rule or alert asks for need not be measured; a few are for people."""
    asked = {name for _, expr in queries() for name in names_in(expr)}
    unasked = {
        info.name
        for info in catalogue()
        if not asked & {info.name, *(info.name + suffix for suffix in SUFFIXES)}
    }
    assert set() == unasked


def test_alerts_are_complete() -> None:
    """Each has words, links to a dashboard that exists, and labels for whoever is named."""
    uids = {dashboard.uid for dashboard in ALL}
    for alert in all_alerts():
        assert alert.severity in {"page", "ticket"}
        assert alert.dashboard in uids
        assert alert.summary
        assert alert.description.endswith("."), alert.name
        named = set(re.findall(r"\$labels\.(\w+)", alert.summary + alert.description))
        assert named <= set(alert.labels), alert.name
        assert alert.fires != alert.silent, alert.name


def test_alerts_for_which_there_is_a_promise_exist() -> None:
    """Each objective has an alert for a fast and for a slow burn."""
    names = {alert.name for alert in all_alerts()}
    for objective in OBJECTIVES:
        assert {f"{objective.word}BurnsFast", f"{objective.word}BurnsSlowly"} <= names


def test_the_runbook_has_each_alert_and_no_other() -> None:
    """Meaning, first look, what to do, how to verify: for whoever is paged for the first time."""
    text = (CHECKOUT / RUNBOOK).read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### (\w+)\n((?:- .*\n)+)", text, flags=re.MULTILINE))
    assert {alert.name for alert in all_alerts()} == set(sections)
    for name, section in sections.items():
        words = re.findall(r"^- \*\*([^*]+)\*\*", section, flags=re.MULTILINE)
        assert ["Means", "First look", "Do", "Verify"] == words, name


def test_an_alerts_test_has_the_texts_with_the_labels_filled_in() -> None:
    """promtool compares texts as people see them."""
    alert = Alert(
        name="Thing",
        expr="a > 0",
        hold="0s",
        severity="page",
        summary="{{ $labels.job }} broke",
        description="It did.",
        dashboard="ota-overview",
        labels={"job": "inventory"},
        fires={'a{job="inventory"}': "1x9"},
        silent={'a{job="inventory"}': "0x9"},
    )
    fires, silent = alert.tests()
    (expected,) = fires["alert_rule_test"][0]["exp_alerts"]
    assert "inventory broke" == expected["exp_annotations"]["summary"]
    assert "docs/runbook-alerts.md#thing" == expected["exp_annotations"]["runbook_url"]
    assert [] == silent["alert_rule_test"][0]["exp_alerts"]


@pytest.mark.parametrize("dashboard", list(dashboards()), ids=lambda each: each["uid"])
def test_panels_have_ids_units_and_places_of_their_own(dashboard: dict[str, object]) -> None:
    """No panel lies on another, and each says in which unit it counts."""
    panels = dashboard["panels"]
    assert isinstance(panels, list)
    assert len(panels) == len({panel["id"] for panel in panels})
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"


def test_every_curve_has_a_name() -> None:
    """A curve without a legend shows its whole expression."""
    curves: list[Query] = [
        query
        for dashboard in ALL
        for panel in dashboard.panels
        if not panel.stat
        for query in panel.queries
    ]
    assert all(query.legend for query in curves)


def test_instances_of_a_service_are_one_job() -> None:
    """Alerts and dashboards look at jobs."""
    addresses = {
        name: Address(name, "127.0.0.1", port, "OTA_X")
        for name, port in (("inventory", 1), ("inventory-2", 2), ("node", 3))
    }
    node = addresses.pop("node")
    assert {
        "inventory": ["127.0.0.1:1", "127.0.0.1:2"],
        "node": ["127.0.0.1:3"],
    } == scraped(addresses, node=node)


def test_monitoring_is_switched_off() -> None:
    """Nothing is started, and no port is taken."""
    settings = parse(environment={"OTA_MONITORING": "0"}, checkout=CHECKOUT)
    assert () == monitoring_steps(settings, settings.ops)
    assert not any("PROMETHEUS" in each.variable for each in settings.addresses)


def test_monitoring_starts_first_and_stops_first(tmp_path: Path) -> None:
    """It sees the stack come up, and tells nobody that it goes down."""
    settings = parse(environment={"OTA_DATA_DIR": str(tmp_path)}, checkout=CHECKOUT)
    addresses = [Address("ops", "127.0.0.1", port, "OTA_X") for port in (9101, 9111, 9121)]
    instances = tuple(
        Step(f"gateway-{number}", Kind.SERVER, Command((), {}, tmp_path, tmp_path), ops=address)
        for number, address in enumerate(addresses, start=1)
    )
    bare = Plan(
        cluster=None,  # type: ignore[arg-type]  # not looked at here
        broker=None,  # type: ignore[arg-type]
        infrastructure=(),
        services=(),
        instances={"gateway": instances},
        stop_order=(("gateway",),),
        seeded_marker=tmp_path,
    )
    plan = with_monitoring(bare, settings)
    names = ("prometheus", "alertmanager", "alerts", "node-exporter")
    assert names == tuple(step.name for step in plan.infrastructure)
    assert (names, ("gateway",)) == plan.stop_order
    plan.infrastructure[0].prepare()
    folder = settings.data_dir / "monitoring"
    targets = json.loads((folder / "targets.json").read_text(encoding="utf-8"))
    scraped_gateways = [each["targets"] for each in targets if each["labels"]["job"] == "gateway"]
    assert [["127.0.0.1:9101", "127.0.0.1:9111"]] == scraped_gateways, "not the spare one"
    plan.infrastructure[1].prepare()
    assert "127.0.0.1:9096/page" in (folder / "alertmanager.yml").read_text(encoding="utf-8")


def test_the_receiver_writes_a_line_for_each_alert() -> None:
    """People find in the log what would have woken them."""
    notification = {
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "Oversell", "severity": "page"},
                "annotations": {
                    "summary": "賣多了",
                    "runbook_url": "docs/runbook-alerts.md#oversell",
                },
                "startsAt": "2026-11-24T00:00:00Z",
            }
        ]
    }
    (line,) = lines("page", notification, now=datetime(2026, 11, 24, tzinfo=UTC))
    told = json.loads(line)
    assert ("alert.firing", "Oversell", "賣多了") == (told["event"], told["alert"], told["summary"])
    assert "2026-11-24T00:00:00.000000Z" == told["timestamp"]


def test_lines_of_two_notifications_do_not_run_together(tmp_path: Path) -> None:
    """Each is told on a thread of its own."""
    (port,) = free_ports(count=1)
    address = Address("alerts", "127.0.0.1", port, "OTA_ALERTS_PORT")
    alerts = [{"status": "firing", "labels": {"alertname": f"A{n}"}} for n in range(20)]
    body = json.dumps({"alerts": alerts}).encode()

    def tell(_: int) -> int:
        url = f"http://{address}/page"
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=10) as answer:
            return int(answer.status)

    words = (sys.executable, "-m", "deploy.monitoring.receiver", address.host, str(port))
    unbuffered = {**os.environ, "PYTHONUNBUFFERED": "1"}
    log = tmp_path / "alerts.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(words, cwd=CHECKOUT, env=unbuffered, stdout=out) as process,
    ):
        try:
            assert wait_until(condition=lambda: answers(address, "/"), timeout_s=20)
            with ThreadPoolExecutor(8) as pool:
                assert {200} == set(pool.map(tell, range(40)))
        finally:
            process.terminate()
    assert 800 == len([json.loads(line) for line in log.read_text().splitlines()])
