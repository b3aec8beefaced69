"""Kinds: what they do unless they say otherwise, and what it costs to know them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rung.evaluation.tasks import KINDS, register
from rung.evaluation.tasks.kind import list_of


def test_a_name_can_be_taken_once() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        register(KINDS["generation"])


def test_names_stand_in_the_line_or_each_on_its_own() -> None:
    assert list_of(("a", "b")) == " a, b."
    assert list_of(("a, b", "c"), "\n") == "\na, b\nc"


def test_understanding_a_file_loads_nothing_heavy() -> None:
    code = (
        "import sys; import rung.evaluation.tasks; "
        "print([m for m in ('torch', 'transformers', 'scipy', 'sacrebleu') if m in sys.modules])"
    )
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
