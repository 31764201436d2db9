"""The seeded bugs still fit the tree, and putting one in changes just what it says."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

from simulation.mutants import LAYERS, catcher, left, write_report
from simulation.patches import FOLDER, DoesNotFit, Mutant, load, parse

ROOT = Path(__file__).parents[2]
MUTANTS = load(ROOT / FOLDER)
REQUIRED = [f"M{number:02}" for number in range(1, 13)]
PATCH = """Mutant: M99
Title: Two is three
Bug: Sums are wrong.
Layer: L1
Command: python -m simulation

--- a/sums.py
+++ b/sums.py
@@ -1,3 +1,3 @@
 def two():
-    return 2
+    return 3

"""


def test_the_twelve_are_there() -> None:
    """M1 to M12 of the plan, and none twice."""
    numbers = [mutant.number for mutant in MUTANTS]
    assert REQUIRED == numbers[:12]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.number)
def test_patch_fits_the_tree(mutant: Mutant, tmp_path: Path) -> None:
    """Whoever changes a guarded line makes the patch anew; the product must stay readable."""
    tree = tmp_path / "tree"
    for package in {name.split("/")[0] for name, _ in mutant.changes}:
        copytree(ROOT / package, tree / package, ignore=ignore_patterns("__pycache__"))
    mutant.apply(tree)
    for name, _ in mutant.changes:
        text = (tree / name).read_text(encoding="utf-8")
        compile(text, name, "exec")
        assert text != (ROOT / name).read_text(encoding="utf-8")


def test_patch_fits_in_one_place_only(tmp_path: Path) -> None:
    """It moves with its lines, and refuses to guess."""
    mutant = parse(PATCH)
    path = tmp_path / "sums.py"
    path.write_text("import os\n\n\ndef two():\n    return 2\n\n", encoding="utf-8")
    mutant.apply(tmp_path)
    assert "import os\n\n\ndef two():\n    return 3\n\n" == path.read_text(encoding="utf-8")
    with pytest.raises(DoesNotFit, match="0 times"):
        mutant.apply(tmp_path)
    path.write_text("def two():\n    return 2\n\n" * 2, encoding="utf-8")
    with pytest.raises(DoesNotFit, match="2 times"):
        mutant.apply(tmp_path)


def test_whoever_says_so_has_caught_it() -> None:
    """A broken promise of the simulation, a failed test, or the judges of a power cut."""
    told = "control: ...\ncaught by every promised hold is there; ota_verify\nres_1: not there\n"
    assert ("every promised hold is there; ota_verify", "res_1: not there") == catcher(told)
    assert ("I1 oversell", "seed 3: by 1") == catcher("seed 3 breaks I1 oversell: by 1\n")
    assert "" == catcher("It took 12 s to work again\n")[0]


def test_what_was_not_run_is_not_called_caught(tmp_path: Path) -> None:
    """It says why, in the table too."""
    result = left(load(ROOT / FOLDER)[3], "a power cut needs root")
    write_report([result], tmp_path, commit={"id": "a" * 40, "changed_files": True})
    text = (tmp_path / "mutants.md").read_text(encoding="utf-8")
    assert "| **not run** | a power cut needs root |" in text
    assert "Commit aaaaaaaaaaaa with changes: 0 of 1 caught." in text


def test_every_layer_is_asked_by_default() -> None:
    """`make mutants` leaves no bug to another command."""
    assert {each.layer for each in MUTANTS} <= set(LAYERS)


def test_patch_without_a_heading_is_refused() -> None:
    """Each says what it is about, and who catches it how."""
    with pytest.raises(ValueError, match="Layer"):
        parse(PATCH.replace("Layer: L1\n", ""))
