"""A real Prometheus over the running stack: every panel shows something, an alert gets through."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from deploy.local.monitoring import RULES, monitoring_steps
from deploy.local.ports import free_ports
from deploy.local.settings import CHECKOUT, MONITORING, Settings, parse
from deploy.monitoring.dashboards import ALL, dashboards
from tests.support.agency import Agency
from tests.support.deciders import Deciders, ops_page
from tests.support.servers import ServerProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

CUSTOMER = {
    "customer_details": {
        "name": "陳大文",
        "email": "tai.man.chan@example.com",
        "phone": "+852 9123 4567",
    },
    "customer_type": "adult",
}
ROUNDS_MAX = 60
FULL_TIMEOUT_S = 120.0
RATE_WINDOW = "20s"


class Watch:
    """Prometheus and what belongs to it, over the services of the tests."""

    def __init__(self, deciders: Deciders, folder: Path) -> None:
        names = [variable for _, _, variable in MONITORING]
        ports = dict(zip(names, map(str, free_ports(count=len(names))), strict=True))
        for name, process in deciders.processes.items():
            ports[f"OTA_{name.upper()}_OPS_PORT"] = str(process.ops.port)
        environment = {**os.environ, **ports, "OTA_DATA_DIR": str(folder), "OTA_MONITORING": "1"}
        self.settings: Settings = parse(environment=environment, checkout=CHECKOUT)
        self.processes = {
            step.name: ServerProcess(
                step.name, command=step.command, prepare=step.prepare, probe=step.probe
            )
            for step in monitoring_steps(self.settings, self.settings.ops)
        }

    def start(self) -> None:
        """Start everything, and let Prometheus look each second."""
        for name, process in self.processes.items():
            process.prepare()
            if name == "prometheus":
                self._hurry()
                process.prepare = lambda: None
            process.start()
        for process in self.processes.values():
            process.wait_ready()

    def _hurry(self) -> None:
        folder = self.settings.data_dir / "monitoring"
        for name in RULES:
            rules = yaml.safe_load(
                (CHECKOUT / "deploy" / "prometheus" / name).read_text(encoding="utf-8")
            )
            for group in rules["groups"]:
                group["interval"] = "1s"
            (folder / name).write_text(yaml.safe_dump(rules), encoding="utf-8")
        file = folder / "prometheus.yml"
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
        config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(folder / name) for name in RULES]
        file.write_text(yaml.safe_dump(config), encoding="utf-8")

    def stop(self) -> None:
        """End everything."""
        for process in self.processes.values():
            process.kill()

    async def ask(self, session: aiohttp.ClientSession, path: str, **query: str) -> Any:
        """Return the data of an answer of Prometheus."""
        url = f"http://{self.settings.monitoring['prometheus']}/api/v1/{path}"
        async with session.get(url, params=query) as response:
            answer = await response.json()
        assert "success" == answer["status"], (query, answer)
        return answer["data"]

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """The lines that the receiver has written."""
        log = self.processes["alerts"].log
        text = log.read_text(encoding="utf-8") if log.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def watch(platform: Deciders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """Prometheus, Alertmanager and the receiver, watching the four processes."""
    made = Watch(platform, tmp_path_factory.mktemp("watch"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


async def play_round(agency: Agency, number: int) -> None:
    """Do a little of everything that a partner does, mistakes too."""
    products = (106, 107, 108)
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat().replace("+00:00", "Z")
    await agency.reserve(products[number % 3], 1, reservation_expires_at=soon)
    repeated = f"again-{number}"
    bought, cancelled = [
        (await agency.reserve(products[number % 3], 2, key=key)).json["reservation_id"]
        for key in (repeated, f"cancel-{number}")
    ]
    await agency.reserve(products[number % 3], 2, key=repeated)
    body = {**CUSTOMER, "payment_reference": f"PAY-{number}"}
    sold = await agency.call("POST", f"/reservations/{bought}/activate", body)
    assert 201 == sold.status
    assert 204 == (await agency.call("DELETE", f"/reservations/{cancelled}")).status
    await agency.call("GET", "/orders")
    await agency.call("GET", "/reservations/res_unknown")


def is_empty(result: list[dict[str, Any]]) -> bool:
    """Say whether a query has found nothing that could be drawn."""
    return all(math.isnan(float(series["value"][1])) for series in result)


async def empty_panels(watch: Watch, session: aiohttp.ClientSession) -> list[str]:
    """Return the queries of all dashboards that find nothing."""
    empty = []
    for dashboard in ALL:
        for panel in dashboard.panels:
            for query in panel.queries:
                expr = query.expr.replace("$__rate_interval", RATE_WINDOW)
                data = await watch.ask(session, "query", query=expr.replace("$partner_id", ".*"))
                if is_empty(data["result"]):
                    empty.append(f"{dashboard.uid}: {panel.title}: {expr}")
    for document in dashboards():
        for variable in document["templating"]["list"]:
            if variable["type"] == "query" and not await choices(watch, session, variable):
                empty.append(f"{document['uid']}: choice of {variable['name']}")
    return empty


async def choices(
    watch: Watch, session: aiohttp.ClientSession, variable: Mapping[str, Any]
) -> list[str]:
    """Return what Grafana lets people choose from for a variable of a dashboard."""
    asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
    assert asked is not None, variable
    found: list[str] = await watch.ask(session, f"label/{asked[2]}/values", **{"match[]": asked[1]})
    return found


async def test_every_panel_shows_something(
    watch: Watch, deciders: Deciders, agency: Agency
) -> None:
    """Under a little load no query of any dashboard is empty, and slow calls name their trace."""
    async with aiohttp.ClientSession() as session:
        empty: list[str] = ["nothing was asked yet"]
        deadline = time.monotonic() + FULL_TIMEOUT_S
        for number in range(ROUNDS_MAX):
            await play_round(agency, number)
            await asyncio.sleep(1)  # a partner's pace, within its limit
            if number % 5 == 4:
                empty = await empty_panels(watch, session)
            if not empty or time.monotonic() > deadline:
                break
        assert [] == empty
        nothing = await watch.ask(session, "query", query="ota_no_such_metric")
        assert is_empty(nothing["result"]), "the control: what is not there is seen to be empty"
        wrong = {"query": {"query": "label_values(ota_no_such_metric, partner_id)"}}
        assert [] == await choices(watch, session, wrong), "the control for choices"
        targets = await watch.ask(session, "targets", state="active")
        assert {"up"} == {target["health"] for target in targets["activeTargets"]}
        reached = await watch.ask(session, "query", query="ota_dependency_up == 1")
        assert 8 == len(reached["result"]), "four services, each with its database and the broker"
        exemplars = await watch.ask(
            session,
            "query_exemplars",
            query="http_server_request_duration_seconds_bucket",
            start=str(time.time() - 300),
            end=str(time.time()),
        )
        (trace_id, *_) = [
            each["labels"]["trace_id"] for series in exemplars for each in series["exemplars"]
        ]
        assert 32 == len(trace_id)
    await check_figures(deciders)


async def check_figures(deciders: Deciders) -> None:
    """What the services show of themselves is true after the load."""
    pages = {
        name: values(await ops_page(process, "/metrics"))
        for name, process in deciders.processes.items()
    }
    inventory, fulfillment = pages["inventory"], pages["fulfillment"]
    sold = 0.0
    for product, allotted in (("106", 2000), ("107", 1500), ("108", 1500)):
        pool = f'{{channel="ota",product_id="{product}"}}'
        figures = {
            word: inventory[f"ota_inventory_{word}_units{pool}"]
            for word in ("allotted", "available", "held", "sold")
        }
        assert allotted == figures["allotted"]
        assert allotted == figures["available"] + figures["held"] + figures["sold"]
        sold += figures["sold"]
    assert sold == fulfillment["ota_tickets_issued_total"]
    assert 0 == fulfillment["ota_price_mismatches_total"] < fulfillment["ota_price_checks_total"]
    assert 0 == inventory["ota_chain_breaks_total"]


def values(page: str) -> Mapping[str, float]:
    """Return the samples of a page by name and labels."""
    lines = [line for line in page.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_a_killed_service_is_told_of(watch: Watch, deciders: Deciders) -> None:
    """From kill -9 to the receiver's line: Prometheus, Alertmanager and the route are joined."""
    process = deciders.processes["fulfillment"]

    async def firing() -> list[dict[str, Any]]:
        return [
            line
            for line in watch.alerts
            if (line["alert"], line["event"]) == ("ServiceDown", "alert.firing")
        ]

    async with aiohttp.ClientSession() as session:

        async def scraped() -> Any:
            data = await watch.ask(session, "query", query='up{job="fulfillment"} == 1')
            return data["result"]

        await eventually(scraped)
    os.kill(process.pid, signal.SIGKILL)
    process.wait_exit()
    try:
        (line, *_) = await eventually(firing, timeout_s=90)
    finally:
        await deciders.restart("fulfillment")
    assert ("page", "fulfillment") == (line["severity"], line["labels"]["job"])
    assert "docs/runbook-alerts.md#servicedown" == line["runbook_url"]


async def test_a_changed_event_is_told_of(watch: Watch, deciders: Deciders, agency: Agency) -> None:
    """Somebody with the database's highest role changes an event; it comes last in this module."""
    held = await agency.reserve(108, 1)
    reservation_id = held.json["reservation_id"]
    database = deciders.env["OTA_INVENTORY_DSN"].rpartition("/")[2]
    deciders.stack.cluster.run_sql(
        script=f"UPDATE event SET data = replace(data, '\"quantity\":1', '\"quantity\":2')"
        f" WHERE subject = '{reservation_id}'",
        database=database,
    )

    async def firing() -> bool:
        data = await watch.ask(session, "alerts")
        return any(
            (alert["labels"]["alertname"], alert["labels"]["job"]) == ("ChainBroken", "inventory")
            for alert in data["alerts"]
        )

    async with aiohttp.ClientSession() as session:
        await eventually(firing, timeout_s=60)
