"""The task of a file, understood once: on written rows and on the real data sets where they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rows_of import loaded_of, of_targets, rows, task_of
from rung.data import read_examples, sample
from rung.errors import DataError, UsageError
from rung.evaluation.tasks import KINDS, tidy, understand, unreadable
from rung.records import from_json, to_json

SHARED = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("sentiment-reviews/train.csv", "classification"),
        ("extraction-snips/train.jsonl", "extraction"),
        ("translation-en-fr/train.jsonl", "translation"),
        ("api-kubectl/train.jsonl", "api_call"),
        ("api-torchhub/train.json", "api_call"),
        ("instructions-broad/train.jsonl", "generation"),
        ("knowledge-authors/train.jsonl", "knowledge"),
    ],
)
def test_real_data_is_understood_whole_and_in_part(file: str, kind: str) -> None:
    if not (SHARED / file).exists():
        pytest.skip(f"shared/data/{file} is not on this machine")
    loaded = read_examples(SHARED / file)
    for part in (loaded.examples, sample(loaded.examples, 200, 0), sample(loaded.examples, 40, 1)):
        task, _ = understand(replace(loaded, examples=tuple(part)))
        assert task.kind == kind
        assert set(KINDS[kind].metrics) <= set(task.metrics)
        assert f"{len(part):,}" in task.why
        names = {"classification": task.labels, "extraction": task.fields, "api_call": task.functions}
        assert all(bool(found) == (key == kind) for key, found in names.items() if kind != "translation")
        if kind == "translation":
            assert task.fields == ("English", "French")


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_task_can_be_forced(kind: str) -> None:
    task = task_of(of_targets('{"a": 1}', "f(x=1)", "yes"), kind)
    assert task.kind == kind
    assert set(KINDS[kind].metrics) <= set(task.metrics)
    assert task.why.endswith(": asked for.")
    expected = {
        "classification": (set(task.labels), {'{"a": 1}', "f(x=1)", "yes"}),
        "extraction": (task.fields, ("a",)),
        "api_call": (task.functions[:1], ("f",)),
    }
    found, wanted = expected.get(kind, (task.labels + task.functions, ()))
    assert found == wanted


def test_unknown_tasks_and_no_rows_are_refused() -> None:
    with pytest.raises(
        UsageError,
        match=r"Did you mean 'classification'.*Known: preferences, extraction, multi_label",
    ):
        task_of(of_targets("yes"), "clasification")
    for empty, what in (([], "there are no examples"), (of_targets(" ", times=3), "every target is empty")):
        with pytest.raises(DataError, match=what):
            task_of(empty)


def test_the_primary_metric_is_the_one_asked_for() -> None:
    loaded = loaded_of(of_targets("yes", "no", times=20))
    assert understand(loaded, metric="macro_f1")[0].metrics == ("macro_f1", "accuracy")
    with pytest.raises(UsageError, match=r"has no metric 'chrf'.*Its metrics: accuracy, macro_f1"):
        understand(loaded, metric="chrf")


def test_rows_without_a_target_say_nothing_about_the_task() -> None:
    blank = of_targets("yes", "no", times=10) + of_targets(" ", times=20)
    task, loaded = understand(loaded_of(blank))
    assert (task.kind, set(task.labels)) == ("classification", {"no", "yes"})
    assert "20 of 20 targets" in task.why
    assert len(loaded.examples) == 40
    assert unreadable(task, blank) == []


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_task_survives_its_way_to_disk(kind: str) -> None:
    task = task_of(rows([("a", '{"a": 1}'), ("b", '{"a": 2.5}'), ("c", "f(x=1)")]), kind)
    assert from_json(type(task), to_json(task)) == task


def test_tidy_leaves_rows_as_they_are_where_nothing_changes() -> None:
    examples = tuple(of_targets("yes", "no", times=20))
    assert tidy(task_of(examples), examples) == examples
