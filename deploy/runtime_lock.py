"""Cuts a part out of requirements.lock, hashes and all: what some packages need, and nothing else.

The lock is made for everything that developers use. An image has no use for linters and tests,
and `pip install --require-hashes` cannot choose; so the part is followed along the lock's own
"via" notes.
Standard library only, because it runs before anything is installed.

    python deploy/runtime_lock.py pyproject.toml requirements.lock            what the services need
    python deploy/runtime_lock.py --extras otel pyproject.toml requirements.lock          and extras
    python deploy/runtime_lock.py --only hatchling,... pyproject.toml requirements.lock
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path


class LockError(Exception):
    """The lock does not have what is asked of it: make it again with `make lock`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One package of the lock: its lines as they stand, and who asks for it."""

    text: str
    wanted_by: frozenset[str]


def canonical(name: str) -> str:
    """Return a package's name in the one spelling that indexes compare (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse(*, lock: str) -> dict[str, Entry]:
    """Return the entries of a lock by package name."""
    entries = {}
    for block in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE):
        if (head := re.match(r"[A-Za-z0-9_.-]+(?===)", block)) is None:
            continue
        notes = " ".join(re.findall(r"^ +# +(.*)$", block, flags=re.MULTILINE))
        names = re.sub(r"\([^)]*\)", "", notes.removeprefix("via")).split()
        entries[canonical(head[0])] = Entry(block, frozenset(map(canonical, names)))
    return entries


def needed(*, entries: dict[str, Entry], roots: set[str]) -> set[str]:
    """Return the roots and all that they need, directly or not.

    Raises LockError on a root that the lock does not have.
    """
    if missing := roots - entries.keys():
        raise LockError(f"not in the lock: {', '.join(sorted(missing))} (run `make lock`)")
    found = set(roots)
    while more := {
        name for name, entry in entries.items() if entry.wanted_by & found and name not in found
    }:
        found |= more
    return found


def runtime_roots(*, pyproject: str, extras: Collection[str] = ()) -> set[str]:
    """Return the packages that pyproject.toml names as dependencies of services and *extras*.

    Raises LockError on an extra that there is not.
    """
    project = tomllib.loads(pyproject)["project"]
    optional = project.get("optional-dependencies", {})
    if missing := set(extras) - optional.keys():
        raise LockError(f"pyproject.toml has no extra {', '.join(sorted(missing))}")
    requirements = [*project["dependencies"], *(each for name in extras for each in optional[name])]
    return {canonical(re.split(r"[^A-Za-z0-9_.-]", each, maxsplit=1)[0]) for each in requirements}


def main() -> int:
    """Print the part of the lock."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="roots between commas, in place of the services' needs")
    parser.add_argument("--extras", default="", help="extras between commas, beside those needs")
    parser.add_argument("pyproject", type=Path)
    parser.add_argument("lock", type=Path)
    given = parser.parse_args()
    entries = parse(lock=given.lock.read_text(encoding="utf-8"))
    try:
        roots = (
            set(map(canonical, given.only.split(",")))
            if given.only
            else runtime_roots(
                pyproject=given.pyproject.read_text(encoding="utf-8"),
                extras=list(filter(None, given.extras.split(","))),
            )
        )
        chosen = needed(entries=entries, roots=roots)
    except LockError as error:
        print(error, file=sys.stderr)
        return 1
    print("".join(entries[name].text for name in sorted(chosen)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
