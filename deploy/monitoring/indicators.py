"""The product's own indicators as recording rules: utilisation, activation, revenue and others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from deploy.monitoring.alert import Rule
from deploy.monitoring.objectives import REQUESTS

OPERATORS_EVENTS: Final = "|".join(
    f"ota.inventory.{name}"
    for name in (
        *("allotment_set", "sales_stopped", "sales_resumed", "partner_cap_set"),
        "catalogue_published",
    )
)
_ENDED: Final = "ota_holds_ended_total"


def indicator_rules() -> Iterator[Rule]:
    """Return the rules; what counts over time does so over the last day."""
    for name, by in (("channel", "channel"), ("product", "product_id, channel")):
        yield Rule(
            record=f"ota:{name}_utilisation:ratio",
            expr=f"(sum by ({by}) (ota_inventory_held_units)"
            f" + sum by ({by}) (ota_inventory_sold_units))"
            f" / sum by ({by}) (ota_inventory_allotted_units)",
        )
    for name, by in (("channel", "channel"), ("partner", "partner_id")):
        for word, ending in (("activation", "activated"), ("expiry", "expired")):
            yield Rule(
                record=f"ota:{name}_{word}:ratio1d",
                expr=f'sum by ({by}) (increase({_ENDED}{{ending="{ending}"}}[1d]))'
                f" / sum by ({by}) (increase({_ENDED}[1d]))",
            )
        yield Rule(
            record=f"ota:{name}_revenue:increase1d",
            expr=f"sum by ({by}, currency) (increase(ota_revenue_total[1d]))",
        )
    yield Rule(
        record="ota:hold_duration_seconds:mean1d",
        expr="sum by (ending) (increase(ota_hold_duration_seconds_sum[1d]))"
        " / sum by (ending) (increase(ota_hold_duration_seconds_count[1d]))",
    )
    yield Rule(
        record="ota:price_consistency:ratio1d",
        expr="1 - sum(increase(ota_price_mismatches_total[1d]))"
        " / sum(increase(ota_price_checks_total[1d]))",
    )
    yield Rule(
        record="ota:endpoint_errors:ratio5m",
        expr="(sum by (http_route, http_request_method)"
        f' (rate({REQUESTS}_count{{http_response_status_code=~"5.."}}[5m]))'
        f" or 0 * sum by (http_route, http_request_method) (rate({REQUESTS}_count[5m])))"
        f" / sum by (http_route, http_request_method) (rate({REQUESTS}_count[5m]))",
    )
    yield Rule(
        record="ota:answers_within_2s:ratio1d",
        expr=f'sum(increase({REQUESTS}_bucket{{le="2.0"}}[1d]))'
        f" / sum(increase({REQUESTS}_count[1d]))",
    )
    yield Rule(
        record="ota:availability:ratio1d",
        expr='1 - slo:sli_error:ratio_rate1d{sloth_slo="availability"}',
    )
    yield Rule(
        record="ota:partner_calls:increase1d",
        expr="sum by (partner_id) (increase(ota_partner_calls_total[1d]))",
    )
    yield Rule(
        record="ota:manual_interventions:increase1d",
        expr=f'sum(increase(ota_events_appended_total{{type=~"{OPERATORS_EVENTS}"}}[1d]))'
        " + max(ota_directory_version) - max(min_over_time(ota_directory_version[1d]))",
    )
