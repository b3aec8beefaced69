"""Climb, predict and tune survive faults of the disk: every seventh operation of the loop in benchmarks/.

The whole loop is a benchmark with a record (docs/reliability.md).
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from rung import storage
from shell import SOURCE

BENCHMARKS = SOURCE.parent / "benchmarks"
# The loop, with a disk on which files are written in their place.
BROKEN = """
import runpy, sys
from contextlib import contextmanager
from rung import storage

@contextmanager
def in_its_place(path):
    with storage.explained(path):
        storage.make_folder(path.parent)
        yield path

storage._replacing = in_its_place
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def loop(folder: Path, *arguments: str, code: str | None = None) -> tuple[int, dict[str, Any]]:
    """Exit code and record of the loop; `code` runs it in another way."""
    script, record = str(BENCHMARKS / "storage.py"), folder / "record.json"
    given = [script, "--work", str(folder / "work"), "--record", str(record), *arguments]
    done = subprocess.run(
        [sys.executable, *(["-c", code, *given] if code else given)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), str(BENCHMARKS)])},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert record.exists(), done.stdout + done.stderr
    return done.returncode, json.loads(record.read_text())


def test_every_seventh_operation(tmp_path: Path) -> None:
    code, record = loop(tmp_path, "--every", "7")
    for command in ("climb", "predict", "tune"):
        found = record["commands"][command]
        assert found["findings"] == [], command
        assert found["refused"] == [], command
        tries = sum(found["tries"].values())
        assert found["ended_the_same"] == tries == -(-found["operations"] // 7) > 1
    assert code == 0
    kinds = {kind for one in record["commands"].values() for kind in one["operations_by_kind"]}
    assert kinds == {
        "append",
        "fsync",
        "lock",
        "mkdir",
        "open",
        "rename",
        "rmdir",
        "unlink",
        "write",
    }


def test_the_loop_can_fail(tmp_path: Path) -> None:
    code, record = loop(tmp_path, "--command", "predict", code=BROKEN)
    assert code == 1
    assert record["commands"]["predict"]["findings"]


@pytest.fixture
def left_behind(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("left_behind")


def test_times_may_differ_and_nothing_else(tmp_path: Path, left_behind: Any) -> None:
    for name, value in (("a", 0.5), ("b", 0.5), ("c", 0.6)):
        result = {"metrics": [{"value": value}], "cost": {"seconds": ord(name)}, "finished": name}
        storage.write_json(tmp_path / name / "result.json", result)
        storage.write_file(tmp_path / name / "rows.jsonl", "1\n")
    a, b, c = (left_behind.promised(tmp_path / name) for name in "abc")
    assert left_behind.differences(a, b) == []
    assert left_behind.differences(a, c) == ["result.json is different"]
    storage.write_file(tmp_path / "b" / ".rows.jsonl.7.tmp", "1")
    (tmp_path / "b" / "rows.jsonl").unlink()
    b = left_behind.promised(tmp_path / "b")
    assert left_behind.differences(a, b) == [".rows.jsonl.7.tmp is left", "rows.jsonl is missing"]


TENSOR = b'{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'
WHOLE = {
    "a.json": b"{}",
    "a.jsonl": b"1\n2\n",
    "events.jsonl": b"1\n2",
    "out.csv.partial": b"01234567 1\n01234567 2",
    "a.safetensors": struct.pack("<Q", len(TENSOR)) + TENSOR + b"12",
    "report.html": b"<html></html>\n",
}

CUT = {"out.csv.partial": b"01234567 {\n01234567 2"}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_is_cut_is_seen(name: str, tmp_path: Path, left_behind: Any) -> None:
    (tmp_path / name).write_bytes(WHOLE[name])
    assert left_behind.half_files(tmp_path, {}) == []
    cut = (
        WHOLE[name][:-1]
        if name.endswith((".json", ".safetensors"))
        else CUT.get(name, WHOLE[name][:-9] or b"1\n{\n2")
    )
    (tmp_path / name).write_bytes(cut)
    assert left_behind.half_files(tmp_path, {}) == [name]


def test_a_cut_folder_and_a_cut_output_are_seen(tmp_path: Path, left_behind: Any) -> None:
    storage.write_folder(tmp_path / "f", {"a.bin": b"12"})
    (tmp_path / "out.csv").write_bytes(b"1\n")
    outputs = {"out.csv": storage.sha256_bytes(b"1\n")}
    assert left_behind.half_files(tmp_path, outputs) == []
    (tmp_path / "f" / "a.bin").write_bytes(b"1")
    (tmp_path / "out.csv").write_bytes(b"1")
    assert left_behind.half_files(tmp_path, outputs) == ["f/manifest.json", "out.csv"]


def test_the_page_holds_the_figures_of_the_record() -> None:
    record = json.loads((BENCHMARKS / "results" / "storage.json").read_text())
    page = (SOURCE.parent / "docs" / "reliability.md").read_text()
    assert record["every"] == 1
    for command, found in record["commands"].items():
        tries = sum(found["tries"].values())
        figures = (found["operations"], tries, found["ended_the_same"])
        shown = " | ".join(f"{number:,}" for number in figures)
        assert f"| `rung {command}` | {shown} | {len(found['refused'])} | {len(found['findings'])} |" in page
    assert f"({record['date']}, {record['machine']['processor']}" in page
