"""The path of a base, chosen by measuring when it is loaded; which paths there are: `rung.compute.body`.

A few short rows are read one by one by the model's own code: what is right. Then, on each path from the
fastest on, the rows are read together: two with a common beginning and one without in one pass, and tails
after a beginning that was kept. Hidden states, and the gradient of a random weighting of them in the
embeddings, must be those of the rows alone. In 16-bit formats rounding hides small faults, so the states of a
row must also stay as they are when the tokens of the others change, and on the plain path when other tokens
fill the rows up. The first path where all this holds is taken. No list of classes decides what is right.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from rung.bases.base import OWN_ATTENTION, Route, quiet
from rung.border import foreign, is_fault, said
from rung.compute import body, plain
from rung.compute.attention import NAME, Prefix
from rung.compute.head import target_logits
from rung.compute.passes import over_segments, over_tree, tree_of
from rung.compute.tree import Tree
from rung.data.prefix import SHORTEST
from rung.errors import BaseModelError

TAILS = (3, 5)  # tokens of the two rows with a common beginning, after it
OTHER = 6  # tokens of the row without
_DAMAGED = "Copy config.json and the weights from the original again, or load it in fp32"
_CHOOSE = "Choose another base: `rung bases` lists some"
Pair = tuple[Tensor, Tensor]  # hidden states and the gradient in the embeddings, each (n, d) in fp32


@dataclass(frozen=True, slots=True)
class _Limits:
    """The most that numbers may be off, as a share of their 2-norm."""

    states: float
    gradient: float
    leak: float  # of states, by the tokens of other rows
    logits: float


_FINE = _Limits(states=1e-3, gradient=1e-2, leak=1e-4, logits=1e-3)
_COARSE = _Limits(states=0.15, gradient=0.5, leak=0.05, logits=0.05)  # 30 layers in bf16: 0.02, 0.16, 0, 0


class _Fault(NamedTuple):
    """Something that may be wrong with a path: what was found, what is right, and how far off it may be."""

    what: str  # continued by how far off it is
    found: Tensor
    right: Tensor
    most: float


@dataclass(frozen=True, slots=True)
class _Trial:
    """The rows, how much each state counts in what the gradient is of, and what is right."""

    rows: list[list[int]]
    weights: list[Tensor]  # (n, d) of each row, in fp32
    truth: list[Pair]
    limits: _Limits


def choose(model: PreTrainedModel, name: str, avoid: Collection[int] = ()) -> Route:
    """The path for a frozen `model`, which is set up for it. Rows do without the tokens `avoid`.

    Raises `BaseModelError`, which says `name`, where the model computes no numbers, or does not compute a
    row as it does alone on any path.
    """
    with quiet(), torch.enable_grad():
        model.set_attn_implementation(OWN_ATTENTION)
        trial = _alone(model, name, avoid)
        body.refuse(model, None)
        slower = body.why_not(model) or _wrong(partial(_together, model, trial))
        model.set_attn_implementation(NAME)
        if slower is None:
            return Route("fused", "")
        body.refuse(model, slower)
        if plain.is_used(model):
            slowest: str | None = f"transformers gives no access to the attention of {type(model).__name__}"
        else:
            slowest = _wrong(partial(_together, model, trial))
        if slowest is None:
            return Route("interface", slower)
        body.refuse(model, slowest)
        model.set_attn_implementation(OWN_ATTENTION)
        wrong = _wrong(partial(_padded, model, trial))
    if wrong is None:
        return Route("plain", slowest)
    raise BaseModelError(
        f"the model does not read a row as it reads the row alone: {wrong}",
        where=name,
        why="A model that continues text must not look at what comes after a token",
        fix=_CHOOSE,
    )


def fault(model: PreTrainedModel) -> str | None:
    """What is wrong with the path that `model` is on, now that an adapter sits on it; None where nothing is.

    Raises `BaseModelError` where the model computes no numbers.
    """
    attention = model.config._attn_implementation
    ours = body.why_not(model) is None or not plain.is_used(model)
    with quiet(), torch.enable_grad():
        try:
            model.set_attn_implementation(OWN_ATTENTION)
            trial = _alone(model, "", ())
        finally:
            model.set_attn_implementation(attention)
        return _wrong(partial(_together if ours else _padded, model, trial))


def _wrong(read: Callable[[], Iterator[_Fault]]) -> str | None:
    """What is wrong with a path that `read` tries; None where nothing is."""
    try:
        for fault in read():
            off = _off(fault.found, fault.right)
            if not off <= fault.most:  # NaN is wrong too
                return f"{fault.what} {_percent(off)}"
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


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else f"{share:.2%}"


def _alone(model: PreTrainedModel, name: str, avoid: Collection[int]) -> _Trial:
    """The trial for a model, whose attention must be its own."""

    def unusable(text: str) -> BaseModelError:
        return BaseModelError(f"the model cannot be run: {text}", where=name, fix=_DAMAGED)

    rows = _rows(int(model.get_input_embeddings().weight.shape[0]), avoid)
    draw = torch.Generator().manual_seed(0)
    weights, truth = [], []
    for row in rows[:-1]:
        with foreign(unusable), _nudged(model) as nudges:
            states = plain.own_states(model, torch.tensor([row], device=model.device))[0]  # (n, d)
            weights.append(torch.randn(states.shape, generator=draw).to(states.device))
            truth.append(_pair(states, nudges, [weights[-1]], [range(len(row))]))
    with foreign(unusable), torch.no_grad():
        ids = torch.tensor([rows[-1]], device=model.device)
        states = plain.own_states(model, ids)[0]
        weights.append(torch.zeros_like(states, dtype=torch.float32))  # its gradient must be 0, then
        truth.append((states.float(), weights[-1]))
        logits = model(input_ids=ids, use_cache=False).logits[0].float()  # (n, vocabulary)
        ours = target_logits(model, states).float()
    for numbers in (logits, *(states for states, _ in truth)):
        if not bool(numbers.isfinite().all()):
            raise BaseModelError(
                "the model computes NaN or infinity",
                where=name,
                why="A value in config.json or in the weights is damaged or out of range",
                fix=_DAMAGED,
            )
    limits = _FINE if model.dtype in (torch.float32, torch.float64) else _COARSE
    if not (off := _off(ours, logits)) <= limits.logits:
        raise BaseModelError(
            f"rung's head for {type(model).__name__} is off by {_percent(off)} from the model's logits",
            where=name,
            why="The model changes its logits in a way that rung does not know",
            fix=_CHOOSE,
        )
    return _Trial(rows, weights, truth, limits)


def _together(model: PreTrainedModel, trial: _Trial) -> Iterator[_Fault]:
    """All rows in one pass, again with other tokens around the last, and tails after what was kept."""
    tree, limits = tree_of(model, trial.rows), trial.limits
    places = [tree.places(row) for row in range(len(trial.rows))]
    whole = over_tree(model, tree)
    with _nudged(model) as nudges:
        states = body.hidden_states(model, whole)  # (T, d)
    states, gradient = _pair(states, nudges, trial.weights, places)
    right, right_gradient = _joined(trial, tree, places)
    yield _Fault("hidden states of rows read together are off by", states, right, limits.states)
    yield _Fault("gradients of rows read together are off by", gradient, right_gradient, limits.gradient)
    with torch.no_grad():
        last = torch.tensor(max(places, key=max), device=model.device)
        others = whole.ids.roll(1)
        others[0, last] = whole.ids[0, last]
        again = body.hidden_states(model, replace(whole, ids=others))[last].float()
        yield _Fault("the tokens of other rows change hidden states by", again, states[last], limits.leak)
        beginning, kept = over_segments(model, [trial.rows[0][:SHORTEST]], keep=True)
        body.hidden_states(model, beginning)
        tails = [row[SHORTEST:] for row in trial.rows[:2]]
        after, _ = over_segments(model, tails, Prefix(kept.keys, kept.values))
        states = body.hidden_states(model, after).float()
    right = torch.cat([states[SHORTEST:] for states, _ in trial.truth[:2]])
    yield _Fault("hidden states after a beginning that was kept are off by", states, right, limits.states)


def _joined(trial: _Trial, tree: Tree, places: Sequence[Sequence[int]]) -> Pair:
    """What is right at the places of the tree: the state of any row there, the gradients of all summed."""
    like = trial.truth[0][0]
    states, gradient = (like.new_zeros(len(tree.ids), like.shape[1]) for _ in range(2))
    for at, (own, own_gradient) in zip(places, trial.truth, strict=True):
        index = torch.tensor(at, device=like.device)
        states[index] = own
        gradient.index_add_(0, index, own_gradient)
    return states, gradient


def _padded(model: PreTrainedModel, trial: _Trial) -> Iterator[_Fault]:
    """All rows at once, filled up at the right, and again with another token."""
    limits = trial.limits
    rows = [torch.tensor(row) for row in trial.rows]
    ids = pad_sequence(rows, batch_first=True).to(model.device)
    with _nudged(model) as nudges:
        states = plain.own_states(model, ids)  # (R, longest, d)
    longest = ids.shape[1]
    places = [range(i * longest, i * longest + len(row)) for i, row in enumerate(rows)]
    states, gradient = _pair(states.flatten(0, 1), nudges, trial.weights, places)
    with torch.no_grad():
        ids = pad_sequence(rows, batch_first=True, padding_value=trial.rows[0][0]).to(model.device)
        again = plain.own_states(model, ids).flatten(0, 1).float()
    for at, (right, right_gradient) in zip(places, trial.truth, strict=True):
        own = slice(at.start, at.stop)
        yield _Fault("hidden states of rows read together are off by", states[own], right, limits.states)
        yield _Fault(
            "gradients of rows read together are off by", gradient[own], right_gradient, limits.gradient
        )
        yield _Fault("what fills rows up changes hidden states by", again[own], states[own], limits.leak)


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
