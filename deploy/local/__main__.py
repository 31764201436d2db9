"""Entry point of `python -m deploy.local`."""

from __future__ import annotations

import sys

from deploy.local.commands import main

if __name__ == "__main__":
    sys.exit(main(arguments=sys.argv[1:]))
