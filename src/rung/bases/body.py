"""The body of a model: its decoder layers and last norm, by the path that was chosen for it.

    fused       Llama-like layers, here, made of functions with hand-written gradients
                (`rung.bases.functions`); in the last one, what follows the attention is for wanted rows alone
    interface   transformers' layers, whose attention is ours (`rung.bases.attention`)
    plain       the model's own code on whole rows (`rung.bases.plain`)

`rung.bases.paths` chooses when a base is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaModel
from transformers.models.mistral.modeling_mistral import MistralDecoderLayer, MistralModel
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2Model

from rung import threads
from rung.bases import plain
from rung.bases.attention import Layout, attending
from rung.bases.functions import Heads, Mlp, Norm, Output
from rung.bases.projection import Projection

_MODELS = {LlamaModel: LlamaDecoderLayer, MistralModel: MistralDecoderLayer, Qwen2Model: Qwen2DecoderLayer}
_WHOLE = "this model runs as a whole or not at all"


def hidden_states(
    model: PreTrainedModel,
    inputs: Tensor,
    positions: Tensor,
    layout: Layout,
    rows: Tensor | None = None,
    first: int = 0,
) -> Tensor:
    """Last hidden states of tokens at `positions` (B, T), attended as `layout` says.

    `inputs` are token ids (B, T) or, with ``first`` > 0, what decoder layer `first` reads (B, T, d), which
    `trunk` gives. Returns all states, (B * T, d), or (N, d), those at `rows` (N,), indices into B * T, which
    may repeat. The plain path counts positions by itself.
    """
    body = _body_of(model)
    if body is not None:
        h = inputs if first else embed(model, inputs)
        return body.run(h, positions, layout, rows, slice(first, None))
    if first:
        raise ValueError(_WHOLE)
    if plain.is_used(model):
        return plain.hidden_states(model, inputs, layout, rows)
    threads.pace()
    with attending(layout):
        out = plain.own_states(model, inputs, position_ids=positions)
    out = out.flatten(0, 1)  # (B, T, d) -> (B * T, d)
    return out if rows is None else out[rows]


def trunk(model: PreTrainedModel, ids: Tensor, positions: Tensor, layout: Layout, layers: int) -> Tensor:
    """What comes out of the first `layers` decoder layers for tokens ids (B, T): (B * T, d).

    Raises ValueError for a model that this file does not compute; see `why_not`.
    """
    body = _body_of(model)
    if body is None:
        raise ValueError(_WHOLE)
    return body.run(embed(model, ids), positions, layout, layers=slice(layers))


def every_layer(
    model: PreTrainedModel, ids: Tensor, positions: Tensor, layout: Layout, layers: int
) -> Iterator[Tensor]:
    """What comes out of each of the first `layers` decoder layers for tokens ids (B, T): (B * T, d) each.

    Without the model's last norm. For inference: nothing is kept for a backward pass.
    """
    body = _body_of(model)
    if body is not None:
        yield from body.each(embed(model, ids), positions, layout, slice(layers))
        return
    if plain.is_used(model):
        yield from plain.every_layer(model, ids, layout, layers)
        return
    with plain.outputs(model, layers) as states, attending(layout):
        plain.own_states(model, ids, position_ids=positions)
    yield from (state.flatten(0, 1) for state in states)  # (B, T, d) -> (B * T, d)


def depth(model: PreTrainedModel) -> int:
    """The number of decoder layers."""
    return len(plain.decoder_layers(model))


def embed(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """What the first layer reads for tokens ids (B, T): (B, T, d)."""
    words: Any = model.get_input_embeddings()
    out: Tensor = words(ids)
    return out


def frozen_weights(model: PreTrainedModel, layers: int) -> list[Tensor]:
    """The weights of the embedding and of the first `layers` decoder layers."""
    inner: Any = model.base_model
    parts = [model.get_input_embeddings(), *inner.layers[:layers]]
    return [weight for part in parts for weight in part.parameters()]


def why_not(model: PreTrainedModel) -> str | None:
    """Why a model is not on the fused path; None where it is."""
    if model in _refused:
        return _refused[model]
    inner = model.base_model
    layer = _MODELS.get(type(inner))
    if layer is None:
        return f"the model is a {type(inner).__name__}, for whose layers rung has no fast path"
    config = model.config.get_text_config()
    if config.hidden_act != "silu":
        return f"the model's activation is {config.hidden_act}, not silu"
    for one in inner.layers:
        if type(one) is not layer:
            return f"a layer is a {type(one).__name__}"
        for module in (*_attention_inputs(one), one.self_attn.o_proj, *_mlp(one)):
            if type(module) is not nn.Linear and not hasattr(module, "joint_update"):
                return f"the method's {type(module).__name__} works alone"
    return None


def refuse(model: PreTrainedModel, why: str | None) -> None:
    """Keep a model off the fused path from now on; None lets it in where its layers are of the right kind."""
    _bodies.pop(model, None)
    if why is None:
        _refused.pop(model, None)
    else:
        _refused[model] = why


def _attention_inputs(layer: Any) -> tuple[nn.Module, ...]:
    return layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj


def _mlp(layer: Any) -> tuple[nn.Module, ...]:
    return layer.mlp.gate_proj, layer.mlp.up_proj, layer.mlp.down_proj


@dataclass(frozen=True)
class _Layer:
    """One decoder layer, its linear layers grouped by the input that they read."""

    index: int
    module: Any
    qkv: Projection
    o: Projection
    gate_up: Projection
    down: Projection
    window: int | None

    @classmethod
    def of(cls, index: int, module: Any, config: Any) -> _Layer:
        gate, up, down = _mlp(module)
        attention = module.self_attn
        window = getattr(attention, "sliding_window", None)
        if isinstance(module, MistralDecoderLayer):
            window = getattr(config, "sliding_window", None)
        return cls(
            index=index,
            module=module,
            qkv=Projection(_attention_inputs(module)),
            o=Projection([attention.o_proj]),
            gate_up=Projection([gate, up]),
            down=Projection([down]),
            window=window,
        )

    def fits(self, module: Any) -> bool:
        """Whether none of its linear layers has been replaced since."""
        now = (*_attention_inputs(module), module.self_attn.o_proj, *_mlp(module))
        parts = (self.qkv, self.o, self.gate_up, self.down)
        return all(a is b for a, b in zip(now, (m for part in parts for m in part.modules), strict=True))


class Body:
    """The decoder layers of one model."""

    def __init__(self, model: PreTrainedModel) -> None:
        inner: Any = model.base_model
        config = model.config.get_text_config()
        self.inner = inner
        self.layers = [_Layer.of(i, module, config) for i, module in enumerate(inner.layers)]

    def fits(self) -> bool:
        """Whether the model still has the linear layers that this was made from."""
        return all(layer.fits(layer.module) for layer in self.layers)

    def run(
        self,
        h: Tensor,
        positions: Tensor,
        layout: Layout,
        rows: Tensor | None = None,
        layers: slice = slice(None),
    ) -> Tensor:
        """h (B, T, d), the input of the first of `layers` -> normed last states (N, d); see `hidden_states`.

        Where `layers` stops before the last one, the result is the input of the next layer.
        """
        chosen = self.layers[layers]
        ends = bool(chosen) and chosen[-1] is self.layers[-1]
        states = self.each(h, positions, layout, layers, rows)
        h = h.flatten(0, 1)  # (B * T, d)
        for h in states:  # noqa: B007  the last one is the result
            pass
        if not ends:
            return h
        norm = self.inner.norm
        out: Tensor = Norm.apply(h, norm.weight, norm.variance_epsilon)  # type: ignore[no-untyped-call]
        return out

    def each(
        self, h: Tensor, positions: Tensor, layout: Layout, layers: slice, rows: Tensor | None = None
    ) -> Iterator[Tensor]:
        """h (B, T, d), the input of the first of `layers` -> the output (B * T, d) of each of them.

        Of the model's last layer only `rows` (N,), where they are given: (N, d).
        """
        cos, sin = self.inner.rotary_emb(h, position_ids=positions)
        half = cos.shape[-1] // 2
        angles = tuple(part[..., :half].reshape(-1, 1, half) for part in (cos, sin))  # (B * T, 1, D / 2)
        shape, h = h.shape[:2], h.flatten(0, 1)  # (B, T, d) -> (B * T, d)
        for layer in self.layers[layers]:
            h = _run_layer(layer, h, shape, angles, layout, rows if layer is self.layers[-1] else None)
            yield h


_bodies: WeakKeyDictionary[PreTrainedModel, Body] = WeakKeyDictionary()
_refused: WeakKeyDictionary[PreTrainedModel, str] = WeakKeyDictionary()


def _body_of(model: PreTrainedModel) -> Body | None:
    """The body of a model, rebuilt if a method was attached or detached; None if `why_not` has a reason.

    A body that still fits its model has passed `why_not`, so the reasons are checked only for a new one.
    """
    body = _bodies.get(model)
    if body is None or not body.fits():
        if why_not(model) is not None:
            return None
        body = _bodies[model] = Body(model)
    return body


def _run_layer(
    layer: _Layer,
    h: Tensor,
    shape: torch.Size,
    angles: tuple[Tensor, ...],
    layout: Layout,
    rows: Tensor | None,
) -> Tensor:
    """One layer on h (B * T, d); only `rows` of it where they are given."""
    attention, norm = layer.module.self_attn, layer.module.input_layernorm
    q, k, v = Heads.apply(  # type: ignore[no-untyped-call]
        h, norm.weight, norm.variance_epsilon, layer.qkv, attention.head_dim, *angles, *layer.qkv.leaves
    )
    # (B * T, heads or kv_heads, D) -> (B, heads or kv_heads, T, D)
    q, k, v = (part.view(*shape, *part.shape[1:]).transpose(1, 2) for part in (q, k, v))
    out = layout.attend(layer.index, q, k, v, attention.scaling, layer.window)
    out = out.transpose(1, 2).reshape(len(h), -1)  # (B, heads, T, D) -> (B * T, heads * D)
    if rows is not None:
        h, out = h[rows], out[rows]  # (N, d), (N, heads * D)
    h = Output.apply(h, out, layer.o, *layer.o.leaves)  # type: ignore[no-untyped-call]
    norm = layer.module.post_attention_layernorm
    leaves = (*layer.gate_up.leaves, *layer.down.leaves)
    result: Tensor = Mlp.apply(  # type: ignore[no-untyped-call]
        h, norm.weight, norm.variance_epsilon, layer.gate_up, layer.down, *leaves
    )
    return result
