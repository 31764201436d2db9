"""The dashboards of the business: partners, and what is sold."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.panels import Dashboard, curves, figure, quantile, rate

PARTNER: Final = Dashboard(
    uid="ota-partner",
    title="OTA: partner",
    about="One partner, or several: its calls, its limit, its holds and its money.",
    variable=("partner_id", "ota_partner_calls_total"),
    panels=(
        figure("Calls, 1 day", 'sum(ota:partner_calls:increase1d{partner_id=~"$partner_id"})'),
        figure(
            "Activation rate, 1 day",
            'avg(ota:partner_activation:ratio1d{partner_id=~"$partner_id"})',
            "percentunit",
            thresholds=(0.7,),
            low_is_bad=True,
        ),
        figure(
            "Expiry rate, 1 day",
            'avg(ota:partner_expiry:ratio1d{partner_id=~"$partner_id"})',
            "percentunit",
            thresholds=(0.5,),
        ),
        figure(
            "Revenue, 1 day",
            'sum(ota:partner_revenue:increase1d{partner_id=~"$partner_id"})',
            "currencyHKD",
        ),
        figure("Held units", 'sum(ota_partner_held_units{partner_id=~"$partner_id"})'),
        figure(
            "Keys confirmed, seconds ago",
            "max(ota_directory_unconfirmed_seconds)",
            "s",
            thresholds=(10,),
        ),
        curves(
            "Calls by outcome",
            (
                rate(
                    "ota_partner_calls_total", "partner_id, outcome", '{partner_id=~"$partner_id"}'
                ),
                "{{partner_id}} {{outcome}}",
            ),
            unit="reqps",
        ),
        curves(
            "Limit and what is left of it",
            (
                'max by (partner_id) (ota_partner_limit_calls{partner_id=~"$partner_id"})',
                "{{partner_id}} limit",
            ),
            (
                'min by (partner_id) (ota_partner_remaining_calls{partner_id=~"$partner_id"})',
                "{{partner_id}} left",
            ),
            about="Calls in 60 seconds.",
        ),
        curves(
            "Refused by a limit",
            (rate("ota_calls_over_limit_total", "limit"), "by {{limit}}"),
            unit="reqps",
        ),
        curves(
            "Held units",
            (
                (
                    "sum by (partner_id, product_id)"
                    ' (ota_partner_held_units{partner_id=~"$partner_id"})'
                ),
                "{{partner_id}} {{product_id}}",
            ),
        ),
        curves(
            "Holds made and ended",
            (
                rate("ota_holds_opened_total", "partner_id", '{partner_id=~"$partner_id"}'),
                "{{partner_id}} made",
            ),
            (
                rate("ota_holds_ended_total", "partner_id, ending", '{partner_id=~"$partner_id"}'),
                "{{partner_id}} {{ending}}",
            ),
        ),
        curves(
            "Activation rate, 1 day",
            ('ota:partner_activation:ratio1d{partner_id=~"$partner_id"}', "{{partner_id}}"),
            unit="percentunit",
        ),
        curves(
            "Revenue, 1 day",
            ('ota:partner_revenue:increase1d{partner_id=~"$partner_id"}', "{{partner_id}}"),
            unit="currencyHKD",
        ),
        curves(
            "Changes of partners and keys",
            ("max(ota_directory_version)", "version of the directory"),
        ),
    ),
)

BUSINESS: Final = Dashboard(
    uid="ota-business",
    title="OTA: business",
    about="What is sold, by whom, and how well the stock is used.",
    panels=(
        figure(
            "Utilisation, lowest channel",
            "min(ota:channel_utilisation:ratio)",
            "percentunit",
            thresholds=(0.8,),
            low_is_bad=True,
            about="Held and sold of what is allotted; aim: more than 80 %.",
        ),
        figure(
            "Activation rate, lowest channel, 1 day",
            "min(ota:channel_activation:ratio1d)",
            "percentunit",
            thresholds=(0.7,),
            low_is_bad=True,
            about="Aim: more than 70 %.",
        ),
        figure(
            "Expiry rate, highest channel, 1 day",
            "max(ota:channel_expiry:ratio1d)",
            "percentunit",
            thresholds=(0.5,),
        ),
        figure("Revenue, 1 day", "sum(ota:channel_revenue:increase1d)", "currencyHKD"),
        figure(
            "Prices alike, 1 day",
            "ota:price_consistency:ratio1d",
            "percentunit",
            thresholds=(1,),
            low_is_bad=True,
        ),
        figure("Manual interventions, 1 day", "ota:manual_interventions:increase1d"),
        curves(
            "Utilisation by channel",
            ("ota:channel_utilisation:ratio", "{{channel}}"),
            unit="percentunit",
        ),
        curves(
            "Utilisation by product",
            ("ota:product_utilisation:ratio", "{{product_id}} {{channel}}"),
            unit="percentunit",
        ),
        curves(
            "Available units",
            (
                "sum by (product_id, channel) (ota_inventory_available_units)",
                "{{product_id}} {{channel}}",
            ),
        ),
        curves(
            "Held units",
            (
                "sum by (product_id, channel) (ota_inventory_held_units)",
                "{{product_id}} {{channel}}",
            ),
        ),
        curves(
            "Sold units",
            (
                "sum by (product_id, channel) (ota_inventory_sold_units)",
                "{{product_id}} {{channel}}",
            ),
        ),
        curves(
            "Sales open",
            ("min by (product_id, channel) (ota_inventory_selling)", "{{product_id}} {{channel}}"),
        ),
        curves(
            "Open holds",
            ('sum(ota_holds_open{job="reservation"})', "open"),
            ("sum(ota_holds_due)", "past their deadline"),
        ),
        curves(
            "How late holds expire",
            (quantile(0.99, "ota_hold_expiry_delay_seconds", "le"), "p99"),
            ("max(ota_hold_overdue_seconds)", "the oldest that is due"),
            unit="s",
        ),
        curves(
            "How long holds last, mean of a day",
            ("ota:hold_duration_seconds:mean1d", "{{ending}}"),
            unit="s",
        ),
        curves(
            "Activation and expiry by channel, 1 day",
            ("ota:channel_activation:ratio1d", "{{channel}} activated"),
            ("ota:channel_expiry:ratio1d", "{{channel}} expired"),
            unit="percentunit",
        ),
        curves(
            "Revenue by channel, 1 day",
            ("ota:channel_revenue:increase1d", "{{channel}}"),
            unit="currencyHKD",
        ),
        curves(
            "Revenue by partner, 1 day",
            ("ota:partner_revenue:increase1d", "{{partner_id}}"),
            unit="currencyHKD",
        ),
        curves("Calls by partner, 1 day", ("ota:partner_calls:increase1d", "{{partner_id}}")),
        curves(
            "Orders a second",
            (rate("ota_orders_total", "product_id, channel"), "{{product_id}} {{channel}}"),
        ),
    ),
)
