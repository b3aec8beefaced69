"""Continuations get the plain model's log-probabilities, whatever they share."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from attaching import attach
from rung.bases.base import Base
from rung.compute.attention import NAME
from rung.compute.load import tiny
from rung.errors import BaseModelError, DataError, UsageError
from rung.generate import continuations as module
from rung.generate.choose import log_likelihoods
from rung.generate.continuations import continuations, start_of_text, text_row
from rung.generate.engine import Engine

Rows = list[tuple[list[int], list[int]]]


def questions(seed: int = 0, shared: int = 20) -> Rows:
    """Five prompts with a common beginning, each with three answers, two of which start the same."""
    draw = random.Random(seed)

    def ids(least: int, most: int) -> list[int]:
        return [draw.randrange(40, 259) for _ in range(draw.randint(least, most))]

    start, rows = ids(shared, shared), Rows()
    for _ in range(5):
        prompt, answer = start + ids(1, 20), ids(2, 9)
        rows += [(prompt, rest) for rest in (answer, [*answer[:-1], 7, 2], ids(1, 4))]
    return rows


def plain(base: Base, rows: Sequence[tuple[list[int], list[int]]]) -> tuple[list[float], list[bool]]:
    """Each row alone, by transformers' own attention."""
    base.model.set_attn_implementation("eager")
    logs, greedy = [], []
    with torch.no_grad():
        for prompt, rest in rows:
            logits = base.model(torch.tensor([[*prompt, *rest]]), use_cache=False).logits[0].double()
            table = logits[len(prompt) - 1 : -1]
            logs.append(float(table.log_softmax(-1)[range(len(rest)), rest].sum()))
            greedy.append(table.argmax(-1).tolist() == rest)
    base.model.set_attn_implementation(NAME)
    return logs, greedy


@pytest.mark.parametrize("shared", [1, 20])
def test_equals_the_plain_model(shared: int) -> None:
    base, rows = tiny(), questions(shared=shared)
    found = continuations(Engine(base), rows)
    np.testing.assert_allclose(found.logs, plain(base, rows)[0], atol=1e-4, rtol=0)
    assert found.tokens.tolist() == [len(rest) for _, rest in rows]
    np.testing.assert_allclose(found.per_token, found.logs / found.tokens)


def test_equals_the_scoring_of_labels() -> None:
    base = tiny()
    prompts, choices = [prompt for prompt, _ in questions()[::3]], [[70, 71, 2], [70, 2], [80]]
    found = continuations(base, [(prompt, choice) for prompt in prompts for choice in choices])
    wanted = log_likelihoods(base, prompts, choices)
    np.testing.assert_allclose(found.logs.reshape(wanted.shape), wanted, atol=1e-4, rtol=0)


def test_greedy_is_what_greedy_decoding_writes() -> None:
    base = tiny()
    prompts = [prompt for prompt, _ in questions()[::3]]
    rows = Rows()
    for prompt, one in zip(
        prompts, Engine(base).generate(prompts, max_new_tokens=5, stop_ids=()), strict=True
    ):
        first, *others = one.ids
        rows += [(prompt, list(one.ids)), (prompt, [first, (others[0] + 1) % 259, *others[1:]])]
    found = continuations(base, rows)
    assert found.greedy.tolist() == [True, False] * len(prompts) == plain(base, rows)[1]


def test_small_passes_and_small_heads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    base, rows = tiny(), questions(3)
    whole = continuations(base, rows)
    monkeypatch.setattr(module, "HEAD_ROWS", 3)
    parts = continuations(base, rows, pass_tokens=30)
    np.testing.assert_allclose(parts.logs, whole.logs, atol=1e-4, rtol=0)
    assert parts.greedy.tolist() == whole.greedy.tolist()


@pytest.mark.parametrize("method", ["lora", "prompt", "prefix"])
def test_an_adapter_counts_while_it_is_on(method: str) -> None:
    base, rows = tiny(), questions(4)
    before = continuations(base, rows).logs
    attached = attach(method, base.model)
    with torch.no_grad():
        for weight in attached.parameters():
            weight += 0.1 * torch.linspace(-1, 1, weight.numel()).view_as(weight)
    tuned = continuations(base, rows).logs
    assert np.abs(tuned - before).max() > 0.01
    one = log_likelihoods(base, [rows[0][0]], [rows[0][1]])
    np.testing.assert_allclose(tuned[0], one[0, 0], atol=1e-4)
    with attached.disabled():
        np.testing.assert_allclose(continuations(base, rows).logs, before, atol=1e-5)


def test_nothing_gives_nothing() -> None:
    assert continuations(tiny(), []).logs.shape == (0,)


def test_rows_that_cannot_be_read_are_refused() -> None:
    base = tiny()
    with pytest.raises(DataError, match="row 2 of 2: the prompt is empty"):
        continuations(base, [([50], [51]), ([], [51])])
    with pytest.raises(UsageError, match="no tokens"):
        continuations(base, [([50], [])])
    with pytest.raises(DataError, match="have 2049 tokens"):
        continuations(base, [([50] * 2048, [51])])
    base.model.base_model.norm.weight.data[0] = torch.nan
    with pytest.raises(BaseModelError, match="not finite"):
        continuations(base, [([50], [51])])


class Words:
    """A tokenizer that puts `first` before a text and knows `extra`."""

    def __init__(self, first: int | None, bos: int | None, eos: int | None, extra: dict[str, int]) -> None:
        self.first, self.bos_token_id, self.eos_token_id, self.extra = first, bos, eos, extra

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        lead = [self.first] if add_special_tokens and self.first is not None else []
        return {"input_ids": lead + [100 + ord(letter) for letter in text]}

    def get_vocab(self) -> dict[str, int]:
        return self.extra


@pytest.mark.parametrize(
    ("tokenizer", "token"),
    [
        (Words(1, 1, 2, {"<|endoftext|>": 0}), 1),  # its own bos
        (Words(None, 1, 2, {"<|endoftext|>": 0}), 0),  # a bos that opens turns
        (Words(None, 1, 2, {}), 2),
        (Words(5, 1, None, {}), 1),  # what it puts first is no bos
    ],
)
def test_a_text_is_read_after_the_token_that_begins_texts(tokenizer: Words, token: int) -> None:
    base = tiny()
    base.tokenizer = tokenizer
    assert start_of_text(base) == token
    assert text_row(base, "ab") == ([token], [197, 198])


def test_a_tokenizer_without_such_a_token_is_refused() -> None:
    base = tiny()
    base.tokenizer = Words(None, None, None, {})
    with pytest.raises(BaseModelError, match="no token that could come before a text"):
        start_of_text(base)
