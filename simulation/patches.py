"""Seeded bugs as files: a heading that tells the bug, and a unified diff that makes it.

Applied here and not by a program, so that a bare clone or an unpacked archive is enough.
A hunk must fit exactly, wherever in the file it now stands, and in one place only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("tests/mutants")
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@")


class DoesNotFit(Exception):
    """The tree has changed where a patch wants to change it: make the patch anew."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug: what it is, which layer catches it by which command, and its changes by file."""

    number: str
    title: str
    bug: str
    layer: str
    command: str
    changes: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]

    def apply(self, root: Path) -> None:
        """Put the bug into a tree; raises DoesNotFit, and then has changed nothing."""
        changed = {}
        for name, hunks in self.changes:
            path = root / name
            if not path.is_file():
                raise DoesNotFit(f"{self.number}: there is no {name}")
            text = path.read_text(encoding="utf-8")
            for before, after in hunks:
                found = text.count(before)
                if found != 1:
                    raise DoesNotFit(f"{self.number}: {name} has a hunk's lines {found} times")
                text = text.replace(before, after)
            changed[path] = text
        for path, text in changed.items():
            path.write_text(text, encoding="utf-8")


def load(folder: Path) -> list[Mutant]:
    """Return the mutants of a folder, in order of their numbers."""
    return [parse(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("M*.patch"))]


def parse(text: str) -> Mutant:
    """Read one patch; raises ValueError if its heading or diff is incomplete."""
    heading, _, diff = text.partition("\n\n")
    fields = dict(line.split(": ", 1) for line in heading.splitlines())
    missing = {"Mutant", "Title", "Bug", "Layer", "Command"} - fields.keys()
    changes = _changes(diff)
    if missing or not changes:
        raise ValueError(f"a patch without {sorted(missing) or 'changes'}: {heading!r}")
    return Mutant(
        number=fields["Mutant"],
        title=fields["Title"],
        bug=fields["Bug"],
        layer=fields["Layer"],
        command=fields["Command"],
        changes=changes,
    )


def _changes(diff: str) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    files: dict[str, list[tuple[str, str]]] = {}
    hunks: list[tuple[str, str]] = []
    for line in diff.splitlines(keepends=True):
        if line.startswith("--- a/"):
            hunks = files.setdefault(line[len("--- a/") :].strip(), [])
        elif line.startswith("+++ "):
            continue
        elif _HUNK.match(line):
            hunks.append(("", ""))
        elif hunks:
            before, after = hunks[-1]
            sign, rest = line[0], line[1:]
            hunks[-1] = (
                before + rest if sign != "+" else before,
                after + rest if sign != "-" else after,
            )
    return tuple((name, tuple(each)) for name, each in files.items() if each)
