"""The objectives of the service level, and the rules that burn-rate alerts are made of.

Windows and factors are those of Google's SRE workbook; the recorded names are sloth's, so that
dashboards made for it fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from deploy.monitoring.alert import Alert, Rule

REQUESTS: Final = "http_server_request_duration_seconds"
WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
FAILURES_MIN: Final = 10
# Severity, and the pairs of windows with how many times too fast the budget burns in both.
BURNS: Final = (
    ("page", (("5m", "1h", 14.4), ("30m", "6h", 6.0))),
    ("ticket", (("2h", "1d", 3.0), ("6h", "3d", 1.0))),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """So much of what is asked must go well; *bad* and *total* are rates over ``WINDOW``."""

    name: str
    word: str
    promise: str
    target: float
    bad: str
    total: str
    dashboard: str
    # Series in which ten calls a minute fail, for the alerts' own tests.
    failing: Mapping[str, str]

    @property
    def labels(self) -> str:
        """Return the labels by which its recorded series are found."""
        return f'{{sloth_service="ota",sloth_slo="{self.name}"}}'


def _slower(seconds: str, selector: str = "") -> tuple[str, str]:
    total = f"sum(rate({REQUESTS}_count{{{selector}}}[WINDOW]))"
    edge = f'{selector}{"," if selector else ""}le="{seconds}"'
    within = f"sum(rate({REQUESTS}_bucket{{{edge}}}[WINDOW]))"
    return f"({total} - {within})", total


_SLOW, _ALL = _slower("2.0")
_RESERVE = '{http_route="/api/ota/reserve",http_request_method="POST"}'
_SLOW_RESERVES, _RESERVES = _slower("0.5", _RESERVE.strip("{}"))

OBJECTIVES: Final = (
    Objective(
        name="availability",
        word="Availability",
        promise="99.9 % of calls are answered without a fault of ours (5xx)",
        target=0.999,
        bad=f'sum(rate({REQUESTS}_count{{http_response_status_code=~"5.."}}[WINDOW]))',
        total=_ALL,
        dashboard="ota-overview",
        failing={f'{REQUESTS}_count{{http_response_status_code="503"}}': "0+10x1000"},
    ),
    Objective(
        name="latency",
        word="Latency",
        promise="99 % of calls are answered within 2 s",
        target=0.99,
        bad=_SLOW,
        total=_ALL,
        dashboard="ota-overview",
        failing={
            f"{REQUESTS}_count": "0+10x1000",
            f'{REQUESTS}_bucket{{le="2.0"}}': "0x1000",
        },
    ),
    Objective(
        name="reserve-latency",
        word="ReserveLatency",
        promise="99 % of reserves are answered within 0.5 s",
        target=0.99,
        bad=_SLOW_RESERVES,
        total=_RESERVES,
        dashboard="ota-pipeline",
        failing={
            f"{REQUESTS}_count{_RESERVE}": "0+10x1000",
            f'{REQUESTS}_bucket{_RESERVE.replace("}", ",")}le="0.5"}}': "0x1000",
        },
    ),
    Objective(
        name="expiry",
        word="Expiry",
        promise="99 % of holds that run out give their units back within 5 s",
        target=0.99,
        bad="(sum(rate(ota_hold_expiry_delay_seconds_count[WINDOW]))"
        ' - sum(rate(ota_hold_expiry_delay_seconds_bucket{le="5.0"}[WINDOW])))',
        total="sum(rate(ota_hold_expiry_delay_seconds_count[WINDOW]))",
        dashboard="ota-business",
        failing={
            "ota_hold_expiry_delay_seconds_count": "0+10x1000",
            'ota_hold_expiry_delay_seconds_bucket{le="5.0"}': "0x1000",
        },
    ),
)


def recording_rules() -> Iterator[Rule]:
    """Return each objective's share of failures in each window."""
    for objective in OBJECTIVES:
        labels = {"sloth_service": "ota", "sloth_slo": objective.name}
        for window in WINDOWS:
            expr = f"{objective.bad} / {objective.total}".replace("WINDOW", window)
            # Nothing asked, nothing failed: a quiet night burns no budget.
            yield Rule(
                record=f"slo:sli_error:ratio_rate{window}",
                expr=f"({expr}) >= 0 or vector(0)",
                labels=labels,
            )
        yield Rule(
            record="slo:error_budget:ratio", expr=f"vector({1 - objective.target:g})", labels=labels
        )


def burn_alerts() -> Iterator[Alert]:
    """Return two alerts for each objective: the budget burns fast (page), or too fast (ticket)."""
    for objective in OBJECTIVES:
        budget = 1 - objective.target
        for severity, pairs in BURNS:
            burns = " or ".join(
                " and ".join(
                    f"slo:sli_error:ratio_rate{window}{objective.labels} > {factor * budget:g}"
                    for window in (short, long)
                )
                for short, long, factor in pairs
            )
            # A single failure of a quiet hour is no incident.
            failures = objective.bad.replace("WINDOW", "1h")
            expr = f"({burns}) and on () {failures} * 3600 >= {FAILURES_MIN}"
            fast = severity == "page"
            name = f"{objective.word}Burns{'Fast' if fast else 'Slowly'}"
            burning = f"{pairs[0][2] * budget * 1.5:g}x1000"
            quiet = f"{budget * 0.5:g}x1000"
            recorded = [
                f"slo:sli_error:ratio_rate{window}{objective.labels}"
                for window in dict.fromkeys(each for pair in pairs for each in pair[:2])
            ]
            # In the short window only: over already, or a single bad moment.
            moment = {recorded[0]: burning, **dict.fromkeys(recorded[1:], quiet)}
            yield Alert(
                name=name,
                expr=expr,
                hold="1m" if fast else "5m",
                severity=severity,
                summary=f"The error budget of {objective.name} burns"
                f" {'fast' if fast else 'too fast'}",
                description=f"Promised: {objective.promise}. At this pace the month's budget is"
                f" gone within {'days' if fast else 'weeks'}.",
                dashboard=objective.dashboard,
                labels={"sloth_service": "ota", "sloth_slo": objective.name},
                fires={**dict.fromkeys(recorded, burning), **objective.failing},
                silent={**moment, **objective.failing},
                at="8m",
                interval="1m",
            )
