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


@pytest.fixture
def add_forgetting() -> Callable[[Path], None]:
    """Puts a bound, strengths, what kept the base, a forecast and ranges of quotes into a run folder."""

    def add(folder: Path) -> None:
        run = folder / "run.json"
        value = json.loads(run.read_text())
        value["applied"]["max_forgetting"] = 0.1
        run.write_text(json.dumps(value))
        kept = {"kl_penalty": 1.0, "replay": 0.0, "general_share": 0.1, "general_texts": 64}
        for rung, strength in (("lora", 0.4321), ("full", 1.0)):
            path = folder / "results" / f"{rung}.json"
            result = json.loads(path.read_text())
            result["applied"] |= kept | {"strength": strength}
            result["forecast"] = {"value": 0.85, "low": 0.8, "high": 0.9, "chance": 0.93}
            result["forecast"] |= {"best": "few-shot", "bar": 0.62}
            result["dev"] = {"name": "accuracy", "value": 0.875, "low": 0.81, "high": 0.93, "n": 120}
            result["quote"] |= {"low": 244.0, "high": 407.0, "memory_low": 1.2e9, "memory_high": 1.7e9}
            if rung == "lora":
                result["tradeoffs"] = [
                    {"strength": 0.4321, "loss": 0.512, "kl": 0.0123, "taken": True},
                    {"strength": 1.0, "loss": 0.508, "kl": 0.2},
                ]
                result["notes"] = [
                    "its change was weakened to 0.43 of its strength: it forgot 0.012 instead of 0.200 nats "
                    "a token; its dev loss is 0.512 instead of 0.508 nats a row"
                ]
            for name in ("memory_low", "memory_high"):
                result["quote"][name] = int(result["quote"][name])
            path.write_text(json.dumps(result))

    return add
