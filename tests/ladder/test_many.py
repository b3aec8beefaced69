"""Several files: an adapter for each against one for all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import letters
from contexts import Saying
from rung.config import make_settings
from rung.errors import ResourceError, UsageError
from rung.ladder import many
from rung.ladder.many import ALL, Many, Part, Side, climb_many, mixture_data, sentence
from rung.ladder.understood import understand_data
from rung.records import Comparison, Measure

QUICK: dict[str, Any] = letters.FAST | {"epochs": 2, "rungs": "zero-shot"}


def words(path: Path, count: int = 60) -> Path:
    rows = [{"prompt": f"say {word}", "completion": f"{word} {word}"} for word, _ in letters.rows(count, 7)]
    return letters.write_jsonl(path, rows)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("many")
    return [letters.write_csv(folder / "one.csv", 80), words(folder / "all.jsonl")]


def test_files_share_a_table_and_nothing_is_done_twice(files: list[Path], tmp_path: Path) -> None:
    found = climb_many(files, output=tmp_path / "out", **QUICK)
    assert isinstance(found, Many)
    assert [part.name for part in found.parts] == ["one", "all-2"]  # "all" is the mixture's folder
    assert [part.kind for part in found.parts] == ["classification", "generation"]
    for part in found.parts:
        assert part.difference is not None
        assert part.difference.difference.n == part.test_rows
        assert part.alone.measure is not None
        assert part.all.measure is not None
        assert part.all.measure.n == part.test_rows
        assert part.prompt == "zero-shot"
        assert 0 < (part.alone.bytes or 0) <= (part.all.bytes or 0)  # of half of the layers, and of all
        assert part.alone.forgot is not None
        assert set(part.starts) == {"one", "all-2"} - {part.name}
    record = json.loads((tmp_path / "out" / "many.json").read_text())
    assert record["folder"] == "out"  # no absolute path
    assert found.sentence == record["sentence"]
    results = sorted((tmp_path / "out").glob("*/results/*.json"))
    before = [path.read_bytes() for path in results]
    again = climb_many(files, output=tmp_path / "out", **QUICK)
    assert [path.read_bytes() for path in results] == before
    assert [part.all for part in again.parts] == [part.all for part in found.parts]


def test_no_test_row_of_any_file_is_in_the_mixture(files: list[Path], tmp_path: Path) -> None:
    copy = words(tmp_path / "copy.jsonl", 50)  # the first rows of the other file
    settings = make_settings(QUICK)
    data = [understand_data(path, settings) for path in (*files, copy)]
    mixed = mixture_data(["a", "b", "c"], data, settings)
    from rung.ladder.divide import divide

    parts = divide(mixed, settings).split
    held = {row.prompt for row in parts.test}
    assert held
    assert not held & {row.prompt for row in (*parts.train, *parts.dev)}
    assert {row.source for row in parts.train} == {"a", "b"}  # every row of c is one of b's
    assert len({row.row for row in (*mixed.loaded.examples, *parts.test)}) >= len(mixed.loaded.examples)


def test_what_there_was_no_time_for_is_said(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = QUICK | {"budget": "600s", "output": tmp_path / "out"}
    shares = {0: 120.0}
    monkeypatch.setattr(many, "share_of", lambda budget, spent, done, files: shares.get(done))
    monkeypatch.setattr(many, "for_all", lambda *_: None)
    watcher = Saying()
    found = climb_many(files, watcher=watcher, **asked)
    assert [part.name for part in found.parts] == ["one"]
    assert found.parts[0].all.why == "not tuned"
    assert found.notes == (
        "all-2 was not measured: the files before it took the time of their half",
        "no adapter for all was tuned: the adapters of the files took the time",
    )
    assert set(found.notes) <= set(watcher.said)
    assert found.sentence.startswith("Nothing can be compared")
    shares[1] = 120.0
    monkeypatch.setattr(many, "for_all", lambda *_: 120.0)
    monkeypatch.setattr(many, "score", lambda *_: {})
    found = climb_many(files, **asked)
    assert [part.name for part in found.parts] == ["one", "all-2"]
    assert found.notes == ("the adapter for all was not measured on one, all-2: the budget was used up",)


def test_a_part_of_the_budget_that_does_for_no_rung_leaves_the_file_out(
    files: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ResourceError, match="too small for any of the files"):
        climb_many(files, output=tmp_path / "out", **QUICK | {"budget": "0.01s"})


def test_dev_chooses_the_mixture_of_files_and_the_record_has_it(files: list[Path], tmp_path: Path) -> None:
    found = climb_many(files, output=tmp_path / "out", **QUICK | {"mix": "dev", "epochs": 1})
    kept = json.loads((tmp_path / "out" / "all" / "mixture.json").read_text())
    assert found.mix == f"dev, {kept['chosen']}"
    assert set(kept["tried"]) >= {"proportional", "temperature=2"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "full"}, "leaves none"),
        ({"splits": 3}, "--splits do not go together"),
        ({"mix": "even"}, "'mix' cannot be"),
    ],
)
def test_what_several_files_cannot_have(files: list[Path], settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        climb_many(files, **QUICK | settings)


def test_a_file_is_given_once(files: list[Path]) -> None:
    with pytest.raises(UsageError, match="given twice"):
        climb_many([files[0], files[0]], **QUICK)


def test_the_sentence_follows_the_comparisons() -> None:
    side = Side()
    difference = Comparison(ALL, "alone", Measure("accuracy", 0.0))
    same = Part("a", "a.csv", "classification", 9, 9, "", None, side, side, difference, "")
    worse, better = replace(same, name="w", better="alone"), replace(same, name="g", better=ALL)
    assert sentence([same, same]).startswith("One adapter for all does as well, as far as 2 files can tell")
    assert sentence([same, better]).startswith("One adapter for all: it is clearly better on g")
    assert sentence([same, worse, better]) == (
        "An adapter for each: the one for all is clearly worse on w, and clearly better on g."
    )
    assert sentence([replace(same, difference=None)]).startswith("Nothing can be compared")
    assert "1 could not be compared" in sentence([same, replace(same, difference=None)])
