"""Run folders for the tests of the report."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The module next to this file that writes run folders."""
    spec = importlib.util.spec_from_file_location("fake_run", Path(__file__).with_name("fake_run.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tickets(fake: ModuleType, tmp_path: Path) -> Path:
    """A finished classification run."""
    folder: Path = fake.classification_run(tmp_path / "tickets")
    return folder


@pytest.fixture
def receipts(fake: ModuleType, tmp_path: Path) -> Path:
    """A finished extraction run whose full rung failed."""
    folder: Path = fake.extraction_run(tmp_path / "receipts")
    return folder


@pytest.fixture
def hostile(fake: ModuleType, tmp_path: Path) -> Path:
    """A run whose prompts, answers and notes hold attacks."""
    folder: Path = fake.classification_run(tmp_path / "hostile", hostile=True)
    return folder


@pytest.fixture
def add_regrets() -> Callable[[Path], None]:
    """Puts regrets and what would help into the verdict of a run folder."""

    def add(folder: Path) -> None:
        path = folder / "verdict.json"
        verdict = json.loads(path.read_text())
        verdict["regrets"] = [
            {"rung": "few-shot", "expected": 0.233, "chance": 0.0},
            {"rung": "lora", "expected": 0.0042, "chance": 0.968},
        ]
        helps = ["Train LoRA longer.", "A larger base."]
        path.write_text(json.dumps(verdict | {"tolerance": 0.01, "certainty": "clear", "helps": helps}))

    return add
