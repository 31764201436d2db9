"""Entry point of `python -m deploy.openapi`: writes the committed copies."""

from __future__ import annotations

import argparse

from deploy.openapi.documents import OPENAPI, RELEASED, generated


def main() -> None:
    """Write the generated documents; with ``--release`` also what later ones are held against."""
    parser = argparse.ArgumentParser(prog="python -m deploy.openapi", description=__doc__)
    parser.add_argument(
        "--release",
        action="store_true",
        help="make this API the released one: later breaking changes of it are found by a test",
    )
    arguments = parser.parse_args()
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.name}")
    if arguments.release:
        RELEASED.write_text(OPENAPI.read_text(encoding="utf-8"), encoding="utf-8")
        print(f"wrote {RELEASED.name}")


if __name__ == "__main__":
    main()
