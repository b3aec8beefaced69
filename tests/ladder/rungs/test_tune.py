"""What the tuned rungs share."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import letters
from contexts import SLOW, context_of
from rung import storage
from rung.compute.quantized import bits_of
from rung.errors import UsageError
from rung.evaluation import forgetting
from rung.ladder.climb import Climbed, climb
from rung.ladder.compare import evaluate
from rung.ladder.forecast import (
    Size,
    choosing_seconds,
    judging_seconds,
    train_seconds,
    tuned_answer_seconds,
)
from rung.ladder.general import reading_seconds, weakening_seconds
from rung.ladder.plan import Plan
from rung.ladder.predictor import load
from rung.ladder.prepare import Prepared
from rung.ladder.rungs.tune import TuneRung
from rung.train import trainer
from tiny_model import copy_of, same_bytes

RUNG = TuneRung("mine", "my LoRA", method="lora")


def test_a_quote_is_training_and_answering(prepared: Prepared) -> None:
    context = context_of(prepared)
    context.speeds = replace(SLOW, score=0.05)
    quote, rate = RUNG.quote(context), SLOW.train["lora"]
    slower = replace(rate, tokens_per_second=rate.tokens_per_second / 1.1)  # general texts
    training = train_seconds(
        context.settings, context.work, SLOW, slower, context.size, len(prepared.split.dev)
    )
    judged = RUNG.judged_rows(context, context.size)
    assert judged == len(prepared.split.dev) == 30
    judging = judging_seconds(context.work, context.speeds, judged)
    assert quote.train_seconds == training + judging
    choosing = choosing_seconds(context.work, context.speeds, context.size)
    texts = reading_seconds(context, "lora", quote.train_tokens) + weakening_seconds(context.work, SLOW)
    answering = tuned_answer_seconds(context.work, context.speeds, context.size, picks=True)
    assert quote.seconds == pytest.approx(training + judging + choosing + texts + answering)
    assert quote.disk_bytes == (2 * 4 + 1) * 4 * rate.parameters
    assert (quote.rung, quote.train_rows) == ("mine", len(prepared.split.train))


def test_with_a_budget_labels_are_not_picked_where_that_is_dear(prepared: Prepared) -> None:
    context = context_of(prepared)
    writing = tuned_answer_seconds(context.work, SLOW, context.size)
    context.speeds = replace(SLOW, score=0.5)
    assert RUNG.picks(context)
    assert RUNG.answer_seconds(context) == context.size.test * 0.5
    context.settings = context.settings.model_copy(update={"budget": 500.0})
    assert not RUNG.picks(context)
    assert RUNG.answer_seconds(context) == writing
    context.speeds = replace(SLOW, score=0.08)
    assert RUNG.picks(context)
    context.task = replace(context.task, labels=())
    assert not RUNG.picks(context)


def test_with_a_budget_answers_to_dev_rows_take_a_tenth_of_the_training(prepared: Prepared) -> None:
    context = context_of(prepared)
    context.settings = context.settings.model_copy(update={"budget": 500.0})
    rows = {}
    for score in (0.05, 0.07, 0.25):
        context.speeds = replace(SLOW, score=score)
        rows[score] = RUNG.judged_rows(context, context.size)
        training = RUNG.train_seconds(context, SLOW.train["lora"])
        assert judging_seconds(context.work, context.speeds, rows[score]) <= 0.1 * training
    assert rows[0.05] == 30
    assert 24 <= rows[0.07] < 30
    assert rows[0.25] == 0


@pytest.fixture(scope="module")
def few_bits(letters_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Climbed:
    """A climb over a base held in 4 bits."""
    folder = tmp_path_factory.mktemp("bits") / "run"
    return climb(letters_csv, output=folder, **letters.FAST | {"rungs": "lora,full", "bits": "4"})


def test_a_base_held_in_few_bits_is_tuned_next_to_its_weights_alone(few_bits: Climbed) -> None:
    lora, full = few_bits.results
    assert (lora.status, full.status) == ("ok", "skipped")
    assert full.reason == "weights held in 4 bits cannot be trained; leave --bits out for it"
    assert lora.metrics[0].value == 1.0
    assert few_bits.info.applied["bits"] == 4
    assert few_bits.info.applied["precision_why"].endswith("; weights in 4 bits")
    about = storage.read_object(few_bits.folder / "adapters" / "lora" / "rung.json")
    assert (about["bits"], about["block_size"]) == (4, 64)


def test_its_answers_are_those_of_a_base_held_in_the_same_way(few_bits: Climbed, letters_csv: Path) -> None:
    predictor = load(few_bits.folder, "lora")
    assert bits_of(predictor.responder.speaker.base.model) == 4  # type: ignore[attr-defined]
    rows = storage.read_jsonl(few_bits.folder / "test.jsonl")
    said = storage.read_jsonl(few_bits.folder / "predictions" / "lora.jsonl")
    found = predictor.answer([row["messages"][0]["content"] for row in rows])
    assert [one.text for one in found] == [row["answer"] for row in said]
    adapter = few_bits.folder / "adapters" / "lora"
    asked = {"base": "tiny", "precision": "fp32", "threads": 1, "max_test": 20}
    assert evaluate(letters_csv, adapter, bits=4, **asked).warnings == ()
    (warning,) = evaluate(letters_csv, adapter, **asked).warnings
    assert "in 4 bits, and here they are held in full" in warning


def test_a_fault_after_training_takes_the_method_off(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = copy_of(prepared.base.model)
    context = context_of(prepared, tmp_path)
    context.settle(Plan((), 10, 10, 20, 1.0, 200, 256, None, 0.0, "fp32"))
    monkeypatch.setattr(forgetting, "drift", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        RUNG.run(context, None)
    assert same_bytes(before, copy_of(prepared.base.model))
    assert (tmp_path / "adapters" / "mine" / "adapter_model.safetensors").is_file()


def test_an_unknown_method_is_said_when_it_is_timed(prepared: Prepared) -> None:
    context = context_of(prepared)
    del context.speeds
    with pytest.raises(UsageError, match="unknown method 'lorra'"):
        TuneRung("mine", "x", method="lorra").quote(context)


def test_forgetting_is_measured_on_the_texts_there_is_time_for(prepared: Prepared) -> None:
    context = context_of(prepared)
    every, tokens = len(context.texts), context.work.general_tokens
    rung = TuneRung("mine", "my LoRA", method="lora")

    def texts(seconds: float, budget: float | None) -> int:
        rate = replace(SLOW.train["lora"], forget_seconds=seconds / tokens)
        context.speeds = replace(SLOW, train={"lora": rate})
        context.settings = context.settings.model_copy(update={"budget": budget})
        return rung._texts(context)

    assert texts(100.0, None) == every
    assert texts(1.0, 20.0) == every
    assert 8 < texts(2.0, 20.0) == every // 2
    assert texts(1000.0, 20.0) == 8


def test_the_way_to_answer_is_chosen_on_dev_and_kept(prepared: Prepared, tmp_path: Path) -> None:
    """After a training too short to learn to write a label, likelihood is better."""
    context = context_of(prepared, tmp_path)
    context.settle(Plan((), 30, 10, 20, 1.0, 200, 256, None, 0.0, "fp32"))
    found = RUNG.run(context, None)
    try:
        (said,) = [choice for choice in found.choices if choice.name == "answer by"]
        (checkpoint,) = [choice for choice in found.choices if choice.name == "best checkpoint"]
        assert list(said.tried) == ["likelihood", "likelihood per token", "writing"]
        best = max(value for value in said.tried.values() if value is not None)
        assert said.tried[said.chosen] == best
        assert found.notes[-1].startswith(f"answers by {said.chosen}: accuracy ")
        assert re.fullmatch(r"step \d of \d, by loss on 16 dev rows", checkpoint.chosen)
        texts = [one.text for one in found.responder.answer(prepared.split.test[:9])]
        found.responder.save(tmp_path / "answer")
    finally:
        found.close()
    again = RUNG.load(tmp_path / "answer")
    assert [one.text for one in again.answer(prepared.split.test[:9])] == texts
    assert set(texts) <= set(prepared.task.labels)


def test_the_checkpoint_is_chosen_by_the_metric_where_that_is_affordable(
    prepared: Prepared, tmp_path: Path
) -> None:
    context = context_of(prepared, tmp_path)
    context.settle(Plan((), 30, 10, 130, 3.0, 200, 256, None, 0.0, "fp32"))
    found = RUNG.run(context, None)
    found.close()
    (choice,) = [choice for choice in found.choices if choice.name == "best checkpoint"]
    assert re.fullmatch(r"step \d+ of \d+, by accuracy on 24 dev rows", choice.chosen)
    assert list(choice.tried) == [f"step {point.step}" for point in found.curve]
    assert list(choice.tried.values()) == [point.dev_score for point in found.curve]
    assert found.applied["dev_score_rows"] == 24


def test_a_training_that_stopped_early_is_done(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "is_over", lambda curve, patience, peak: patience == 2 and len(curve) == 3)
    context = context_of(prepared, tmp_path)
    context.settle(Plan((), 30, 10, 40, 2.0, 200, 256, None, 0.0, "fp32"))
    found = RUNG.run(context, None)
    found.close()
    assert found.done == 1.0
    assert "the loss on dev was rising" in found.notes[0]
    context.settle(Plan((), 30, 10, 40, 1.0, 200, 256, None, 0.0, "fp32"))
    once = TuneRung("once", "my LoRA", method="lora").run(context, None)
    once.close()
    assert not any("rising" in note for note in once.notes)  # each row was seen once


def test_a_race_is_quoted_apart_from_training(prepared: Prepared) -> None:
    """It is in the seconds of the rung, so the limit of training counts it, but not in those of training."""
    found = context_of(prepared, forgetting=False)
    found.settings = found.settings.model_copy(update={"budget": 9000.0, "learning_rate": None})
    found.size = Size(dev=30, test=40, train=130, epochs=40.0)
    raced = RUNG.quote(found)
    found.settings = found.settings.model_copy(update={"race": False})
    plain = RUNG.quote(found)
    assert plain.race_seconds == 0.0
    assert raced.train_seconds == plain.train_seconds
    assert raced.seconds == pytest.approx((plain.seconds or 0.0) + raced.race_seconds)
    assert 0 < raced.race_seconds <= 0.15 * (raced.train_seconds or 0.0)
