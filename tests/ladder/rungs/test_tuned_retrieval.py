"""LoRA with retrieval, and LoRA asked with retrieval, in a climb and after it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import letters
import shelf
from contexts import SLOW, Saying, context_of, ran
from rung.config import make_settings
from rung.errors import AdapterError, ResumeError
from rung.ladder.climb import Climbed, climb
from rung.ladder.compare import evaluate
from rung.ladder.context import Context
from rung.ladder.earlier import finished_rungs
from rung.ladder.library import Library
from rung.ladder.predictor import load
from rung.ladder.prepare import Prepared, prepare
from rung.ladder.reading import reading_context, shown_of
from rung.ladder.rungs import RUNGS, Skipped
from rung.ladder.rungs.tune import TuneRung
from rung.ladder.task import run_task
from rung.ladder.understood import understand_data
from rung.records import Result
from rung.run_folder import RunFolder
from tiny_model import copy_of, same_bytes

TUNED, ASKED = RUNGS["lora-retrieval"], RUNGS["lora-open-book"]
NAMES = ("retrieval", "lora", TUNED.name, ASKED.name)
FAST = letters.FAST | {"epochs": 1, "max_test": 10, "max_dev": 10, "passages": "1,2", "kl_penalty": 0}

ALONE = {name: FAST[name] for name in ("base", "precision", "threads") if name in FAST}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return shelf.write(tmp_path_factory.mktemp("shelf"), 40)


@pytest.fixture(scope="module")
def run(files: tuple[Path, Path], test_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Climbed:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNG_CACHE", str(test_cache))
        output = tmp_path_factory.mktemp("runs") / "shelf"
        return climb(files[0], apis=str(files[1]), output=output, rungs=",".join(NAMES), **FAST)


def result(climbed: Climbed, name: str) -> Result:
    return next(one for one in climbed.results if one.rung == name)


@pytest.fixture
def context(files: tuple[Path, Path], tmp_path: Path) -> Context:
    settings = make_settings(FAST | {"documents": str(files[1])})
    prepared: Prepared = prepare(understand_data(files[0], settings), settings)
    assert prepared.documents is not None
    return context_of(prepared, tmp_path, library=Library.of(prepared.documents, tmp_path))


def test_its_quote_is_that_of_a_tuned_rung_on_longer_rows(context: Context) -> None:
    plain = TuneRung("plain", "plain", "lora")
    quote, short = TUNED.quote(context), plain.quote(context)
    view = reading_context(context)
    held = {"memory_bytes": quote.memory_bytes}  # by the process, which grows
    assert replace(quote, rung="plain") == replace(plain.quote(view), **held)
    assert quote.train_tokens == round(view.size.train * view.size.epochs * view.work.row_tokens)
    assert (quote.seconds or 0) > (short.seconds or 0)
    asked = ASKED.quote(context)
    assert (asked.fits, asked.train_seconds) == (True, None)
    assert asked.seconds == pytest.approx(
        view.size.test * (view.work.tail_tokens / SLOW.prefill + view.work.target_tokens / SLOW.decode)
    )


def test_all_of_them_run(run: Climbed) -> None:
    assert {one.rung: (one.status, one.reason) for one in run.results} == dict.fromkeys(NAMES, ("ok", ""))
    for name in ("retrieval", TUNED.name, ASKED.name):
        assert set(result(run, name).applied["retriever_recall"]) == {"1", "2"}
    tuned = result(run, TUNED.name)
    assert tuned.applied["passages"] == 1
    assert [note for note in tuned.notes if "train rows are shown wrong passages" in note]
    assert (tuned.cost.train_tokens or 0) > (result(run, "lora").cost.train_tokens or 0)


def test_what_is_only_asked_costs_the_training_it_uses(run: Climbed) -> None:
    lora, asked = result(run, "lora"), result(run, ASKED.name)
    assert asked.kind == "tune"
    assert asked.forgetting == lora.forgetting
    assert asked.cost.trainable_parameters == lora.cost.trainable_parameters
    assert (asked.cost.making_seconds or 0) >= (lora.cost.making_seconds or 0)
    assert asked.cost.train_seconds == lora.cost.train_seconds


@pytest.mark.parametrize("name", NAMES)
def test_saved_answers_look_passages_up_again_from_a_folder_that_was_moved(
    run: Climbed, tmp_path: Path, name: str
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run.folder, moved)
    lines = {row["example_id"]: row["text"] for row in _rows(moved / "predictions" / f"{name}.jsonl")}
    asked = {row["id"]: row["messages"][0]["content"] for row in _rows(moved / "test.jsonl")}
    predictor = load(moved, name)
    again = predictor.responder.answer([predictor.asker.example({"prompt": asked[one]}, 1) for one in lines])
    assert [answer.text for answer in again] == list(lines.values())
    (moved / "documents.jsonl").unlink()
    if name != "lora":
        with pytest.raises(ResumeError, match=r"documents\.jsonl is missing"):
            load(moved, name)


def test_a_run_folder_with_the_earlier_name_of_a_rung_is_read(run: Climbed, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(run.folder, old)
    for name in ("results/{}.json", "predictions/{}.jsonl", "answer/{}"):
        (old / name.format(ASKED.name)).rename(old / name.format(ASKED.formerly))
    path = old / "results" / f"{ASKED.formerly}.json"
    path.write_text(path.read_text().replace(f'"rung": "{ASKED.name}"', f'"rung": "{ASKED.formerly}"'))
    asked = {"prompt": "Please stop the lamp in room 3"}
    (was,) = load(old, ASKED.formerly).answer([asked])
    (now,) = load(run.folder, ASKED.name).answer([asked])
    assert (was.text, was.error) == (now.text, now.error)
    finished = [rung.name for rung in finished_rungs(RunFolder(old))]
    assert sorted(finished) == sorted(set(NAMES) - {ASKED.name})


def test_evaluate_looks_passages_up_for_base_and_adapter(
    run: Climbed, files: tuple[Path, Path], tmp_path: Path
) -> None:
    """In the run folder, and of the documents that are given; an adapter alone is refused."""
    rows = [
        {"prompt": row["messages"][0]["content"], "completion": row["messages"][1]["content"]}
        for row in _rows(run.folder / "test.jsonl")
    ]
    file, said = letters.write_jsonl(tmp_path / "test.jsonl", rows), Saying()

    def answers(adapter: Path, **settings: str) -> list[str]:
        longest = result(run, "lora").applied["max_new_tokens"]
        found = evaluate(file, adapter, watcher=said, max_new_tokens=longest, **ALONE, **settings)
        return [adapted.text for _, _, adapted in found.answers if adapted is not None]

    def predicted(name: str) -> list[str]:
        return [str(row["text"]) for row in _rows(run.folder / "predictions" / f"{name}.jsonl")]

    trained, plain = (run.folder / "adapters" / name for name in (TUNED.name, "lora"))
    assert answers(trained) == predicted(TUNED.name)
    assert "Base and adapter are shown the passage most like each row" in said.said
    said.said.clear()
    assert answers(plain) == predicted("lora")
    assert not [line for line in said.said if "passage" in line]
    shutil.copytree(trained, tmp_path / "alone")
    with pytest.raises(AdapterError, match="trained with retrieval") as caught:
        answers(tmp_path / "alone")
    assert "--documents" in str(caught.value)
    assert answers(tmp_path / "alone", documents=str(files[1])) == predicted(TUNED.name)
    assert answers(plain, documents=str(files[1])) == predicted(ASKED.name)
    moved = tmp_path / "moved"
    shutil.copytree(run.folder, moved)
    (moved / "documents.jsonl").unlink()
    with pytest.raises(AdapterError, match=r"documents\.jsonl is missing"):
        answers(moved / "adapters" / TUNED.name)


def test_a_task_reads_the_passages_from_the_run_folder(run: Climbed, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy)
    for name in (TUNED.name, ASKED.name):
        again = run_task(copy, name)
        assert (again.status, again.reason) == ("ok", "")
        assert again.primary == result(run, name).primary


def test_the_same_command_runs_nothing_again_and_other_documents_are_another_run(
    run: Climbed, files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy)
    names = ran(monkeypatch)
    climb(files[0], apis=str(files[1]), output=copy, rungs=",".join(NAMES), **FAST)
    assert names == []
    fewer = letters.write_jsonl(tmp_path / files[1].name, shelf.catalogue()[1:])
    with pytest.raises(ResumeError, match=r"belongs to another run.*documents"):
        climb(files[0], apis=str(fewer), output=copy, rungs=",".join(NAMES), **FAST)


def test_without_lora_there_is_nothing_to_ask(context: Context) -> None:
    before = copy_of(context.prepared.base.model)
    with pytest.raises(Skipped, match="the adapter of the rung lora, which has not been trained"):
        ASKED.run(context, None)
    assert same_bytes(before, copy_of(context.prepared.base.model))


def test_it_is_skipped_and_not_failed(files: tuple[Path, Path], tmp_path: Path, own_cache: Path) -> None:
    climbed = climb(files[0], apis=str(files[1]), output=tmp_path / "run", rungs=ASKED.name, **FAST)
    (only,) = climbed.results
    assert (only.status, "has not been trained" in only.reason) == ("skipped", True)


def test_a_rung_whose_training_failed_is_not_quoted(run: Climbed, context: Context) -> None:
    shutil.copytree(run.folder / "results", context.folder.file("results"))
    assert ASKED.quote(context).fits
    path = context.folder.file("results", "lora.json")
    path.write_text(path.read_text().replace('"status": "ok"', '"status": "failed"', 1))
    quote = ASKED.quote(context)
    assert (quote.fits, "ended as failed" in quote.why) == (False, True)


def test_only_a_rung_that_trains_is_screened(context: Context) -> None:
    assert (TUNED.trains, ASKED.trains) == (True, False)
    view = TUNED.view(context)
    assert view.prepared is shown_of(context).prepared


def _rows(path: Path) -> list[dict[str, object]]:  # type: ignore[type-arg]
    from rung.storage import read_jsonl

    return read_jsonl(path)
