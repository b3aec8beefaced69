"""The plain path: a model's own code, with its own attention, on whole rows.

A pass stands for rows (`Layout.whole`). Each is written out from its first token on, and rows are filled up
at the right. No mask is needed: in a causal model nothing sees what comes after it. So this is right for
every causal model, attention or not, and slow: what rows share, and what was read before, is computed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from rung import threads
from rung.compute.attention import NAME, Layout, Whole

PASS_TOKENS = 4096  # tokens that the model reads at once, filling included; a longer row is read alone


def is_used(model: PreTrainedModel) -> bool:
    """Whether a model is computed here: its attention layers do not call rung's attention."""
    return bool(model.config._attn_implementation != NAME)


def hidden_states(
    model: PreTrainedModel, ids: Tensor, layout: Layout, wanted: Tensor | None = None
) -> Tensor:
    """Last hidden states (B * T, d) of a pass over tokens ids (B, T), or of its tokens `wanted` (N,), (N, d).

    Where a pass with gradients is read in parts, each is computed again in the backward pass, for its memory.
    """
    whole = layout.whole(ids)
    parts = _parts(whole.lengths)
    read = partial(own_states, model)
    again = len(parts) > 1 and torch.is_grad_enabled()
    states = []
    for some in parts:
        rows = _rows(whole, some)
        threads.pace()
        out = checkpoint(read, rows, use_reentrant=False) if again else read(rows)
        states.append(out.flatten(0, 1))  # (R, longest, d) -> (R * longest, d)
    return torch.cat(states)[_places(whole, parts, wanted)]


@torch.no_grad()
def every_layer(model: PreTrainedModel, ids: Tensor, layout: Layout, layers: int) -> Iterator[Tensor]:
    """What comes out of each of the first `layers` decoder layers in a pass over ids (B, T): (B * T, d)."""
    whole = layout.whole(ids)
    parts = _parts(whole.lengths)
    found: list[list[Tensor]] = [[] for _ in range(layers)]
    for some in parts:
        with outputs(model, layers) as states:
            own_states(model, _rows(whole, some))
        for kept, state in zip(found, states, strict=True):
            kept.append(state.flatten(0, 1))
    places = _places(whole, parts, None)
    yield from (torch.cat(kept)[places] for kept in found)


def own_states(model: PreTrainedModel, ids: Tensor, **settings: Any) -> Tensor:
    """Last hidden states (B, T, d) of ids (B, T) by the model's own code, in its number format."""
    states: Tensor = _body(model)(input_ids=ids, use_cache=False, **settings).last_hidden_state
    return states.to(model.dtype)  # some models give them to their head in fp32


def _body(model: PreTrainedModel) -> nn.Module:
    """The model without its head."""
    inner: nn.Module = model.base_model
    if inner is model:  # where the model does not call it as its class says
        inner = getattr(model, "model", model)
    return inner


@contextmanager
def outputs(model: PreTrainedModel, layers: int) -> Iterator[list[Tensor]]:
    """A list that the states (B, T, d) after each of the first `layers` decoder layers are added to."""
    states: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, out: Any) -> None:
        states.append(out[0] if isinstance(out, tuple) else out)

    hooks = [layer.register_forward_hook(keep) for layer in decoder_layers(model)[:layers]]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()


def decoder_layers(model: PreTrainedModel) -> Sequence[nn.Module]:
    """The decoder layers, whatever the model calls them. Raises ValueError where there are none in a list."""
    inner = _body(model)
    count = model.config.get_text_config().num_hidden_layers
    for module in inner.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return list(module)
    raise ValueError(f"{type(inner).__name__} has no list of {count} decoder layers")


def _parts(lengths: Sequence[int]) -> list[list[int]]:
    """Rows of similar length together, at most `PASS_TOKENS` with what fills them up."""
    parts: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if parts and lengths[parts[-1][0]] * (len(parts[-1]) + 1) <= PASS_TOKENS:
            parts[-1].append(row)
        else:
            parts.append([row])
    return parts


def _rows(whole: Whole, some: Sequence[int]) -> Tensor:
    """The ids (R, longest) of some rows, the longest first."""
    index = torch.tensor(some, device=whole.ids.device)
    return whole.ids[index, : whole.lengths[some[0]]]


def _places(whole: Whole, parts: Sequence[Sequence[int]], wanted: Tensor | None) -> Tensor:
    """Where the tokens of the pass are among the tokens of all parts, one after the other: (N,)."""
    first = [0] * len(whole.lengths)
    size = 0
    for some in parts:
        for row in some:
            first[row] = size
            size += whole.lengths[some[0]]
    places = torch.tensor(first, device=whole.row.device)[whole.row] + whole.at
    return places if wanted is None else places[wanted]
