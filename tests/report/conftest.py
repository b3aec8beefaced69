"""Run folders for the tests of the report."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The module beside this file that writes run folders."""
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
