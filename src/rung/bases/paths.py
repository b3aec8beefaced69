"""The path of a base, chosen by measuring when it is loaded; which paths there are: `rung.bases.body`.

A few short rows are read one by one by the model's own code: what is right. Then, on each path from the
fastest on, the rows are read together: two with a common beginning and one without in one pass, and tails
after a beginning that was kept. Hidden states, and the gradient of a random weighting of them in the
embeddings, must be the same as those of the rows alone. The first path where they are is taken. On the plain
path the rows must not depend on what fills them up. No list of model classes decides what is right.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from rung.bases import body, plain
from rung.bases.attention import NAME, Packed, Prefix, positions
from rung.bases.base import Route, quiet
from rung.bases.head import target_logits
from rung.bases.tree import SHORTEST, Tree, build
from rung.border import foreign, is_fault, said
from rung.errors import BaseModelError

TAILS = (3, 5)  # tokens of the two rows with a common beginning, after it
OTHER = 6  # tokens of the row without
_DAMAGED = "Copy config.json and the weights from the original again, or load it in fp32"
_CHOOSE = "Choose another base: `rung bases` lists some"
# The most that states and gradients may be off, as a share of their 2-norm: fp32, and 16-bit formats.
_LIMITS = {torch.float64: (1e-3, 1e-2), torch.float32: (1e-3, 1e-2)}
_COARSE = (0.15, 0.5)  # rounding alone gives 0.02 and 0.16 in 30 layers

Pair = tuple[Tensor, Tensor]  # hidden states and the gradient in the embeddings, each (n, d) in fp32


@dataclass(frozen=True, slots=True)
class _Trial:
    """The rows, how much each state counts in what the gradient is of, and what is right."""

    rows: list[list[int]]
    weights: list[Tensor]  # (n, d) of each row, in fp32
    truth: list[Pair]
    limits: tuple[float, float]


def choose(model: PreTrainedModel, name: str, avoid: Collection[int] = ()) -> Route:
    """The path for a frozen `model`, which is set up for it. Rows do without the tokens `avoid`.

    Raises `BaseModelError`, which says `name`, where the model computes no numbers, or does not compute a
    row as it does alone on any path.
    """
    with quiet(), torch.enable_grad():
        model.set_attn_implementation(plain.OWN)
        trial = _alone(model, name, avoid)
        body.refuse(model, None)
        reasons = []
        why = body.why_not(model) or _wrong(partial(_together, model, trial), trial)
        if why is None:
            model.set_attn_implementation(NAME)
            return Route("fused", "")
        body.refuse(model, why)
        reasons.append(why)
        model.set_attn_implementation(NAME)
        if plain.is_used(model):
            why = f"transformers gives no access to the attention of {type(model).__name__}"
        else:
            why = _wrong(partial(_together, model, trial), trial)
        if why is None:
            return Route("interface", reasons[0])
        body.refuse(model, why)
        model.set_attn_implementation(plain.OWN)
        wrong = _wrong(partial(_padded, model, trial), trial)
    if wrong is None:
        return Route("plain", why)
    raise BaseModelError(
        f"the model does not read a row as it reads the row alone: {wrong}",
        where=name,
        why="A model that continues text must not look at what comes after a token",
        fix=_CHOOSE,
    )


def _wrong(read: Callable[[], Iterator[tuple[Pair, Pair]]], trial: _Trial) -> str | None:
    """What is wrong with what a path `read`, given with what is right; None where nothing is."""
    most, most_gradient = trial.limits
    try:
        for (states, gradient), (right, right_gradient) in read():
            off, gradient_off = _off(states, right), _off(gradient, right_gradient)
            if not off <= most:
                return f"hidden states of rows read together are off by {off:.0%}"
            if not gradient_off <= most_gradient:
                return f"gradients of rows read together are off by {gradient_off:.0%}"
    except MemoryError:
        raise
    except BaseException as error:
        if not is_fault(error):
            raise
        return said(error)
    return None


def _off(found: Tensor, right: Tensor) -> float:
    """The distance of the two, as a share of the size of the second."""
    return float((found - right).norm() / right.norm().clamp_min(1e-30))


def _alone(model: PreTrainedModel, name: str, avoid: Collection[int]) -> _Trial:
    """The trial for a model, whose attention must be its own."""

    def unusable(text: str) -> BaseModelError:
        return BaseModelError(f"the model cannot be run: {text}", where=name, fix=_DAMAGED)

    rows = _rows(int(model.get_input_embeddings().weight.shape[0]), avoid)
    draw = torch.Generator().manual_seed(0)
    weights, truth = [], []
    for row in rows:
        with foreign(unusable), _nudged(model) as nudges:
            ids = torch.tensor([row], device=model.device)
            states = plain.own_states(model, ids)[0]  # (n, d)
            weights.append(torch.randn(states.shape, generator=draw).to(states.device))
            truth.append(_pair(states, nudges, [weights[-1]], [range(len(row))]))
    with foreign(unusable), torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[0]  # (n, vocabulary)
    for numbers in (logits, *(states for states, _ in truth)):
        if not bool(numbers.isfinite().all()):
            raise BaseModelError(
                "the model computes NaN or infinity",
                where=name,
                why="A value in config.json or in the weights is damaged or out of range",
                fix=_DAMAGED,
            )
    _check_head(model, name, states.detach(), logits)
    return _Trial(rows, weights, truth, _LIMITS.get(model.dtype, _COARSE))


def _check_head(model: PreTrainedModel, name: str, states: Tensor, logits: Tensor) -> None:
    """Raises `BaseModelError` where the head gives other logits than the model."""
    off = _off(target_logits(model, states).float(), logits.float())
    if off > (1e-3 if model.dtype in _LIMITS else 0.05):
        raise BaseModelError(
            f"rung's head for {type(model).__name__} is off by {off:.0%} from the model's logits",
            where=name,
            why="The model changes its logits in a way that rung does not know",
            fix=_CHOOSE,
        )


def _together(model: PreTrainedModel, trial: _Trial) -> Iterator[tuple[Pair, Pair]]:
    """All rows in one pass, then the tails of two after their kept beginning; with what is right."""
    tree = build(trial.rows)
    places = [tree.places(row) for row in range(len(trial.rows))]
    ids, at = (torch.tensor([x], device=model.device) for x in (tree.ids, tree.positions))
    with _nudged(model) as nudges:
        states = body.hidden_states(model, ids, at, tree)  # (T, d)
    yield _pair(states, nudges, trial.weights, places), _joined(trial, tree, places)
    lengths = [SHORTEST, *TAILS]
    first = Packed(lengths[:1], keep=True)
    with torch.no_grad():
        ids = torch.tensor([trial.rows[0][:SHORTEST]], device=model.device)
        body.hidden_states(model, ids, positions(lengths[:1], 0, model.device), first)
        after = Packed(lengths[1:], Prefix(first.keys, first.values))
        tails = [token for row in trial.rows[:2] for token in row[SHORTEST:]]
        ids = torch.tensor([tails], device=model.device)
        states = body.hidden_states(model, ids, positions(lengths[1:], SHORTEST, model.device), after)
    right = torch.cat([states[SHORTEST:] for states, _ in trial.truth[:2]])
    yield (states.float(), right), (right, right)  # no gradients here


def _joined(trial: _Trial, tree: Tree, places: Sequence[Sequence[int]]) -> Pair:
    """What is right at the places of the tree: the state of any row there, the gradients of all summed."""
    like = trial.truth[0][0]
    states, gradient = (like.new_zeros(len(tree.ids), like.shape[1]) for _ in range(2))
    for at, (own, own_gradient) in zip(places, trial.truth, strict=True):
        index = torch.tensor(at, device=like.device)
        states[index] = own
        gradient.index_add_(0, index, own_gradient)
    return states, gradient


def _padded(model: PreTrainedModel, trial: _Trial) -> Iterator[tuple[Pair, Pair]]:
    """All rows at once, filled up at the right; each with what is right."""
    ids = pad_sequence([torch.tensor(row) for row in trial.rows], batch_first=True).to(model.device)
    with _nudged(model) as nudges:
        states = plain.own_states(model, ids)  # (R, longest, d)
    longest = ids.shape[1]
    places = [range(i * longest, i * longest + len(row)) for i, row in enumerate(trial.rows)]
    states, gradient = _pair(states.flatten(0, 1), nudges, trial.weights, places)
    for at, right in zip(places, trial.truth, strict=True):
        own = slice(at.start, at.stop)
        yield (states[own], gradient[own]), right


def _pair(
    states: Tensor, nudges: Sequence[Tensor], weights: Sequence[Tensor], places: Sequence[Sequence[int]]
) -> Pair:
    """States (T, d), and the gradient in the embeddings of their sum, weighted at the places of each row."""
    index = torch.tensor([place for row in places for place in row], device=states.device)
    loss = (states.float()[index] * torch.cat(list(weights))).sum()
    (gradient,) = torch.autograd.grad(loss, list(nudges))
    return states.detach().float(), gradient.flatten(0, 1).float()


@contextmanager
def _nudged(model: PreTrainedModel) -> Iterator[list[Tensor]]:
    """A list with a tensor of zeros that takes gradients, added to the embeddings of the next pass."""
    nudges: list[Tensor] = []

    def add(_module: Any, _inputs: Any, out: Tensor) -> Tensor:
        nudges.append(torch.zeros_like(out, requires_grad=True))
        return out + nudges[-1]

    hook = model.get_input_embeddings().register_forward_hook(add)
    try:
        yield nudges
    finally:
        hook.remove()


def _rows(vocabulary: int, avoid: Collection[int]) -> list[list[int]]:
    """Two rows with a common beginning that is long enough to be shared, and one without."""
    draw = random.Random(0)
    words = [draw.randrange(vocabulary) for _ in range(256)]
    words = [word for word in words if word not in avoid] or words
    shared = words[:SHORTEST]
    rows, at = [], SHORTEST
    for length in (*TAILS, OTHER):
        rows.append(words[at : at + length])
        at += length
    return [shared + rows[0], shared + rows[1], rows[2]]
