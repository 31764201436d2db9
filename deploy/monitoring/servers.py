"""The configurations of Prometheus and Alertmanager, here and in containers from one place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

GROUP_BY: Final = ["alertname", "job"]
SCRAPE_INTERVAL: Final = "5s"
CONTAINER_TARGETS: Final = {
    "gateway": ["gateway:9101"],
    "inventory": ["inventory:9102"],
    "reservation": ["reservation:9103"],
    "fulfillment": ["fulfillment:9104"],
    "node": ["node-exporter:9100"],
}


def prometheus_config(
    *,
    rules: Sequence[str],
    targets: str,
    alertmanager: str,
    interval: str = SCRAPE_INTERVAL,
) -> str:
    """Return Prometheus' configuration; *rules* and *targets* are files, see `targets_file`.

    A target's job is the service's name, whatever its instance.
    """
    return _yaml(
        {
            "global": {"scrape_interval": interval, "evaluation_interval": interval},
            "rule_files": list(rules),
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
            "scrape_configs": [
                {
                    "job_name": "ota",
                    "file_sd_configs": [{"files": [targets], "refresh_interval": "5s"}],
                }
            ],
        }
    )


def targets_file(addresses: Mapping[str, Sequence[str]]) -> str:
    """Return the file of what is scraped: the addresses of each job's instances."""
    groups = [{"targets": list(where), "labels": {"job": job}} for job, where in addresses.items()]
    return json.dumps(groups, indent=1) + "\n"


def alertmanager_config(*, receiver: str) -> str:
    """Return Alertmanager's configuration; *receiver* is the URL that notifications go to.

    The receiver that comes with the stack only logs. In production, put your pager and your
    ticket system in the places of the two.
    """
    return _yaml(
        {
            "route": {
                "receiver": "ticket",
                "group_by": GROUP_BY,
                "group_wait": "30s",
                "group_interval": "5m",
                "repeat_interval": "12h",
                "routes": [
                    {
                        "matchers": ['severity="page"'],
                        "receiver": "page",
                        "group_wait": "5s",
                        "group_interval": "1m",
                        "repeat_interval": "1h",
                    }
                ],
            },
            "receivers": [
                {
                    "name": name,
                    "webhook_configs": [{"url": f"{receiver}/{name}", "send_resolved": True}],
                }
                for name in ("page", "ticket")
            ],
            # The louder alert of a cause silences the quieter one.
            "inhibit_rules": [
                {
                    "source_matchers": [f'alertname="{loud}"'],
                    "target_matchers": [f'alertname="{quiet}"'],
                    "equal": equal,
                }
                for loud, quiet, equal in (
                    ("ExpiryStopped", "ExpiryLate", []),
                    ("DiskFull", "DiskNearlyFull", ["instance", "mountpoint"]),
                    ("PartnerFloods", "PartnerAtLimit", ["partner_id"]),
                    ("DatabaseUnreachable", "DatabaseSlow", ["job"]),
                    ("DatabaseUnreachable", "PartitionFailing", ["job"]),
                    ("BrokerUnreachable", "PartitionFailing", ["job"]),
                    ("PartitionHalted", "PartitionFailing", ["job", "partition"]),
                )
            ],
        }
    )


def _yaml(content: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(dict(content), sort_keys=False, width=100)
    return text
