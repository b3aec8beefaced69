"""The loop: its steps equal the textbook's, it ends in the best state, and it stops before a bad step."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attaching import attach
from rung.errors import UsageError
from rung.records import Rendered
from rung.train import optim, trainer
from rung.train.loss import count_targets, mean_loss
from rung.train.trainer import Trainer
from tiny_model import distance, plain_loss, random_rows, same_bytes, shake, tiny_model
from training import KINDS, ROWS, SETTINGS, Run, make

pytestmark = pytest.mark.usefixtures("clock")
each_kind = pytest.mark.parametrize(("name", "dtype"), KINDS, ids=["lora", "full", "lora-bf16", "full-bf16"])


@pytest.mark.parametrize("name", ["lora", "full"])
def test_steps_are_those_of_a_plain_loop(name: str) -> None:
    run = make(name=name, dtype=torch.float64, epochs=1, weight_decay=0.1, max_grad_norm=0.5, evaluations=1)
    plain = tiny_model(dtype=torch.float64, attention="sdpa")
    attached = attach(name, plain, rank=4, alpha=8.0)
    parameters = attached.parameters()
    for its in (parameters, run.attached.parameters()):
        shake(its)  # LoRA's first gradients of A are zero
    optimizer = torch.optim.AdamW(parameters, lr=0.0, weight_decay=0.1)
    steps = run.trainer.plan
    assert len(steps) > 3
    for number, step in enumerate(steps):
        rows = [ROWS[row] for row in step.rows]
        optimizer.zero_grad()
        (plain_loss(plain, rows) / count_targets(rows)).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        rate = run.trainer.settings.learning_rate
        optimizer.param_groups[0]["lr"] = optim.learning_rate(number, len(steps), rate, 0.06)
        optimizer.step()
        attached.updated()
    outcome = run.go()
    assert outcome.best_step == outcome.steps == len(steps)
    ours, theirs = run.attached.state(), attached.state()
    assert max(distance(ours[key], theirs[key]) for key in theirs) < 1e-7


@pytest.mark.parametrize("name", ["lora", "full"])
def test_gradients_are_the_same_whatever_the_packs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Tensor]] = []
    clip = optim.clip

    def spy(parameters: Any, most: float) -> float:
        seen[-1] += [p.grad.clone() for p in parameters]
        return clip(parameters, most)

    monkeypatch.setattr(optim, "clip", spy)
    packs = []
    for size in (1, 40, 10_000):
        seen.append([])
        run = make(name=name, dtype=torch.float64, epochs=0.5, step_tokens=10_000, pack_tokens=size)
        shake(run.attached.parameters())  # LoRA's first gradients of A are zero
        run.go()
        packs.append(len(run.trainer.plan[0].packs))
    assert packs[0] == 8
    assert packs[0] > packs[1] > packs[2] == 1
    for other in seen[1:]:
        assert max(distance(a, b) for a, b in zip(seen[0], other, strict=True)) < 1e-10


def test_everything_that_was_seen_is_counted() -> None:
    outcome = make(epochs=2).go()
    assert outcome.steps == outcome.planned_steps
    assert outcome.tokens == 2 * sum(len(row.ids) for row in ROWS)
    assert outcome.targets == 2 * count_targets(ROWS)
    assert outcome.seconds == 10 * outcome.steps


def test_the_curve_begins_at_the_base_and_ends_at_the_last_step() -> None:
    outcome = make().go()
    points = outcome.curve
    assert len(points) == 1 + SETTINGS.evaluations
    assert points[0].step == 0
    assert points[0].train_loss is None
    assert points[0].dev_loss == pytest.approx(mean_loss(tiny_model(), ROWS[:6]))
    assert points[-1].step == outcome.steps
    assert [p.step for p in points] == sorted({p.step for p in points})
    assert all(p.train_loss is not None and p.learning_rate is not None for p in points[1:])
    assert points[-1].dev_loss is not None
    assert points[-1].dev_loss < 0.9 * points[0].dev_loss  # type: ignore[operator]


def test_train_loss_is_the_mean_over_the_tokens_since_the_last_look() -> None:
    """With a rate of almost nothing it is the base's own loss on the rows of those steps."""
    run = make(learning_rate=1e-12, epochs=1, evaluations=2)
    points = run.go().curve
    assert len(points) == 3
    for before, point in pairwise(points):
        seen = [ROWS[row] for step in run.trainer.plan[before.step : point.step] for row in step.rows]
        assert point.train_loss == pytest.approx(mean_loss(tiny_model(), seen), rel=1e-5)


def test_listeners_hear_of_every_step() -> None:
    heard: list[Any] = []

    class Ear:
        def step(
            self, done: int, total: int, loss: float, tokens_per_second: float, seconds_left: float
        ) -> None:
            heard.append((done, total, seconds_left))
            assert math.isfinite(loss)
            assert tokens_per_second > 0

    outcome = make(listener=Ear()).go()
    total = outcome.planned_steps
    assert heard == [(done, total, pytest.approx(10.0 * (total - done))) for done in range(1, total + 1)]


def test_no_rows_take_no_steps() -> None:
    outcome = make(rows=[]).go()
    assert (outcome.steps, outcome.best_step, outcome.tokens) == (0, 0, 0)


def test_the_best_state_on_dev_is_what_is_left() -> None:
    strange = random_rows(6, seed=77)  # learning the train rows hurts here, after a while
    run = make(dev=strange, epochs=12, learning_rate=2e-2, evaluations=12)
    outcome = run.go()
    losses = {point.step: point.dev_loss for point in outcome.curve}
    assert outcome.best_step < outcome.steps
    assert outcome.best_loss == losses[outcome.best_step] == min(x for x in losses.values() if x is not None)
    assert mean_loss(run.model, strange) == outcome.best_loss
    assert losses[outcome.steps] != outcome.best_loss


@pytest.mark.parametrize(("name", "rate"), [("lora", 3.0), ("full", 0.5)])
def test_if_training_only_hurts_the_base_stays(name: str, rate: float) -> None:
    run = make(name=name, dev=random_rows(6, seed=77), learning_rate=rate, max_grad_norm=1e6)
    start = run.attached.state()
    outcome = run.go()
    assert outcome.best_step == 0
    assert outcome.steps > 0
    assert same_bytes(run.attached.state(), start)


def spoil(run: Run, step: int, value: float, index: int) -> dict[str, Tensor]:
    """Before `step` one parameter becomes `value`; returns the state as the failed step found it."""
    kept: dict[str, Tensor] = {}
    scale = optim.scale_gradients
    taken = [0]

    def spoiling(*args: Any) -> None:
        taken[0] += 1
        if taken[0] == step:
            kept.update(run.attached.state())
        scale(*args)

    class Hand:
        def step(self, done: int, *_: Any) -> None:
            if done == step - 1:
                with torch.no_grad():
                    run.attached.parameters()[index].view(-1)[0] = value
                run.attached.updated()

    run.trainer.listener = Hand()
    vars(optim)["scale_gradients"] = spoiling  # the fixture puts the real one back
    return kept


@each_kind
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_raises_before_the_step(
    name: str, dtype: torch.dtype, value: float
) -> None:
    run = make(name=name, dtype=dtype, evaluations=1)
    before = spoil(run, 4, value, index=1)
    with pytest.raises(UsageError, match=r"stopped being finite at step 4.*The step was not taken"):
        run.go()
    assert before
    after = run.attached.state()
    assert all(torch.equal(before[key].nan_to_num(), after[key].nan_to_num()) for key in after)
    assert run.trainer.progress.step == 3


def test_parameters_that_are_not_finite_raise_though_the_loss_is() -> None:
    """The embedding of a word that no row holds: neither loss nor gradient sees it."""
    model = tiny_model(tied=False)
    attached = attach("full", model)
    run = Run(model, attached, Trainer(model, attached, ROWS, ROWS[:6], SETTINGS))
    before = spoil(run, 4, math.nan, index=0)  # row 0; rows hold tokens from 3 on
    with pytest.raises(UsageError, match="the parameters stopped being finite at step 4"):
        run.go()
    after = attached.state()
    assert all(torch.equal(before[key].nan_to_num(), after[key].nan_to_num()) for key in after)


def test_a_base_that_is_not_finite_on_dev_is_refused() -> None:
    run = make()
    with torch.no_grad():
        run.model.get_input_embeddings().weight[0, 0] = math.inf  # tied: the head sees it in every row
    with pytest.raises(UsageError, match="the loss on dev is not finite after step 0"):
        run.go()


def test_the_time_limit_stops_with_a_note_and_the_best_state() -> None:
    run = make(limit_seconds=35)
    outcome = run.go()
    assert outcome.steps == 4 < outcome.planned_steps
    assert outcome.notes == (f"training was stopped by the time limit at step 4 of {outcome.planned_steps}",)
    assert outcome.curve[-1].step == 4
    assert outcome.best_step == 4
    assert mean_loss(run.model, ROWS[:6]) == outcome.best_loss


def test_a_run_in_time_has_no_note() -> None:
    outcome = make(limit_seconds=10_000).go()
    assert outcome.steps == outcome.planned_steps
    assert outcome.notes == ()


def test_steps_that_are_timed_are_those_of_a_run() -> None:
    timed, run = make(), make()
    taken = list(timed.trainer.steps())
    outcome = run.go()
    assert len(taken) == outcome.steps
    assert sum(step.tokens for step in taken) == outcome.tokens
    assert all(step.seconds == step.passes + step.update > 0 for step in taken)
    assert timed.trainer.progress.curve == []
    run.attached.load(timed.attached.state())  # the last state, whatever was best on dev
    for ours, theirs in zip(timed.trainer.parameters, run.trainer.parameters, strict=True):
        assert torch.equal(ours, theirs)


def test_what_is_attached_hears_of_the_beginning_and_of_every_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[object, ...]] = []
    run = make(tmp_path, checkpoint_seconds=1e-9)
    look = run.trainer._look

    def begin(rows: list[Rendered]) -> None:
        assert rows == ROWS
        heard.append(("begin",))

    monkeypatch.setattr(run.attached, "begin", begin)
    monkeypatch.setattr(run.attached, "learning", lambda on: heard.append(("learning", on)))
    monkeypatch.setattr(run.attached, "before_pass", lambda *at: heard.append(("pass", *at)))
    monkeypatch.setattr(run.trainer, "_look", lambda: heard.append(("look",)) or look())
    run.go()
    wanted: list[tuple[object, ...]] = [("begin",), ("look",)]
    for number, step in enumerate(run.trainer.plan):
        passes = [("pass", number, one) for one in range(len(step.packs))]
        wanted += [("learning", True), *passes, ("learning", False)]
        wanted += [("look",)] if number + 1 in run.trainer._look_at else []
    assert heard == wanted
    again = make(tmp_path)
    monkeypatch.setattr(again.attached, "begin", lambda rows: pytest.fail("it continues"))
    again.go()


def test_learning_ends_where_a_pass_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bool] = []
    run = make()
    monkeypatch.setattr(run.attached, "learning", heard.append)
    whole = run.trainer.objective.loss
    monkeypatch.setattr(
        run.trainer.objective, "loss", lambda *given: 1 / 0 if torch.is_grad_enabled() else whole(*given)
    )
    with pytest.raises(ZeroDivisionError):
        run.go()
    assert heard == [True, False]


def test_a_judge_that_sees_no_difference_changes_no_byte() -> None:
    plain, judged = make(), make(judge=lambda: 0.5)
    wanted, outcome = plain.go(), judged.go()
    assert same_bytes(plain.attached.state(), judged.attached.state())
    assert (outcome.best_step, outcome.best_loss) == (wanted.best_step, wanted.best_loss)
    assert [point.dev_loss for point in outcome.curve] == [point.dev_loss for point in wanted.curve]
    assert {point.dev_score for point in wanted.curve} == {None}
    assert {point.dev_score for point in outcome.curve} == {0.5}


def test_the_state_that_the_judge_finds_best_is_what_is_left() -> None:
    scores = iter([0.1, 0.9, 0.88, 0.5, 0.5])
    seen: dict[int, dict[str, Tensor]] = {}

    def judge() -> float:
        seen[run.trainer.progress.step] = run.attached.state()
        return next(scores)

    run = make(judge=judge)
    outcome = run.go()
    losses = [point.dev_loss for point in outcome.curve]
    assert losses == sorted(losses, reverse=True)  # the loss alone would have taken the last one
    assert outcome.best_step == outcome.curve[1].step
    assert outcome.best_loss == losses[1]
    assert same_bytes(run.attached.state(), seen[outcome.best_step])
    scores = iter([0.1, 0.9, 0.88, 0.5, 0.5])
    run = make(judge=judge, slack=0.05)
    assert run.go().best_step == outcome.curve[2].step


def test_a_score_that_is_not_finite_counts_as_none() -> None:
    outcome = make(judge=lambda: -math.inf).go()
    assert {point.dev_score for point in outcome.curve} == {None}
    assert outcome.best_step == make().go().best_step


STRANGE = random_rows(6, seed=77)
OVERFITS: dict[str, Any] = {
    "dev": STRANGE,
    "epochs": 20,
    "learning_rate": 1e-2,
    "evaluations": 8,
}


def test_training_stops_early_where_it_only_fits_the_train_rows_closer() -> None:
    whole, early = make(**OVERFITS).go(), make(**OVERFITS, patience=2)
    outcome = early.go()
    assert (whole.early, outcome.early) == (False, True)
    assert outcome.best_step == whole.best_step < outcome.steps < whole.steps == outcome.planned_steps
    assert mean_loss(early.model, STRANGE) == outcome.best_loss == whole.best_loss
    said = f"training stopped at step {outcome.steps} of {outcome.planned_steps}: the loss on dev was rising"
    assert outcome.notes == (said,)


def test_training_that_improves_does_not_stop_early() -> None:
    outcome = make(patience=1).go()
    assert (outcome.early, outcome.steps, outcome.notes) == (False, outcome.planned_steps, ())


def test_finish_takes_all_steps_and_keeps_the_last_state(tmp_path: Path) -> None:
    looked, bare = make(), make(tmp_path)
    assert looked.go().best_step == len(looked.trainer.plan)  # the last state is the best one, too
    bare.trainer.finish()
    assert same_bytes(bare.attached.state(), looked.attached.state())
    assert bare.trainer.progress.curve == []
    assert list(tmp_path.iterdir()) == []


def test_finish_stops_before_a_bad_step() -> None:
    run = make(learning_rate=1e30)
    with pytest.raises(optim.Diverged, match="finite"):
        run.trainer.finish()


def test_a_guarded_run_stops_where_it_has_made_the_base_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not make(guarded=True).go().hurt
    monkeypatch.setattr(trainer, "hurts", lambda curve: len(curve) > 1)  # hardly a rate ruins so small a base
    outcome = make(tmp_path, guarded=True).go()
    assert outcome.hurt
    assert outcome.steps == outcome.curve[1].step < outcome.planned_steps
    assert len(outcome.curve) == 2
    free = make().go()
    assert not free.hurt
    assert free.steps == free.planned_steps
