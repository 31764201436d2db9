"""The console command ``ota-admin``: its groups, and the help that teaches it.

Each module beside this one exports its commands as ``COMMANDS``.
"""

from __future__ import annotations

from typing import Any

from libs.runtime.cli import Command, run_command
from services.gateway.admin.audit import COMMANDS as AUDIT_COMMANDS
from services.gateway.admin.dead_letters import COMMANDS as LETTER_COMMANDS
from services.gateway.admin.keys import COMMANDS as KEY_COMMANDS
from services.gateway.admin.ledger import COMMANDS as STOCK_COMMANDS
from services.gateway.admin.operators import COMMANDS as OPERATOR_COMMANDS
from services.gateway.admin.partners import COMMANDS as PARTNER_COMMANDS
from services.gateway.admin.personal import COMMANDS as DATA_COMMANDS

COMMANDS: tuple[Command[Any], ...] = (
    *PARTNER_COMMANDS,
    *KEY_COMMANDS,
    *STOCK_COMMANDS,
    *DATA_COMMANDS,
    *AUDIT_COMMANDS,
    *LETTER_COMMANDS,
    *OPERATOR_COMMANDS,
)

GROUPS = {
    "partner": "who may call: create, list, change, suspend and resume partners",
    "key": "API keys: issue, list, rotate, expire and revoke them",
    "directory": "the record behind partners and keys: check it, make the tables from it",
    "stock": "units: allot, stop and resume sales, cap a partner, release its holds",
    "data": "customers' personal data: erase it, change the master key",
    "audit": "who did what, and what was refused",
    "dead-letter": "commands that could not be read or decided: look at them, try one again",
    "operator": "who may sign in to the console, and what was done there",
}
"""A sentence for each group of commands, in the order of this list's modules."""

EPILOG = """\
the usual jobs:
  a new partner, and its first key (shown once: send it by a safe way)
      ota-admin partner create harbour --name "Harbour Travel" --channel ota --calls 300 \\
          --permission inventory:read --permission reserve:create \\
          --permission reserve:activate --permission orders:read
      ota-admin key issue harbour
  a new key for a partner that sells: the old one goes on for a day
      ota-admin key rotate harbour --overlap 24h
  a key that has leaked, by its id (the 8 characters after otak_)
      ota-admin key revoke 3f9k2m1x
  a partner that must stop at once, what it holds given back, and that may go on later
      ota-admin partner suspend harbour
      ota-admin stock release harbour
      ota-admin partner resume harbour
  a product that must not be sold for a while
      ota-admin stock stop 106 ota --reason storm
      ota-admin stock resume 106 ota
  a customer who wants to be forgotten: the address is typed in, not kept by the shell
      ota-admin data erase --email -
  what a partner was refused lately
      ota-admin audit search --partner harbour --since 1h --status 4xx
  a way into the console, for once: prints an address to open
      ota-admin operator add wing.lam --role operator
  who is there, and which keys are in use
      ota-admin partner list
      ota-admin key list --json

`ota-admin GROUP --help` lists a group's commands, `ota-admin GROUP COMMAND --help` explains one.
Every gateway follows a change within 2 seconds and need not be restarted, save after `directory
rebuild`. Every change is recorded for good with who made it: your user name, or --as NAME.

settings: OTA_ variables of the environment, the same as the gateway's (.env.example describes
them all). Most commands need OTA_GATEWAY_DSN, those that make keys OTA_API_KEY_PEPPER too; one
that lacks a variable names it. On the local stack: make admin ARGS="partner list"."""


def cli() -> None:
    """Run the console command; raises SystemExit with its exit code."""
    raise SystemExit(
        run_command(
            program="ota-admin",
            description="Runs the partner platform: partners, keys, stock, records.",
            commands=COMMANDS,
            groups=GROUPS,
            epilog=EPILOG,
            default=None,
        )
    )
