"""docs/security.md says which test shows what; those tests are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import test_bad_cases
import test_bad_input

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([^`\n]+)`", PAGE)
CASES = {
    "test_bad_input": test_bad_input.CASES,
    "test_model_folders": test_bad_cases.MODELS,
    "test_adapter_folders": test_bad_cases.ADAPTERS,
    "test_run_folders": test_bad_cases.RUNS,
}


@pytest.mark.parametrize("name", sorted(name for name in set(NAMED) if re.search(r"(^|/)test_", name)))
def test_each_test_on_the_page_is_there(name: str) -> None:
    if name.endswith(".py"):
        assert list(TESTS.rglob(Path(name).name))
        assert "/" not in name or (TESTS.parent / name).is_file()
        return
    function, _, case = name.removesuffix("]").partition("[")
    assert any(f"def {function}(" in file.read_text(encoding="utf-8") for file in TESTS.rglob("test_*.py"))
    assert not case or case in CASES[function]


def test_cases_named_alone_are_there() -> None:
    alone = [name[1:-1] for name in NAMED if name.startswith("[")]
    assert alone
    assert set(alone) <= set(test_bad_input.CASES)


@pytest.mark.parametrize(
    "threat", ["Data files", "Model folders", "Adapters", "The terminal", "Chat templates"]
)
def test_each_threat_has_its_tests(threat: str) -> None:
    part = PAGE.split(f"## {threat}\n", 1)[1].split("\n## ", 1)[0]
    assert re.search(r"`(tests/|test_)", part)
