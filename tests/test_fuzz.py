"""Damaged files are read or refused with an error of rung's own (`make fuzz` tries many more)."""

from __future__ import annotations

import json
import random
import zipfile
from io import BytesIO
from itertools import islice
from pathlib import Path

import pytest

import fuzz
from damage import damaged
from fuzz import READERS, counts, inputs, try_reader
from fuzz_readers import Reader

TOTAL = 12_000  # inputs; about 30 seconds
SEED = 1


@pytest.fixture(autouse=True)
def _surroundings(own_cache: Path) -> None:
    """Keeps the user's cache out of it."""


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused(name: str) -> None:
    count = max(counts(TOTAL)[name], 3)
    tally = try_reader(name, SEED, lambda tally: tally.tried < count)
    assert tally.findings == []
    assert tally.tried == count == tally.read + tally.refused
    if count >= 50:
        assert 0.02 * count < tally.read < 0.98 * count  # no single check refuses everything


def failing(error: BaseException) -> Reader:
    def fails(folder: Path) -> None:
        if (folder / "a").read_bytes() != b"0123456789":
            raise error

    return Reader(fails, lambda: [{"a": b"0123456789"}], ("a",), 1)


@pytest.mark.parametrize(
    "error", [KeyError("x"), SystemExit(0), type("PanicException", (BaseException,), {})()]
)
def test_what_else_is_raised_is_a_finding(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, "failing", failing(error))
    tally = try_reader("failing", SEED, lambda tally: tally.tried < 9)
    assert len(tally.findings) == 9 - tally.read
    assert tally.findings[0].startswith(f"{type(error).__name__} in test_fuzz.py:")


def test_findings_are_kept_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(READERS, "failing", failing(KeyError("x")))
    tally = try_reader("failing", SEED, lambda tally: tally.tried < 9, tmp_path / "found")
    (file,) = (tmp_path / "found").iterdir()
    assert tally.findings == [f"{tally.findings[0].split(': ')[0]}: 'x': {file.name}"]


def test_an_input_that_takes_too_long_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(folder: Path) -> None:
        content = (folder / "a").read_bytes()
        while content != b"0123456789":
            pass

    monkeypatch.setattr(fuzz, "MOST_SECONDS", 0.05)
    monkeypatch.setitem(READERS, "endless", Reader(endless, lambda: [{"a": b"0123456789"}], ("a",), 1))
    tally = try_reader("endless", SEED, lambda tally: tally.tried < 2)
    assert len(tally.findings) == 2 - tally.read
    assert tally.findings[0].startswith("Hang in ")


def test_the_seed_fixes_every_input() -> None:
    def first(seed: int) -> list[fuzz.Input]:
        return list(islice(inputs(READERS["csv"], "csv", seed), 20))

    assert first(1) == first(1) != first(2)


def test_counts_follow_the_shares() -> None:
    found = counts(1_000_000)
    assert sum(found.values()) == pytest.approx(1_000_000, rel=0.001)
    assert found["csv"] > found["excel"] > found["gguf"]
    assert set(counts(1).values()) == {1}


def many(content: bytes, count: int = 2000) -> list[bytes]:
    chance = random.Random(1)
    return [damaged(content, [content], chance) for _ in range(count)]


def test_json_is_changed_inside() -> None:
    found = []
    for one in many(b'{"size": 8, "names": ["a", "b"], "inner": {"on": true}}'):
        try:
            found.append(json.loads(one.decode()))
        except (ValueError, RecursionError):
            continue
    sizes = [str(one["size"]) for one in found if isinstance(one, dict) and "size" in one]
    assert {"-1", "0", "None", "nan", "[8]", "-8"} <= set(sizes)
    assert any("size" not in one for one in found if isinstance(one, dict))


def test_what_holds_the_json_is_right_again() -> None:
    header = b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
    content = len(header).to_bytes(8, "little") + header + b"1234"
    kept = [one for one in many(content) if one.endswith(b"}1234") and one != content]
    fitting = [one for one in kept if len(one) == 12 + int.from_bytes(one[:8], "little")]
    assert len(fitting) > 500
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"0123456789" * 9)
    whole = 0
    for one in many(buffer.getvalue(), 50):
        try:
            whole += zipfile.ZipFile(BytesIO(one)).testzip() is None and one != buffer.getvalue()
        except (zipfile.BadZipFile, ValueError):
            continue
    assert whole > 10
