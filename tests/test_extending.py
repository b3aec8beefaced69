"""Every snippet of docs/extending.md runs, and what it adds takes part in a climb."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import letters
from rung import storage
from rung.evaluation.metrics import METRICS
from rung.evaluation.tasks import KINDS
from rung.ladder.climb import climb
from rung.ladder.rungs import RUNGS

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
SNIPPETS = dict(
    zip(
        re.findall(r"^## (.+)$", PAGE, re.MULTILINE),
        re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL),
        strict=True,
    )
)
SETTINGS = letters.FAST | {"budget": "1h"}


@pytest.fixture(autouse=True)
def _registries(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (RUNGS, METRICS, KINDS):
        monkeypatch.setattr(registry, "_items", dict(registry.items()))


def run(*titles: str) -> None:
    for title in titles:
        exec(compile(SNIPPETS[title], f"docs/extending.md: {title}", "exec"), {"__name__": "extending"})


def test_a_rung_from_outside_climbs_without_a_base(letters_csv: Path, tmp_path: Path) -> None:
    run("A rung")
    settings = SETTINGS | {"base": "owner/no-such-base", "rungs": "commonest"}
    climbed = climb(letters_csv, output=tmp_path / "run", **settings)
    (result,) = climbed.results
    assert (result.status, result.kind, result.method, result.order) == (
        "ok",
        "floor",
        "commonest",
        len(RUNGS) - 1,
    )
    assert (result.base, climbed.info.base, climbed.info.applied["precision"]) == ("", "", None)
    answers = storage.read_jsonl(climbed.folder / "predictions" / "commonest.jsonl")
    assert len({answer["text"] for answer in answers}) == 1
    saved = RUNGS["commonest"].load(climbed.folder / "answer" / "commonest")
    assert saved.answer([]) == []
    assert saved.text == answers[0]["text"]  # type: ignore[attr-defined]


def test_a_rung_from_outside_climbs_with_the_others(letters_csv: Path, tmp_path: Path) -> None:
    run("A rung")
    climbed = climb(letters_csv, output=tmp_path / "run", **SETTINGS | {"rungs": "zero-shot,commonest"})
    assert [(one.rung, one.status) for one in climbed.results] == [("zero-shot", "ok"), ("commonest", "ok")]
    assert len({sum(one.counts.values()) for one in climbed.results}) == 1


def test_a_rung_that_is_not_for_the_task_is_skipped_where_it_is_named(tmp_path: Path) -> None:
    run("A rung")
    rows = [{"prompt": f"say {i}", "completion": f"word {i} and {i * 7}"} for i in range(40)]
    data = letters.write_jsonl(tmp_path / "x.jsonl", rows)
    settings = SETTINGS | {"rungs": "commonest,zero-shot"}
    named = {one.rung: one for one in climb(data, output=tmp_path / "run", **settings).results}
    assert named["zero-shot"].status == "ok"
    assert (named["commonest"].status, named["commonest"].reason) == ("skipped", "it is not for generation")


def test_a_metric_and_a_task_from_outside_are_measured(tmp_path: Path) -> None:
    run("A metric", "A task")
    rows = [{"prompt": f"{i} plus {i}", "completion": str(2 * i)} for i in range(60)]
    data = letters.write_jsonl(tmp_path / "x.jsonl", rows)
    climbed = climb(data, output=tmp_path / "run", **SETTINGS | {"task": "number", "rungs": "zero-shot"})
    assert climbed.info.task.kind == "number"
    off, exact = climbed.results[0].metrics
    assert (off.name, off.unit, off.higher_is_better, exact.name) == ("off", "points", False, "exact_match")
    assert off.value is not None


def test_a_column_name_is_a_word_in_the_table() -> None:
    run("A column name")


def test_a_method_from_outside_is_the_one_that_passes_the_contract() -> None:
    """See tests/third_party, where it is installed, checked and climbed with."""
    file = Path(__file__).parent / "third_party" / "scaling_method.py"
    assert SNIPPETS["A method of your own"] == file.read_text(encoding="utf-8")
    run("A method of your own")
    (line,) = re.findall(r"^scaling = \"(.+)\"$", PAGE, re.MULTILINE)
    assert line == "scaling_method:METHOD"
