"""A method of another package, found by its entry point: it passes the contract, has a rung and climbs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import letters

TESTS = Path(__file__).parents[1]
FILE = Path(__file__).with_name("scaling_method.py")
LINE = "scaling = scaling_method:METHOD"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with the package as an installer leaves it."""
    folder = tmp_path / "site"
    about = folder / "our_scaling-1.0.dist-info"
    about.mkdir(parents=True)
    shutil.copy(FILE, folder)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: our-scaling\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[rung.methods]\n{LINE}\n")
    return folder


def run(installed: Path, *command: str) -> str:
    """What a Python with the package prints. Fails where it fails."""
    paths = [str(installed), str(TESTS.parent / "src"), str(TESTS)]
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_it_passes_the_contract_of_all_methods(installed: Path) -> None:
    suite = "tests/contract/test_methods.py"
    said = run(installed, "-m", "pytest", suite, "-k", "scaling", "-rA", "-p", "no:cacheprovider")
    assert len(re.findall(r"^PASSED .*scaling", said, re.MULTILINE)) > 30


def test_it_is_in_the_table_and_on_the_ladder(installed: Path) -> None:
    code = (
        "from rung.methods import METHODS; from rung.ladder.rungs import RUNGS\n"
        "rung = RUNGS['scaling']\n"
        "print(list(METHODS)[-1], rung.name, rung.kind, rung.method, rung.on_request, 'scaling' in RUNGS)\n"
        "print(METHODS['scaling'].make({'targets': 'q_proj,k_proj'}).targets)"
    )
    assert run(installed, "-c", code).splitlines() == [
        "scaling scaling tune scaling True True",
        "('q_proj', 'k_proj')",
    ]


def test_it_climbs_and_answers_from_its_files(installed: Path, letters_csv: Path, tmp_path: Path) -> None:
    settings = letters.FAST | {"rungs": "scaling", "rank": None, "output": str(tmp_path / "run")}
    code = (
        "from rung.ladder.climb import climb; from rung.ladder.predictor import load\n"
        f"climbed = climb({str(letters_csv)!r}, scaling={{'targets': 'down_proj,up_proj'}}, **{settings!r})\n"
        "(result,) = climbed.results\n"
        "print(result.rung, result.status, result.cost.trainable_parameters, result.applied['targets'])\n"
        "print(len(load(climbed.folder, 'scaling').predict([{'text': 'mmbrst'}])))"
    )
    said = run(installed, "-c", code).splitlines()
    assert said[-2].startswith("scaling ok ")
    assert said[-2].endswith("['down_proj', 'up_proj']")
    assert said[-1] == "1"
