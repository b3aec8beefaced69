"""Label scores equal the plain model's, choice by choice and token by token."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import MistralConfig, MistralForCausalLM

from readings import count_readings
from rung.bases.base import Base
from rung.compute.attention import NAME
from rung.compute.load import tiny
from rung.errors import DataError, UsageError
from rung.generate import branches, choose
from rung.generate.branches import Tree
from rung.generate.choose import Scored, best_and_scores, log_likelihoods
from rung.generate.engine import Engine

CHOICES = [(70, 71, 72, 2), (70, 71, 2), (70, 2), (80, 2), (80, 81, 82, 83, 84, 2), (90,), (70, 71, 72, 2)]


def plain(
    base: Base, prompts: Sequence[Sequence[int]], choices: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """The oracle: transformers' eager attention over each prompt with each choice, from scratch."""
    base.model.set_attn_implementation("eager")
    scores = np.zeros((len(prompts), len(choices)))
    with torch.no_grad():
        for i, prompt in enumerate(prompts):
            for j, choice in enumerate(choices):
                ids = torch.tensor([[*prompt, *choice]])
                table = base.model(ids, use_cache=False).logits[0].double().log_softmax(-1)
                scores[i, j] = sum(float(table[len(prompt) - 1 + t, token]) for t, token in enumerate(choice))
    base.model.set_attn_implementation(NAME)
    return scores


def ragged(seed: int, shared: int, n: int = 7) -> list[list[int]]:
    draw = random.Random(seed)
    start = [draw.randrange(40, 259) for _ in range(shared)]
    return [start + [draw.randrange(40, 259) for _ in range(draw.randint(1, 30))] for _ in range(n)]


@pytest.mark.parametrize("shared", [0, 30])
def test_equals_the_plain_model(shared: int) -> None:
    base, prompts = tiny(), ragged(0, shared)
    got = log_likelihoods(Engine(base), prompts, CHOICES)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, plain(base, prompts, CHOICES), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("shared", "window"), [(0, 3), (20, 3), (20, 8), (20, 30)])
def test_respects_sliding_windows(shared: int, window: int) -> None:
    base, prompts = tiny(), ragged(1, shared)
    torch.manual_seed(1)
    config = MistralConfig(
        vocab_size=259,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.18,
        sliding_window=window,
        attn_implementation=NAME,
    )
    base.model = MistralForCausalLM(config).eval()
    got = log_likelihoods(base, prompts, CHOICES)
    np.testing.assert_allclose(got, plain(base, prompts, CHOICES), atol=1e-5, rtol=0)


def test_small_passes_and_small_heads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    base, prompts = tiny(), ragged(2, 20)
    whole = log_likelihoods(base, prompts, CHOICES)
    monkeypatch.setattr(choose, "PASS_TOKENS", 20)
    monkeypatch.setattr(branches, "HEAD_ROWS", 3)
    np.testing.assert_allclose(log_likelihoods(base, prompts, CHOICES), whole, atol=1e-5, rtol=0)


def test_single_tokens_sum_to_one_over_the_vocabulary() -> None:
    scores = log_likelihoods(tiny(), ragged(3, 0), [(token,) for token in range(259)])
    np.testing.assert_allclose(np.exp(scores).sum(1), 1.0, atol=1e-5)


def test_equal_choices_have_equal_scores_and_order_is_kept() -> None:
    base, prompts = tiny(), ragged(4, 20)
    scores = log_likelihoods(base, prompts, CHOICES)
    np.testing.assert_array_equal(scores[:, 0], scores[:, -1])
    np.testing.assert_allclose(
        log_likelihoods(base, prompts[::-1], CHOICES[::-1]), scores[::-1, ::-1], atol=1e-5
    )


def test_a_tree_that_saw_the_wrong_ancestors_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    base, prompts = tiny(), ragged(5, 0)
    right = log_likelihoods(base, prompts, CHOICES)
    tree = Tree.of(CHOICES)
    tree.seen.fill_(True)
    monkeypatch.setattr(Tree, "of", lambda choices: tree)
    assert np.abs(log_likelihoods(base, prompts, CHOICES) - right).max() > 1e-3


def test_the_tree_shares_what_choices_begin_with() -> None:
    tree = Tree.of([(5, 6, 7), (5, 6, 8), (9, 7)])
    assert tree.tokens.tolist() == [5, 6, 9]
    assert tree.depth.tolist() == [1, 2, 1]
    assert tree.seen.tolist() == [[True, False, False], [True, True, False], [False, False, True]]
    assert list(zip(tree.source.tolist(), tree.target.tolist(), strict=True)) == [
        (0, 5), (1, 6), (2, 7), (2, 8), (0, 9), (3, 7),
    ]  # fmt: skip
    assert tree.paths == ((0, 1, 2), (0, 1, 3), (4, 5))


def test_bf16_is_near_fp32() -> None:
    prompts = ragged(6, 20)
    exact = log_likelihoods(tiny(), prompts, CHOICES)
    rough = log_likelihoods(tiny(dtype=torch.bfloat16), prompts, CHOICES)
    assert 0 < np.abs(rough - exact).max() < 0.5


def test_progress_counts_rows_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "PASS_TOKENS", 20)
    seen: list[tuple[int, int]] = []
    log_likelihoods(tiny(), ragged(7, 0), CHOICES, lambda done, total: seen.append((done, total)))
    assert len(seen) > 1
    assert seen[-1] == (7, 7)


@pytest.mark.parametrize("shared", [0, 20, 90])  # no prefix, one that is copied to rows, one that is not
def test_prompts_are_scored_while_answers_are_written(shared: int) -> None:
    base, prompts = tiny(), ragged(8, shared, 20)
    engine = Engine(base, rows=6)
    asked = {"max_new_tokens": 5, "stop_ids": [2]}
    scored = Scored(base, prompts, CHOICES)
    assert engine.generate(prompts, on_read=scored, **asked) == engine.generate(prompts, **asked)
    np.testing.assert_allclose(scored.scores, log_likelihoods(base, prompts, CHOICES), atol=1e-5, rtol=0)


def test_answers_and_scores_take_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    read = count_readings(monkeypatch)
    base, prompts = tiny(), ragged(9, 20, 10)
    best_and_scores(base, prompts, CHOICES, [np.zeros(7)])
    assert sum(read) == 10
    Engine(base).generate(prompts, max_new_tokens=3, stop_ids=[2], on_read=Scored(base, prompts, CHOICES))
    assert sum(read) == 20


def test_nothing_to_score() -> None:
    assert log_likelihoods(tiny(), [], CHOICES).shape == (0, 7)
    assert log_likelihoods(tiny(), [[50]], []).shape == (1, 0)


def test_what_cannot_be_scored_is_refused() -> None:
    base = tiny()
    base.context = 20
    with pytest.raises(UsageError, match="choice 2 of 2"):
        log_likelihoods(base, [[50]], [(70,), ()])
    with pytest.raises(DataError, match=r"prompt 2 of 2.*room for 6"):
        log_likelihoods(base, [[50], [50] * 15], CHOICES)
    with pytest.raises(DataError, match=r"prompt 2 of 2.*room for 6"):
        Scored(base, [[50], [50] * 15], CHOICES)
