"""Lets the console run as ``python -m services.gateway.admin``."""

from services.gateway.admin.cli import cli

cli()
