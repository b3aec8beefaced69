"""What comes before every row counts as tokens that were read before it, in training and in answering."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rung.bases.base import Base
from rung.compute import body
from rung.compute.attention import NAME, Prefix
from rung.compute.lead import NONE, Extended, Lead, lead_of, set_lead
from rung.compute.load import tiny
from rung.compute.passes import over_segments, over_tree, tree_of
from rung.errors import DataError
from rung.evaluation.forgetting import Text, _log_probabilities
from rung.generate.choose import log_likelihoods
from rung.generate.engine import Engine
from tiny_model import distance, tiny_model

FRONT = [21, 22, 23, 24, 25, 26, 27, 28, 29, 30]
ROWS = [[5, 6, 7, 8], [5, 6, 7, 8, 9, 10, 11], [40, 41]]


def keys_of(model: PreTrainedModel, ids: list[int]) -> Prefix:
    """Keys and values of tokens at the beginning of a row."""
    one, kept = over_segments(model, [ids], keep=True)
    body.hidden_states(model, one)
    return Prefix(kept.keys, kept.values)


def with_embeddings(model: PreTrainedModel, ids: list[int]) -> None:
    """Rows of the embedding come first, which are those of `ids`."""
    words = model.get_input_embeddings()
    vocabulary = len(words.weight)
    model.set_input_embeddings(Extended(words, nn.Parameter(words.weight[ids].detach().float())))
    set_lead(model, Lead(tuple(range(vocabulary, vocabulary + len(ids))), length=len(ids)))


def with_keys(model: PreTrainedModel, ids: list[int]) -> None:
    """Keys and values come first, which are those of `ids`."""
    with torch.no_grad():
        prefix = keys_of(model, ids)
    set_lead(model, Lead(prefix=lambda: prefix, length=len(ids)))


LEADS = pytest.mark.parametrize("put", [with_embeddings, with_keys])
Put = Callable[[PreTrainedModel, list[int]], None]


def states_of_rows(model: PreTrainedModel) -> list[Tensor]:
    tree = tree_of(model, ROWS)
    states = body.hidden_states(model, over_tree(model, tree))
    return [states[tree.places(row)] for row in range(len(ROWS))]


@LEADS
@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("fused", [True, False])
def test_a_pass_over_rows_is_one_over_longer_rows(put: Put, window: int | None, fused: bool) -> None:
    model = tiny_model(window=window)
    if not fused:
        body.refuse(model, "for a test")
    with torch.no_grad():
        whole = [body.hidden_states(model, over_segments(model, [FRONT + row])[0]) for row in ROWS]
        put(model, FRONT)
        for ours, theirs, row in zip(states_of_rows(model), whole, ROWS, strict=True):
            assert ours.shape == (len(row), 32)
            assert distance(ours, theirs[-len(row) :]) < 1e-5


def test_trained_rows_need_no_attention_of_ours() -> None:
    """The plain path reads embeddings that come first, and refuses keys."""
    model = tiny_model()
    with torch.no_grad():
        whole = [body.hidden_states(model, over_segments(model, [FRONT + row])[0]) for row in ROWS]
        model.set_attn_implementation("eager")
        body.refuse(model, "for a test")
        with_embeddings(model, FRONT)
        for ours, theirs, row in zip(states_of_rows(model), whole, ROWS, strict=True):
            assert distance(ours, theirs[-len(row) :]) < 1e-5
        model.set_attn_implementation(NAME)
        with_keys(model, FRONT)
        model.set_attn_implementation("eager")
        with pytest.raises(ValueError, match="keys and values before a row"):
            states_of_rows(model)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("window", [None, 5])
def test_keys_and_values_get_their_gradient(window: int | None, fused: bool) -> None:
    """Of a pass after keys that a first pass kept; the plain pass is over whole rows."""
    model = tiny_model(window=window, dtype=torch.float64)
    if not fused:
        body.refuse(model, "for a test")
    words = model.get_input_embeddings()
    table = words.weight.detach().clone().requires_grad_(True)
    model.set_input_embeddings(_Table(table))
    weight = torch.randn(sum(map(len, ROWS)), 32, dtype=torch.float64)

    whole = [body.hidden_states(model, over_segments(model, [FRONT + row])[0]) for row in ROWS]
    loss = (torch.cat([w[-len(row) :] for w, row in zip(whole, ROWS, strict=True)]) * weight).sum()
    (wanted,) = torch.autograd.grad(loss, [table])

    kept = keys_of(model, FRONT)
    set_lead(model, Lead(prefix=lambda: kept, length=len(FRONT)))
    (ours,) = torch.autograd.grad((torch.cat(states_of_rows(model)) * weight).sum(), [table])
    assert distance(ours, wanted) < 1e-10


class _Table(nn.Module):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.weight[ids]


def _logs(base: Base, texts: list[Text]) -> Tensor:
    """Log-probabilities (all rows, vocabulary) of the texts."""
    return torch.cat([logs for _, logs in _log_probabilities(base, texts)])


@LEADS
@pytest.mark.parametrize("length", [3, 10, 70])
def test_answers_scores_and_logits_are_those_after_longer_prompts(put: Put, length: int) -> None:
    base = tiny()
    front = [(7 * i) % 200 + 3 for i in range(length)]
    prompts = [tuple(row) for row in ROWS]
    longer = [(*front, *row) for row in ROWS]
    choices = [(50, 51), (50, 60), (70,)]
    texts = [Text(prompt, (9, 8, 7)) for prompt in prompts]
    answers = _written(base, longer)
    scores = log_likelihoods(base, longer, choices)
    with torch.no_grad():
        logits = _logs(base, [Text((*front, *t.prompt), t.written) for t in texts])
    put(base.model, front)
    assert _written(base, prompts) == answers
    assert log_likelihoods(base, prompts, choices) == pytest.approx(scores, abs=1e-3)
    with torch.no_grad():
        assert distance(_logs(base, texts), logits) < 1e-5


def _written(base: Base, prompts: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return [one.ids for one in Engine(base).generate(prompts, max_new_tokens=5, stop_ids=())]


def test_it_takes_room_in_the_context() -> None:
    base = tiny()
    prompt = tuple([9] * (base.context - 4))
    assert len(Engine(base).generate([prompt], max_new_tokens=9, stop_ids=())[0].ids) == 4
    with_embeddings(base.model, [5, 6, 7])
    assert len(Engine(base).generate([prompt], max_new_tokens=9, stop_ids=())[0].ids) == 1
    with pytest.raises(DataError, match="needs room for 1 more"):
        Engine(base).generate([(*prompt, 9)], max_new_tokens=9, stop_ids=())


def test_nothing_is_left_when_it_is_taken_away() -> None:
    model = tiny_model()
    assert lead_of(model) is NONE
    with_keys(model, FRONT)
    assert lead_of(model).length == len(FRONT)
    set_lead(model, NONE)
    assert lead_of(model) is NONE
