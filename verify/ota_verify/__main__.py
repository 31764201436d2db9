"""Runs the command as ``python -m ota_verify``."""

from ota_verify.cli import main

if __name__ == "__main__":
    main()
