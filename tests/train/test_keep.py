"""General texts in training: the divergence from the base, replay, and runs that are stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attaching import attach
from rung.methods import METHODS
from rung.train.keep import TOP, General, Keep
from rung.train.loss import pack_loss
from rung.train.trainer import Trainer
from tiny_model import distance, gradients, random_rows, same_bytes, shake, tiny_model
from training import ROWS, Killed, Run, make, without_time

pytestmark = pytest.mark.usefixtures("clock")
TEXTS = random_rows(6, seed=9)


def general_of(dtype: torch.dtype = torch.float32) -> General:
    return General.of(tiny_model(dtype=dtype), TEXTS)


def kept(folder: Path | None = None, name: str = "lora", **values: Any) -> Run:
    """A training run with general texts."""
    run = make(folder, name)
    old = run.trainer
    keep = Keep(general_of(), **{"share": 0.5, **values})
    run.trainer = Trainer(run.model, run.attached, old.rows, old.dev, old.settings, folder, keep=keep)
    return run


def kl_of_groups(base: Tensor, tuned: Tensor) -> Tensor:
    """KL of the base's `TOP` most likely words and all others as one, as in a textbook; (n, V) each."""
    p, q = base.softmax(-1), tuned.softmax(-1)
    words = p.topk(TOP).indices
    groups = [(p.gather(1, words), q.gather(1, words))]
    groups.append(tuple(1 - one.sum(1, keepdim=True) for one in groups[0]))  # type: ignore[arg-type]
    return torch.stack([(a * (a / b).log()).sum() for a, b in groups]).sum()


def states(model: Any) -> Tensor:
    """Logits (n, V) that predict the learned tokens of the texts."""
    found = []
    for row in TEXTS:
        logits = model(input_ids=torch.tensor([row.ids]), use_cache=False).logits[0]
        found.append(logits[[i - 1 for i, learned in enumerate(row.mask) if learned and i > 0]])
    return torch.cat(found)


def test_the_penalty_is_the_divergence_of_groups_of_words_and_its_gradient() -> None:
    model, plain = tiny_model(dtype=torch.float64), tiny_model(dtype=torch.float64, attention="sdpa")
    base = states(plain).detach()
    keep = Keep(general_of(torch.float64), weight=3.0)
    found = []
    for one in (model, plain):
        attached = attach("lora", one, rank=4, alpha=8.0)
        shake(attached.parameters())
        attached.updated()
        if one is model:
            loss = keep.loss(one, range(len(TEXTS)))
        else:
            loss = 3 * kl_of_groups(base, states(one)) / len(base)
        loss.backward()  # type: ignore[no-untyped-call]
        found.append((loss.detach(), torch.cat([g.flatten() for g in gradients(attached.parameters())])))
    (ours, grads), (theirs, other_grads) = found
    assert float(theirs) > 0.01
    assert distance(ours, theirs) < 1e-6  # the base's log-probabilities are kept in fp32
    assert distance(grads, other_grads) < 1e-5


def test_a_model_that_did_not_move_has_neither_penalty_nor_gradient() -> None:
    model = tiny_model(dtype=torch.float64)
    attached = attach("lora", model, rank=4, alpha=8.0)
    loss = Keep(general_of(torch.float64), weight=1.0).loss(model, [0, 1, 2])
    loss.backward()  # type: ignore[no-untyped-call]
    assert abs(float(loss.detach())) < 1e-6
    assert max(float(g.abs().max()) for g in gradients(attached.parameters())) < 1e-6


def test_replay_is_the_mean_loss_of_the_texts() -> None:
    model = tiny_model(dtype=torch.float64)
    shake(attach("lora", model, rank=4, alpha=8.0).parameters())
    ours = Keep(general_of(torch.float64), replay=2.0).loss(model, [1, 4])
    some = [TEXTS[1], TEXTS[4]]
    wanted = 2 * pack_loss(model, some) / sum(sum(row.mask[1:]) for row in some)
    assert distance(ours.detach(), wanted.detach()) < 1e-9


def test_rows_and_texts_of_one_pass_are_those_of_two() -> None:
    model = tiny_model(dtype=torch.float64)
    shake(attach("lora", model, rank=4, alpha=8.0).parameters())
    keep = Keep(general_of(torch.float64), weight=1.0, replay=1.0)
    rows, texts = keep.with_rows(model, ROWS[:5], [0, 3])
    assert distance(rows.detach(), pack_loss(model, ROWS[:5]).detach()) < 1e-9
    assert distance(texts.detach(), keep.loss(model, [0, 3]).detach()) < 1e-9


@pytest.mark.parametrize("name", ["lora", "full"])
def test_a_weight_of_0_changes_nothing(name: str) -> None:
    plain, none = make(name=name), kept(name=name, weight=0.0, replay=0.0)
    first, second = plain.go(), none.go()
    assert without_time(first) == without_time(second)
    assert same_bytes(plain.attached.state(), none.attached.state())


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if m.promises.moves_base])
def test_with_a_penalty_less_is_forgotten(name: str) -> None:
    """Measured on the texts themselves, with any method."""
    found = []
    for weight in (0.0, 10.0):
        run = kept(name=name, weight=weight)
        run.go()
        with torch.no_grad():
            measure = Keep(general_of(), weight=1.0)
            found.append(float(measure.loss(run.model, range(len(TEXTS)))))
    begins_as_base = METHODS[name].promises.identity_at_start is not False
    assert found[1] < (0.7 if begins_as_base else 1.0) * found[0]


def test_every_text_has_its_turn() -> None:
    keep = Keep(general_of(), weight=1.0, share=0.5)
    each = sum(len(row.ids) for row in TEXTS) / len(TEXTS)
    tokens = round(4 * each)  # half of it are two texts
    turns = [keep.texts_of(step, tokens) for step in range(6)]
    assert [weight for _, weight in turns] == [1.0] * 6
    read = [text for some, _ in turns for text in some]
    assert sorted(read[:6]) == sorted(read[6:]) == list(range(6))
    assert read[:6] != read[6:]


def test_where_steps_are_small_a_text_is_read_now_and_then_and_weighs_more() -> None:
    keep = Keep(general_of(), weight=1.0, share=0.1)
    each = sum(len(row.ids) for row in TEXTS) / len(TEXTS)
    turns = [keep.texts_of(step, round(2.5 * each)) for step in range(8)]  # a quarter of a text in a step
    assert [len(some) for some, _ in turns] == [1, 0, 0, 0, 1, 0, 0, 0]
    assert [weight for some, weight in turns if some] == [4.0, 4.0]


@pytest.mark.parametrize("name", ["lora", "full", "head-lora"])
def test_a_run_that_was_killed_ends_with_the_same_bytes(name: str, tmp_path: Path) -> None:
    whole = kept(tmp_path / "whole", name, weight=1.0, replay=0.5)
    expected = whole.go()
    with pytest.raises(Killed):
        kept(tmp_path / "killed", name, weight=1.0, replay=0.5).go(kill_at=12)
    again = kept(tmp_path / "killed", name, weight=1.0, replay=0.5)
    found = again.go()
    assert any("continued" in note for note in found.notes)
    assert without_time(found) == without_time(expected)
    assert same_bytes(again.attached.state(), whole.attached.state())


def test_what_was_trained_with_another_weight_is_not_continued(tmp_path: Path) -> None:
    from rung.errors import ResumeError

    with pytest.raises(Killed):
        kept(tmp_path, weight=1.0).go(kill_at=12)
    with pytest.raises(ResumeError, match="other data or settings"):
        kept(tmp_path, weight=2.0).go()
