"""``python -m ota_checker DIR``: judge an export, print a table, exit 1 if it is violated."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from ota_checker.checking import check
from ota_checker.prefix import stories
from ota_checker.reading import Export, Unreadable
from ota_checker.report import as_json, as_markdown, as_text
from ota_checker.verdicts import INVARIANTS


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ota_checker",
        description="Decide I1-I24 from what a run has left behind (docs/history.md).",
        epilog="Exit codes: 0 nothing is violated, 1 something is, 2 the input can't be read.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the export")
    parser.add_argument("--logs", type=Path, help="a folder whose files are searched for canaries")
    parser.add_argument(
        "--json", type=Path, help="where the report goes as JSON (DIR/checked.json)"
    )
    parser.add_argument("--markdown", type=Path, help="and as Markdown (DIR/checked.md)")
    parser.add_argument("--only", help="judge only these invariants, as in I1,I3")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Run the program and return its exit code."""
    asked = _arguments(words)
    only = tuple(asked.only.split(",")) if asked.only else tuple(INVARIANTS)
    if unknown := [name for name in only if name not in INVARIANTS]:
        print(f"there is no invariant {', '.join(unknown)}; there are I1 to I24", file=sys.stderr)
        return 2
    started = time.monotonic()
    try:
        verdicts = check(folder=asked.folder, logs=asked.logs)
        verdicts.figures["seconds"] = round(time.monotonic() - started, 1)
        told = stories(export=Export(asked.folder), verdicts=verdicts, only=only)
    except Unreadable as error:
        print(f"this export can't be read: {error}", file=sys.stderr)
        return 2
    json_file = asked.json or asked.folder / "checked.json"
    json_file.write_text(as_json(verdicts, told, only), encoding="utf-8")
    markdown_file = asked.markdown or asked.folder / "checked.md"
    markdown_file.write_text(as_markdown(verdicts, told, only), encoding="utf-8")
    print(as_text(verdicts, told, only))
    return int(any(verdicts.state(name) == "violated" for name in only))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
