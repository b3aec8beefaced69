"""Base and adapter side by side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import letters
from rung import storage
from rung.errors import AdapterError, DataError
from rung.ladder.answer_by import WRITING
from rung.ladder.climb import Climbed
from rung.ladder.compare import evaluate
from rung.ladder.tune import tune
from rung.ladder.watch import Silent
from rung.records import Completion, Example

ASKED = {"base": "tiny", "precision": "fp32", "threads": 1}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows no climb has seen."""
    return letters.write_csv(tmp_path_factory.mktemp("fresh") / "fresh.csv", 60, seed=9)


@pytest.fixture
def adapter(climbed: Climbed) -> Path:
    return climbed.folder / "adapters" / "lora"


def writing(adapter: Path, folder: Path) -> Path:
    """The same adapter as an earlier version wrote it: nothing says how it answers."""
    files = {path.name: path.read_bytes() for path in adapter.iterdir() if path.name != storage.MANIFEST}
    about = json.loads(files["rung.json"])
    del about["answer_by"]
    storage.write_folder(folder, files | {"rung.json": storage.as_json(about)})
    return folder


def test_base_and_adapter_answer_as_was_chosen_for_the_adapter(fresh: Path, adapter: Path) -> None:
    said: list[str] = []

    class Ear(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    found = evaluate(fresh, adapter, watcher=Ear(), **ASKED)
    assert "Base and adapter answer by likelihood, as was chosen for the adapter" in said
    assert found.adapter is not None
    assert found.adapter[0].value == 1.0
    assert found.base[0].value is not None
    assert 0.3 < found.base[0].value < 0.7  # it guesses a label, and misses no format
    both = [(before.tokens, after.tokens) for _, before, after in found.answers if after is not None]
    assert set(both) == {(0, 0)}
    other = evaluate(fresh, adapter, watcher=Ear(), task="generation", max_test=10, **ASKED)
    assert all(before.tokens > 0 for _, before, _ in other.answers)


def test_a_way_to_answer_that_cannot_be_read_is_said(fresh: Path, adapter: Path, tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in adapter.iterdir() if path.name != storage.MANIFEST}
    about = json.loads(files["rung.json"]) | {"answer_by": {"rule": 7}}
    storage.write_folder(tmp_path / "bad", files | {"rung.json": storage.as_json(about)})
    with pytest.raises(AdapterError, match=r"AnswerBy field 'rule'"):
        evaluate(fresh, tmp_path / "bad", **ASKED)


def test_an_adapter_that_learned_is_told_from_the_base(fresh: Path, adapter: Path, tmp_path: Path) -> None:
    found = evaluate(fresh, writing(adapter, tmp_path / "writing"), **ASKED)
    assert found.adapter is not None
    assert (found.base[0].name, found.base[0].value) == ("accuracy", 0.0)
    assert (found.adapter[0].name, found.adapter[0].value) == ("accuracy", 1.0)
    difference = found.difference
    assert difference is not None
    assert (difference.first, difference.second, difference.difference.value) == ("adapter", "base", 1.0)
    assert difference.distinguishable
    assert found.rows == len(found.answers) == 60
    assert all(after is not None and after.text == row.target for row, _, after in found.answers)


def test_the_base_alone(fresh: Path) -> None:
    heard = []

    class Ear(Silent):
        def begin(self, rung: str, phase: str) -> None:
            heard.append((rung, phase))

    found = evaluate(fresh, watcher=Ear(), **ASKED)
    assert (found.adapter, found.difference) == (None, None)
    assert all(after is None for _, _, after in found.answers)
    assert heard == [("base", "answering")]


def test_a_sample_is_taken_and_the_task_may_be_said(fresh: Path) -> None:
    found = evaluate(fresh, task="generation", max_test=10, max_new_tokens=3, **ASKED)
    assert (found.rows, found.task.kind, found.base[0].name) == (10, "generation", "rouge_l")
    assert max(before.tokens for _, before, _ in found.answers) <= 3


def test_rows_without_a_target_are_not_asked(tmp_path: Path) -> None:
    rows = [{"text": text, "label": label} for text, label in letters.rows(30)]
    rows[0]["label"] = " "
    assert evaluate(letters.write_jsonl(tmp_path / "x.jsonl", rows), **ASKED).rows == 29
    empty = letters.write_jsonl(tmp_path / "y.jsonl", [{**row, "label": ""} for row in rows])
    with pytest.raises(DataError, match=r"y\.jsonl: has an empty 'label' in every row"):
        evaluate(empty, **ASKED)


def test_an_adapter_of_another_template_is_refused(fresh: Path, adapter: Path, tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in adapter.iterdir() if path.name != storage.MANIFEST}
    about = files["rung.json"].decode()
    start = about.index('"template_fingerprint": "') + len('"template_fingerprint": "')
    files["rung.json"] = (about[:start] + "0" + about[start + 1 :]).encode()
    other = tmp_path / "other"
    storage.write_folder(other, files)
    with pytest.raises(AdapterError, match="trained with another chat template"):
        evaluate(fresh, other, **ASKED)


def test_a_whole_model_is_not_an_adapter_and_the_way_out_is_said(fresh: Path, climbed: Climbed) -> None:
    folder = climbed.folder / "adapters" / "full"
    with pytest.raises(AdapterError, match=r"It holds a whole model\. Give it with --base"):
        evaluate(fresh, folder, **ASKED)
    found = evaluate(fresh, **ASKED | {"base": str(folder)})
    assert found.base[0].value == 1.0


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory, test_cache: Path) -> Path:
    """An adapter for four labels, far from trained to the end."""
    folder = tmp_path_factory.mktemp("four")
    rows = [{"text": f"{word} {n}", "label": ROOMS[n % 4]} for n, (word, _) in enumerate(letters.rows(80))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNG_CACHE", str(test_cache))
        asked = letters.FAST | {"epochs": 1, "output": folder / "run"}
        return tune(letters.write_jsonl(folder / "four.jsonl", rows), **asked).folder / "adapters" / "lora"


ROOMS = ("attic", "cellar", "garden", "kitchen")


def some(path: Path, *labels: str) -> Path:
    rows = [{"text": f"word {n}", "label": label} for n, label in enumerate(labels)]
    return letters.write_jsonl(path, rows)


@pytest.mark.parametrize("labels", [ROOMS * 2, ("attic",) * 15, ("attic", "cellar") * 6], ids=len)
def test_the_task_is_the_one_the_adapter_was_trained_for(
    four: Path, labels: tuple[str, ...], tmp_path: Path
) -> None:
    said: list[str] = []

    class Ear(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    found = evaluate(some(tmp_path / "x.jsonl", *labels), four, watcher=Ear(), **ASKED)
    assert (found.task.kind, found.task.primary, found.task_from) == ("classification", "accuracy", "adapter")
    assert set(found.task.labels) == set(ROOMS)
    assert said[0] == "Task: classification, kept with the adapter"
    assert all(line.startswith("Base and adapter answer by likelihood") for line in said[1:])
    assert found.rows == len(labels)


def test_a_wrong_label_of_the_adapters_is_wrong_and_not_unread(
    four: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kitchen(speaker: object, examples: list[Example], *_: object, **__: object) -> list[Completion]:
        return [Completion(one.id, "kitchen", 2) for one in examples]

    monkeypatch.setattr("rung.ladder.answer_by.write", kitchen)
    monkeypatch.setattr("rung.ladder.compare._answer_by", lambda *_: WRITING)
    found = evaluate(some(tmp_path / "x.jsonl", *("attic", "cellar") * 4), four, **ASKED)
    assert {(after.status, after.answer) for _, _, after in found.answers if after} == {("ok", "kitchen")}


def test_the_task_asked_for_wins(four: Path, tmp_path: Path) -> None:
    file = some(tmp_path / "x.jsonl", *ROOMS * 2)
    found = evaluate(file, four, task="generation", max_new_tokens=3, **ASKED)
    assert (found.task.kind, found.task_from) == ("generation", "asked")
    same = evaluate(file, four, task="classification", metric="macro_f1", max_new_tokens=3, **ASKED)
    assert (set(same.task.labels), same.task.primary, same.task_from) == (set(ROOMS), "macro_f1", "asked")


def test_without_a_kept_task_it_is_guessed_and_that_is_said(four: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(four, tmp_path / "bare")
    for name in ("rung.json", "manifest.json"):
        (bare / name).unlink()
    said: list[str] = []

    class Ear(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    file = some(tmp_path / "x.jsonl", *("attic",) * 8)
    found = evaluate(file, bare, watcher=Ear(), max_new_tokens=3, **ASKED)
    assert found.task_from == "guessed from 8 rows"
    assert said == [f"Task: {found.task.kind}, guessed from 8 rows"]
    assert evaluate(file, max_new_tokens=3, **ASKED).task_from == "guessed from 8 rows"


def test_labels_that_the_adapter_never_saw_are_named(four: Path, tmp_path: Path) -> None:
    mixed = some(tmp_path / "x.jsonl", "attic", "Attic", "roof", "roof")
    assert evaluate(mixed, four, **ASKED).warnings == (
        "labels that no train row has, so that they cannot be learned: 'roof' (2 rows)",
    )
    with pytest.raises(DataError, match=r"y\.jsonl: no row has a label that the train rows have.*'attic'"):
        evaluate(some(tmp_path / "y.jsonl", "roof", "roof", "shed"), four, **ASKED)


def test_a_row_longer_than_the_base_reads_is_named(tmp_path: Path) -> None:
    rows = [{"text": text, "label": label} for text, label in letters.rows(30)]
    rows[6]["text"] = "m" * 2100
    path = letters.write_jsonl(tmp_path / "x.jsonl", rows)
    with pytest.raises(DataError, match=r"x\.jsonl: row 7 is longer than the base can read.*2048 fit"):
        evaluate(path, **ASKED)


def test_targets_that_cannot_be_graded_are_left_out_and_named(tmp_path: Path) -> None:
    rows = [{"prompt": f"p {n}", "completion": json.dumps({"item": n})} for n in range(6)]
    rows[2]["completion"] = "none"
    path = letters.write_jsonl(tmp_path / "x.jsonl", rows)
    found = evaluate(path, task="extraction", max_new_tokens=3, **ASKED)
    assert found.rows == 5
    assert found.warnings[-1] == "1 row left out: its target is not a JSON object (row 3)"
    rows = [{**row, "completion": "none"} for row in rows]
    with pytest.raises(DataError, match=r"can be graded as extraction.*6 rows left out: its target is not"):
        evaluate(letters.write_jsonl(path, rows), task="extraction", **ASKED)


def test_rows_in_memory() -> None:
    rows = [{"text": text, "label": label} for text, label in letters.rows(20, seed=9)]
    found = evaluate(rows, max_new_tokens=3, **ASKED)
    assert found.rows == 20
    assert {one.source for one, _, _ in found.answers} == {"data"}
