"""Training one method on prepared rows, and what is kept of it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contexts import Saying
from rung import storage
from rung.compute.load import load
from rung.config import make_settings
from rung.data.templates import Renderer
from rung.errors import AdapterError
from rung.evaluation.label_rules import LabelRule
from rung.evaluation.run import Speaker
from rung.ladder import guard, tuning
from rung.ladder.adapter import attach
from rung.ladder.answer_by import AnswerBy
from rung.ladder.forecast import evaluation_rows
from rung.ladder.plan import Plan
from rung.ladder.prepare import Prepared
from rung.ladder.race_rules import Arm
from rung.ladder.speaking import base_of
from rung.ladder.watch import Silent
from rung.methods import METHODS
from rung.records import Message, from_json
from rung.storage import verify_folder
from rung.train import trainer
from rung.train.loss import row_losses
from rung.train.optim import Diverged
from tiny_model import copy_of, same_bytes

PLAN = Plan(
    quotes=(),
    dev_rows=30,
    test_rows=40,
    train_rows=40,
    epochs=1.0,
    step_tokens=200,
    pack_tokens=256,
    budget=None,
    setup_seconds=0.0,
    precision="fp32",
)


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(input_ids=torch.arange(3, 60)[None]).logits
    return result


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_is_saved_answers_as_what_was_trained(prepared: Prepared, method: str, tmp_path: Path) -> None:
    model = prepared.base.model
    before, plain = copy_of(model), logits(model)
    tuned = tuning.train(prepared, PLAN, method, tmp_path / "checkpoints", Silent())
    answers = logits(model)
    size = tuning.save(prepared, tuned, tmp_path / method)
    tuned.attached.detach()
    assert same_bytes(before, copy_of(model))
    assert (answers - plain).abs().max() > 0.1

    verify_folder(tmp_path / method)
    (weights,) = (tmp_path / method).glob("*.safetensors")
    assert size == weights.stat().st_size
    assert tuned.trainable * 4 <= size < tuned.trainable * 4 + 20_000
    if method == "lora":
        again = load("tiny")
        attach(tmp_path / method, Speaker(again, Renderer(again.tokenizer)))
    else:
        again = load(str(tmp_path / method))
    torch.testing.assert_close(logits(again.model), answers, atol=1e-5, rtol=1e-5)
    assert again.tokenizer.chat_template == prepared.base.tokenizer.chat_template


def test_a_base_without_a_chat_template_leaves_its_plain_one_with_the_adapter(
    prepared: Prepared, tmp_path: Path
) -> None:
    tokenizer = copy.deepcopy(prepared.base.tokenizer)
    tokenizer.chat_template = None
    bare = replace(
        prepared, speaker=Speaker(replace(prepared.base, tokenizer=tokenizer), Renderer(tokenizer))
    )
    for method, name in (("lora", "chat_template.jinja"), ("full", "tokenizer_config.json")):
        tuned = tuning.train(bare, PLAN, method, tmp_path / f"{method}-checkpoints", Silent())
        tuning.save(bare, tuned, tmp_path / method)
        tuned.attached.detach()
        assert (tmp_path / method / name).is_file()
    written = (tmp_path / "lora" / "chat_template.jinja").read_text()
    assert load(str(tmp_path / "full")).tokenizer.chat_template == written
    other, messages = copy.deepcopy(tokenizer), [{"role": "user", "content": "Hello"}]
    other.chat_template = written
    theirs = other.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert list(theirs) == bare.speaker.renderer.prompt_ids([Message("user", "Hello")])
    assert tokenizer.chat_template is None  # the base itself is as it was
    with pytest.raises(AdapterError, match="another chat template"):
        attach(tmp_path / "lora", prepared.speaker)


def test_how_likely_the_rows_own_answers_are(prepared: Prepared, tmp_path: Path) -> None:
    tuned = tuning.train(prepared, PLAN, "lora", tmp_path / "checkpoints", Silent())
    adapter, test = tmp_path / "lora", prepared.split.test[:6]
    made = tuning.responder(prepared.speaker, tuned.attached, 4, adapter, base_of(prepared))
    rows = [prepared.rendered[one.id] for one in test]
    trained = [
        loss / row.answer_length
        for loss, row in zip(row_losses(prepared.base.model, rows), rows, strict=True)
    ]
    found = made.likelihoods(test)
    tuned.attached.detach()
    plain = [
        loss / row.answer_length
        for loss, row in zip(row_losses(prepared.base.model, rows), rows, strict=True)
    ]
    assert [found[one.id][0] for one in test] == pytest.approx(trained)
    assert [found[one.id][1] for one in test] == pytest.approx(plain)


def test_what_was_used_is_written_beside_it(prepared: Prepared, tmp_path: Path) -> None:
    asked = {"base": "tiny", "rank": 4, "alpha": 8, "targets": "q_proj,v_proj", "seed": 3, "warmup": 0.2}
    other = replace(prepared, settings=make_settings(asked))
    tuned = tuning.train(other, PLAN, "lora", tmp_path / "checkpoints", Silent())
    tuning.save(other, tuned, tmp_path / "lora")
    tuned.attached.detach()
    applied = tuned.applied
    assert applied["method"] == "lora"
    assert (applied["rows"], applied["dev_loss_rows"]) == (40, evaluation_rows(40, PLAN.epochs))
    assert (applied["rank"], applied["alpha"], applied["rslora"]) == (4, 8.0, False)
    assert applied["targets"] == ["q_proj", "v_proj"]
    assert (applied["seed"], applied["warmup"], applied["epochs"]) == (3, 0.2, 1.0)
    about = json.loads((tmp_path / "lora" / "rung.json").read_text())
    assert about["applied"] == applied
    assert about["base_fingerprint"] == prepared.base.fingerprint
    assert about["template_fingerprint"] == prepared.speaker.renderer.fingerprint
    config = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["target_modules"]) == (4, 8, ["q_proj", "v_proj"])


def test_a_model_folder_names_no_place_of_this_machine(prepared: Prepared, tmp_path: Path) -> None:
    tuned = tuning.train(prepared, PLAN, "full", tmp_path / "checkpoints", Silent())
    tuning.save(prepared, tuned, tmp_path / "full")
    tuned.attached.detach()
    config = json.loads((tmp_path / "full" / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert "_name_or_path" not in config
    texts = [file.read_bytes() for file in (tmp_path / "full").glob("*.json")]
    assert not any(str(tmp_path).encode() in text for text in texts)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_stop_takes_the_method_off(prepared: Prepared, method: str, tmp_path: Path) -> None:
    class Stop(Silent):
        def step(self, *_: object, **__: object) -> None:
            raise KeyboardInterrupt

    before = copy_of(prepared.base.model)
    with pytest.raises(KeyboardInterrupt):
        tuning.train(prepared, PLAN, method, tmp_path / "checkpoints", Stop())
    assert same_bytes(before, copy_of(prepared.base.model))
    assert [folder.name for folder in (tmp_path / "checkpoints").glob("step-*")] == ["step-000001"]


def test_rows_are_a_seeded_sample_and_more_rows_hold_the_fewer(prepared: Prepared, tmp_path: Path) -> None:
    few = tuning.train(prepared, replace(PLAN, train_rows=10), "lora", tmp_path / "few", Silent())
    few.attached.detach()
    assert few.applied["rows"] == 10
    assert few.outcome.tokens < sum(
        len(prepared.rendered[example.id].ids) for example in prepared.split.train[:20]
    )


@pytest.mark.parametrize("limit", [None, 33.0])
def test_the_time_limit_is_handed_on(prepared: Prepared, limit: float | None) -> None:
    assert tuning.train_settings(prepared, PLAN, "lora", limit).limit_seconds == limit


def test_the_users_values_win_over_the_methods_own(prepared: Prepared) -> None:
    plain = replace(prepared, settings=make_settings({"base": "tiny"}))
    assert tuning.train_settings(plain, PLAN, "full", None).learning_rate == METHODS["full"].learning_rate
    asked = make_settings({"learning_rate": 0.5, "weight_decay": 0.1, "max_grad_norm": 2, "seed": 4})
    settings = tuning.train_settings(replace(prepared, settings=asked), PLAN, "full", None)
    assert (settings.learning_rate, settings.weight_decay) == (0.5, 0.1)
    assert (settings.max_grad_norm, settings.seed, settings.step_tokens) == (2.0, 4, 200)


PICKS = AnswerBy("likelihood per token", ("a", "b"), LabelRule(per_token=True))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_how_it_answers_is_kept_with_the_adapter_and_with_the_answer(
    prepared: Prepared, method: str, tmp_path: Path
) -> None:
    by = replace(PICKS, labels=prepared.task.labels)
    tuned = tuning.train(prepared, PLAN, method, tmp_path / "checkpoints", Silent())
    tuning.save(prepared, tuned, tmp_path / method, by)
    made = tuning.responder(prepared.speaker, tuned.attached, 9, tmp_path / method, base_of(prepared), by)
    some, labels = prepared.split.test[:9], prepared.task.labels
    answers, scores = made.answer_and_score(some, labels)
    made.save(tmp_path / "answer")
    tuned.attached.detach()
    assert {one.text for one in answers} <= set(labels)
    about = json.loads((tmp_path / method / "rung.json").read_text())
    assert from_json(AnswerBy, about["answer_by"]) == by
    again = tuning.load(tmp_path / "answer")
    assert again.answer(some) == answers
    assert scores is not None
    found = again.score(some, labels)
    assert found is not None
    np.testing.assert_allclose(found, scores, atol=1e-5)


def test_answers_saved_before_that_was_kept_are_written(prepared: Prepared, tmp_path: Path) -> None:
    tuned = tuning.train(prepared, PLAN, "lora", tmp_path / "checkpoints", Silent())
    tuning.save(prepared, tuned, tmp_path / "lora")
    made = tuning.responder(prepared.speaker, tuned.attached, 9, tmp_path / "lora", base_of(prepared))
    some = prepared.split.test[:9]
    answers = made.answer(some)
    made.save(tmp_path / "new")
    tuned.attached.detach()
    assert "answer_by" not in json.loads((tmp_path / "lora" / "rung.json").read_text())
    value = json.loads((tmp_path / "new" / "answer.json").read_text())
    del value["answer_by"]
    storage.write_folder(tmp_path / "old", {"answer.json": storage.as_json(value)})
    again = tuning.load(tmp_path / "old")
    assert again.answer(some) == answers
    assert all(one.tokens > 0 for one in answers)


def test_training_may_stop_early_where_rows_are_seen_more_than_once(prepared: Prepared) -> None:
    assert tuning.train_settings(prepared, PLAN, "lora", None).patience is None
    assert tuning.train_settings(prepared, replace(PLAN, epochs=2.0), "lora", None).patience == 2


def test_what_the_best_checkpoint_was_chosen_by_is_said(prepared: Prepared, tmp_path: Path) -> None:
    for judged, by in ((0, "loss on 16 dev rows"), (25, "accuracy on 25 dev rows")):
        tuned = tuning.train(prepared, PLAN, "lora", tmp_path / str(judged), Silent(), None, judged)
        tuned.attached.detach()
        (choice,) = tuned.choices
        at = f"step {tuned.outcome.best_step} of {tuned.outcome.planned_steps}"
        assert choice.chosen == f"{at}, by {by}"
        assert len(choice.tried) == (len(tuned.outcome.curve) if judged else 0)


@pytest.fixture
def free(prepared: Prepared) -> Prepared:
    """The user gave no learning rate."""
    settings = prepared.settings.model_copy(update={"learning_rate": None})
    return replace(prepared, settings=settings)


def test_what_a_race_chose_is_used(free: Prepared, tmp_path: Path) -> None:
    free = replace(free, settings=free.settings.model_copy(update={"rank": None}))
    tuned = tuning.train(free, PLAN, "lora", tmp_path, Silent(), setting=Arm(0.004, 1))
    tuned.attached.detach()
    assert (tuned.applied["learning_rate"], tuned.applied["top_layers"]) == (0.004, 1)


def test_a_rate_that_makes_the_base_worse_is_lowered(
    free: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = copy_of(free.base.model)
    monkeypatch.setattr(tuning, "rate_for", lambda *given: 8.0)
    # tiny is hardly ruined by any rate; the first look comes after one step of the warm-up, at half the rate
    monkeypatch.setattr(trainer, "hurts", lambda curve: len(curve) > 1 and curve[1].learning_rate > 0.5)
    watcher = Saying()
    tuned = tuning.train(free, PLAN, "lora", tmp_path, watcher)
    tuned.attached.detach()
    times, rate = 2, 0.5
    assert guard.read(tmp_path).times == times
    assert tuned.applied["learning_rate"] == rate
    assert tuned.notes == guard.read(tmp_path).note(8.0)
    assert tuned.given_up == guard.read(tmp_path).seconds > 0
    assert len(watcher.said) == times
    assert watcher.said[0].startswith("lora: a learning rate of 8 makes the base worse; ")
    assert same_bytes(copy_of(free.base.model), before)
    steps: list[float] = []
    real = tuning.Trainer._take

    def take(self: tuning.Trainer, step: object) -> None:
        steps.append(self.settings.learning_rate)
        real(self, step)  # type: ignore[arg-type]

    monkeypatch.setattr(tuning.Trainer, "_take", take)
    tuning.train(free, PLAN, "lora", tmp_path, watcher).attached.detach()
    assert set(steps) == {rate}  # it is kept that the others were too high


def test_a_training_that_diverges_is_done_again_with_a_lower_rate(
    free: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "rate_for", lambda *given: 0.008)
    real = tuning._train

    def diverging(*given: Any) -> tuning.Tuned:
        if given[5].learning_rate > limit:
            raise Diverged("the loss stopped being finite")
        return real(*given)

    monkeypatch.setattr(tuning, "_train", diverging)
    limit = 0.002
    tuned = tuning.train(free, PLAN, "lora", tmp_path / "one", Silent())
    tuned.attached.detach()
    assert tuned.applied["learning_rate"] == 0.002
    limit = 0.0
    with pytest.raises(Diverged):
        tuning.train(free, PLAN, "lora", tmp_path / "none", Silent())
    assert guard.read(tmp_path / "none").times == 3


def test_a_rate_that_the_user_gave_stays(prepared: Prepared, tmp_path: Path) -> None:
    asked = replace(prepared, settings=prepared.settings.model_copy(update={"learning_rate": 1.0}))
    tuned = tuning.train(asked, PLAN, "lora", tmp_path, Silent())
    tuned.attached.detach()
    assert tuned.applied["learning_rate"] == 1.0
    assert tuned.notes == ()
