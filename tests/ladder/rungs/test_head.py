"""Classifier heads in a climb, and what is done with it afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import letters
from contexts import SIZE, SLOW, WORK, context_of
from rung import cli
from rung.api import climb, load
from rung.config import make_settings
from rung.ladder.climb import Climbed
from rung.ladder.compare import evaluate
from rung.ladder.forecast import choosing_seconds, evaluation_rows
from rung.ladder.general import weakening_seconds
from rung.ladder.prepare import Prepared
from rung.ladder.rungs import RUNGS, asked_for
from rung.ladder.rungs.head import HeadRung
from rung.ladder.task import run_task
from rung.methods import METHODS

HEADS = ("head", "head-lora")
ASKED = {"base": "tiny", "precision": "fp32", "threads": 1}


@pytest.fixture(scope="module")
def made(letters_csv: Path, test_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Climbed:
    """A climb of both heads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNG_CACHE", str(test_cache))
        run = tmp_path_factory.mktemp("runs") / "heads"
        return climb(letters_csv, output=run, **letters.FAST | {"rungs": ",".join(HEADS)})


def test_every_method_that_learns_labels_has_a_rung_on_request_for_labels(prepared: Prepared) -> None:
    assert tuple(name for name in METHODS if METHODS.classifies(name)) == HEADS
    assert not set(HEADS) & {rung.name for rung in asked_for(make_settings({}), prepared.task)}
    for name in HEADS:
        rung = RUNGS[name]
        assert isinstance(rung, HeadRung)
        assert rung.applies(prepared.task)
        assert not rung.applies(replace(prepared.task, labels=()))


def test_both_learn_and_never_give_an_answer_that_is_no_label(made: Climbed) -> None:
    head, over = made.results
    for result in made.results:
        assert result.status == "ok", result.reason
        assert result.counts == {"ok": 40, "unparsed": 0, "truncated": 0, "error": 0}
        assert [choice.name for choice in result.choices] == ["C of the first head", "best checkpoint"]
        assert result.curve[0].dev_loss < 0.5  # the probe
        assert result.cost.answer_written == 0
    assert head.primary is not None
    assert head.primary.value is not None
    assert over.primary is not None
    assert head.primary.value > 0.85
    assert over.primary.value == 1.0


def test_a_head_alone_forgets_nothing_and_lora_below_it_does(made: Climbed) -> None:
    head, over = ({one.name: one.value for one in result.forgetting} for result in made.results)
    assert head == {"kl": 0.0, "top1_agreement": 1.0}
    assert over["kl"] is not None
    assert over["kl"] > 0.01


@pytest.mark.parametrize("name", HEADS)
def test_new_rows_are_answered_with_probabilities(made: Climbed, name: str) -> None:
    predictor = load(made.folder, name)
    rows = letters.rows(30, seed=5)
    answers = predictor.answer([word for word, _ in rows])
    right = [answer.text == label for answer, (_, label) in zip(answers, rows, strict=True)]
    assert sum(right) >= 25
    for answer in answers:
        assert answer.error == ""
        assert set(answer.probabilities or ()) == {"a", "b"}
        assert sum((answer.probabilities or {}).values()) == pytest.approx(1.0)
        assert answer.probability == max((answer.probabilities or {}).values())


@pytest.mark.parametrize("name", HEADS)
def test_it_can_be_compared_with_its_base(made: Climbed, name: str, tmp_path: Path, own_cache: Path) -> None:
    fresh = letters.write_csv(tmp_path / "fresh.csv", 40, seed=9)
    found = evaluate(fresh, made.folder / "adapters" / name, **ASKED)
    assert found.adapter is not None
    assert found.adapter[0].value is not None
    assert found.adapter[0].value > 0.8
    assert found.base[0].value == 0.0


def test_it_does_not_talk(made: Climbed, capsys: pytest.CaptureFixture[str]) -> None:
    adapter = str(made.folder / "adapters" / "head")
    assert cli.run(["chat", *letters.flags(**ASKED), "--adapter", adapter]) == 2
    assert "a classifier head, which answers with labels" in capsys.readouterr().err


def test_a_stop_while_it_trains_changes_nothing(
    made: Climbed, letters_csv: Path, tmp_path: Path, own_cache: Path
) -> None:
    given = letters.FAST | {"rungs": "head-lora", "checkpoint_seconds": 0.01}
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        climb(letters_csv, output=run, watcher=letters.Stopping("head-lora", 40), **given)
    assert list((run / "checkpoints" / "head-lora").glob("step-*"))
    (result,) = climb(letters_csv, output=run, **given).results
    assert any("continued from the checkpoint at step" in note for note in result.notes)
    weights = "adapters/head-lora/adapter_model.safetensors"
    assert letters.digest(run / weights) == letters.digest(made.folder / weights)


def test_a_task_reads_all_it_needs_from_disk(made: Climbed, own_cache: Path) -> None:
    before = json.loads((made.folder / "results" / "head.json").read_text())
    again = run_task(made.folder, "head")
    assert again.primary is not None
    assert again.primary.value == before["primary"]["value"]


def test_the_quote_has_a_probe_and_answers_in_one_pass(prepared: Prepared) -> None:
    context = context_of(prepared)
    context.size, context.work = SIZE, WORK
    context.speeds = replace(SLOW, train=dict.fromkeys(METHODS, SLOW.train["lora"]))
    lora, over = (RUNGS[name].quote(context) for name in ("lora", "head-lora"))
    assert over.train_seconds == lora.train_seconds
    assert lora.seconds is not None
    assert over.seconds is not None
    written = SIZE.test * WORK.target_tokens / SLOW.decode
    start = 1.0 + SIZE.train * (WORK.tail_tokens / SLOW.prefill + 0.001)
    choosing = choosing_seconds(WORK, SLOW, SIZE)  # in which way to answer
    weaker = weakening_seconds(WORK, SLOW)  # a head cannot be made weaker
    assert lora.seconds - over.seconds == pytest.approx(written + choosing + weaker - start)


def test_a_base_that_is_left_as_it_is_is_read_once_for_all_epochs(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(prepared)
    context.size, context.work = SIZE, WORK
    rate = replace(SLOW.train["lora"], step_seconds=0.0)
    context.speeds = replace(SLOW, train=dict.fromkeys(METHODS, rate))

    def training(epochs: float) -> float:
        context.size = replace(SIZE, epochs=epochs)
        return RUNGS["head"].quote(context).train_seconds or 0.0

    for epochs in (2.0, 8.0):
        rows = SIZE.train + min(SIZE.dev, evaluation_rows(SIZE.train, epochs))
        assert training(epochs) == pytest.approx(0.5 + rows * WORK.row_tokens / 200.0)
    route = replace(prepared.base.route, path="interface")
    monkeypatch.setattr(prepared.base, "route", route)
    assert training(8.0) > 3 * training(2.0)


def test_it_is_skipped_where_there_are_no_labels(tmp_path: Path, own_cache: Path) -> None:
    values = [{"prompt": f"say {i}", "completion": f"it is the number {i} of them"} for i in range(60)]
    file = letters.write_jsonl(tmp_path / "said.jsonl", values)
    given = letters.FAST | {"rungs": "constant,head-lora", "epochs": 1}
    found = climb(file, output=tmp_path / "run", **given)
    head = next(result for result in found.results if result.rung == "head-lora")
    assert (head.status, head.reason) == ("skipped", f"it is not for {found.info.task.kind}")


def test_a_head_answers_in_one_way_and_its_loss_chooses_the_checkpoint(prepared: Prepared) -> None:
    context = context_of(prepared)
    for name in ("head", "head-lora"):
        rung = RUNGS[name]
        assert isinstance(rung, HeadRung)
        assert rung.judged_rows(context, context.size) == 0
        assert not rung.picks(context)
