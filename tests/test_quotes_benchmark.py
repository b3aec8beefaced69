"""The benchmark of quotes: what it collects from climbs, against numbers worked out by hand."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def quotes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("common", "quotes"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("quotes")
    monkeypatch.setattr(module, "FILE", tmp_path / "quotes.json")
    monkeypatch.setattr(module, "PICTURE", tmp_path / "quotes.svg")
    return module


def pair(quoted: float, low: float | None, high: float | None, measured: float) -> dict[str, Any]:
    return {"quoted": quoted, "low": low, "high": high, "measured": measured}


def run_in(folder: Path, seconds: float = 110.0) -> Path:
    (folder / "results").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"started": "2027-01-01T00:00:00Z"}))
    quote = {"seconds": 100.0, "low": 75.0, "high": 125.0, "memory_bytes": 1000}
    done = {"rung": "lora", "kind": "tune", "status": "ok", "base": "tiny", "quote": quote}
    done["cost"] = {"seconds": seconds, "peak_memory_bytes": 1200}
    gone = {"rung": "full", "status": "skipped", "quote": {"seconds": None}, "cost": {"seconds": None}}
    for one in (done, gone):
        (folder / "results" / f"{one['rung']}.json").write_text(json.dumps(one))
    return folder


def test_rungs_that_ended_are_collected_without_paths(quotes: ModuleType, tmp_path: Path) -> None:
    (found,) = quotes.collect(run_in(tmp_path / "reviews"))
    assert (found["climb"], found["rung"]) == ("reviews", "lora")
    assert found["seconds"] == pair(100.0, 75.0, 125.0, 110.0)
    assert found["memory"] == pair(1000, None, None, 1200)
    assert str(tmp_path) not in json.dumps(found)
    with pytest.raises(SystemExit, match="not the folder of a climb"):
        quotes.collect(tmp_path)


def test_shares_widths_and_ratios(quotes: ModuleType) -> None:
    pairs = [pair(100, 80, 120, 110), pair(100, 90, 110, 150), pair(10, None, None, 8)]
    found = quotes.summary(pairs, 0.25)
    assert (found["rungs"], found["inside"]) == (3, 0.5)
    assert found["near"] == pytest.approx(2 / 3)
    assert found["width"] == pytest.approx(0.3)
    assert (found["ratio"], found["least"], found["most"]) == pytest.approx((1.1, 0.8, 1.5))
    assert quotes.summary([], 0.25)["ratio"] is None


def test_quotes_by_formulas_that_are_gone_do_not_count(quotes: ModuleType) -> None:
    old = {"kind": "tune", "started": "2026-11-01", "seconds": pair(1, 1, 1, 1), "memory": pair(1, 1, 1, 1)}
    new = old | {"started": "2027-01-01"}
    assert len(quotes.current([old, new], "memory", "tune")) == 1
    assert len(quotes.current([old, new], "seconds")) == 2
    assert quotes.current([old | {"kind": "prompt"}], "seconds") == []


def test_a_climb_takes_the_place_of_its_older_record(quotes: ModuleType, tmp_path: Path) -> None:
    quotes.main([run_in(tmp_path / "one" / "reviews"), run_in(tmp_path / "mail")])
    quotes.main([run_in(tmp_path / "two" / "reviews", seconds=140.0)])
    record = json.loads(quotes.FILE.read_text())
    assert [(one["climb"], one["seconds"]["measured"]) for one in record["rungs"]] == [
        ("mail", 110.0),
        ("reviews", 140.0),
    ]
    assert record["summary"]["seconds"]["tune"]["inside"] == 0.5
    assert quotes.PICTURE.is_file()
    assert "| seconds, tune | 2 | 50% | 50% | 0.50 | 1.25 (1.10 to 1.40) |" in quotes.table(record)
