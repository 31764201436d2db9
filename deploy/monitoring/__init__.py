"""Objectives, alerts and dashboards as tables, and the files that are generated from them."""
