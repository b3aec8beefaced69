"""Decoder layers of the fused path: where each family keeps its weights, and one layer's computation.

The functions that a layer is made of, with their formulas and gradients, are in `rung.compute.functions`. A
class in the table below says only where the parts are: whether they compute the same is measured when a base
is loaded (`rung.compute.paths`).

    Llama, Mistral, Qwen 2     the plain layer
    Qwen 3                     norms of the heads of queries and keys
    Gemma 3                    these too; norms of what is added to h; gelu; norm weights that are 1 + w;
                               angles by the kind of layer
    Phi 3                      queries, keys and values in one weight, gate and up in another; angles for a
                               part of each head
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.gemma3.modeling_gemma3 import Gemma3DecoderLayer, Gemma3RMSNorm, Gemma3TextModel
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaModel
from transformers.models.mistral.modeling_mistral import MistralDecoderLayer, MistralModel
from transformers.models.phi3.modeling_phi3 import Phi3DecoderLayer, Phi3Model
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2Model
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer, Qwen3Model

from rung.compute import by_row
from rung.compute.attention import Layout
from rung.compute.functions import ACTIVATIONS, Heads, Linear, Mlp, Norm, NormedHeads, Output, Shape
from rung.compute.parallel import parallel_of
from rung.compute.projection import Projection
from rung.compute.quantized import QuantizedLinear
from rung.compute.sites import Site

_MODELS: dict[type, type] = {
    LlamaModel: LlamaDecoderLayer,
    MistralModel: MistralDecoderLayer,
    Qwen2Model: Qwen2DecoderLayer,
    Qwen3Model: Qwen3DecoderLayer,
    Gemma3TextModel: Gemma3DecoderLayer,
    Phi3Model: Phi3DecoderLayer,
}
Angles = tuple[Tensor, Tensor]  # cos and sin, (N, 1, r / 2)


def why_not(model: PreTrainedModel) -> str | None:
    """Why a model's layers are not of a kind in the table; None where they are."""
    inner: Any = model.base_model
    kind = _MODELS.get(type(inner))
    if kind is None:
        return f"the model is a {type(inner).__name__}, for whose layers rung has no fast path"
    act = _act(model.config.get_text_config())
    if act not in ACTIVATIONS:
        return f"the model's activation is {act}, not {' or '.join(ACTIVATIONS)}"
    for one in inner.layers:
        if type(one) is not kind:
            return f"a layer is a {type(one).__name__}"
        for module in _linears(one):
            inner = module.base if isinstance(module, Site) else module
            if type(inner) is not nn.Linear and not isinstance(inner, QuantizedLinear):
                return f"a linear layer is a {type(inner).__name__}"
    return None


@dataclass(frozen=True)
class Layer:
    """One decoder layer, its linear layers grouped by the input that they read."""

    index: int
    module: Any
    qkv: Projection
    o: Projection
    gate_up: Projection
    down: Projection
    shape: Shape
    window: int | None
    act: str
    kind: str | None  # of its angles, where a model has several

    @classmethod
    def of(cls, index: int, module: Any, config: Any) -> Layer:
        """The layer `module` of a model for which `why_not` has no reason."""
        attention = module.self_attn
        window = getattr(attention, "sliding_window", None)
        if isinstance(module, MistralDecoderLayer | Phi3DecoderLayer):
            window = getattr(config, "sliding_window", None)
        *qkv, o = _attention(module)
        *gate_up, down = _mlp(module)
        return cls(
            index=index,
            module=module,
            qkv=Projection(qkv),
            o=Projection([o]),
            gate_up=Projection(gate_up),
            down=Projection([down]),
            shape=Shape(config.num_attention_heads, config.num_key_value_heads, attention.head_dim),
            window=window,
            act=_act(config),
            kind=attention.layer_type if isinstance(module, Gemma3DecoderLayer) else None,
        )

    def fits(self) -> bool:
        """Whether none of its linear layers has been replaced since, also below a site."""
        parts = (self.qkv, self.o, self.gate_up, self.down)
        mine = [pair for part in parts for pair in zip(part.modules, part.linears, strict=True)]
        return all(
            now is module and (now is layer or now.base is layer)
            for now, (module, layer) in zip(_linears(self.module), mine, strict=True)
        )

    def run(
        self, h: Tensor, shape: torch.Size, angles: Angles, layout: Layout, rows: Tensor | None
    ) -> Tensor:
        """The layer on h (B * T, d) of a pass of shape (B, T); only `rows` of it where they are given."""
        attention = self.module.self_attn
        # (B * T, heads or kv_heads, D) -> (B, heads or kv_heads, T, D)
        q, k, v = (part.view(*shape, *part.shape[1:]).transpose(1, 2) for part in self._heads(h, angles))
        out = layout.attend(self.index, q, k, v, attention.scaling, self.window)
        out = out.transpose(1, 2).reshape(len(h), -1)  # (B, heads, T, D) -> (B * T, heads * D)
        if rows is not None:
            h, out = h[rows], out[rows]  # (N, d), (N, heads * D)
            by_row.narrow(rows)
        leaves = (*self.gate_up.leaves, *self.down.leaves)
        if isinstance(self.module, Gemma3DecoderLayer):
            out = Linear.apply(out, self.o, *self.o.leaves)  # type: ignore[no-untyped-call]
            h = h + norm(out, self.module.post_attention_layernorm)
            before = self.module.pre_feedforward_layernorm
            out = Mlp.apply(h, *_scale(before), self.gate_up, self.down, self.act, False, *leaves)  # type: ignore[no-untyped-call]
            return h + norm(self._with_parallel(out, h, before), self.module.post_feedforward_layernorm)
        h = Output.apply(h, out, self.o, *self.o.leaves)  # type: ignore[no-untyped-call]
        before = self.module.post_attention_layernorm
        out = Mlp.apply(h, *_scale(before), self.gate_up, self.down, self.act, True, *leaves)  # type: ignore[no-untyped-call]
        return self._with_parallel(out, h, before)

    def _with_parallel(self, out: Tensor, h: Tensor, before: Any) -> Tensor:
        """`out` (N, d) and what is next to the MLP, which reads h (N, d) after the norm `before`."""
        other = parallel_of(self.module.mlp)
        return out if other is None else out + other(norm(h, before))

    def _heads(self, h: Tensor, angles: Angles) -> tuple[Tensor, ...]:
        """Queries (B * T, heads, D), keys and values (B * T, kv_heads, D)."""
        attention = self.module.self_attn
        weight, eps = _scale(self.module.input_layernorm)
        last = (eps, self.qkv, self.shape, *angles, *self.qkv.leaves)
        heads: tuple[Tensor, ...]
        if isinstance(self.module, Qwen3DecoderLayer | Gemma3DecoderLayer):
            normed = _scale(attention.q_norm)[0], _scale(attention.k_norm)[0]
            heads = NormedHeads.apply(h, weight, *normed, *last)  # type: ignore[no-untyped-call]
        else:
            heads = Heads.apply(h, weight, *last)  # type: ignore[no-untyped-call]
        return heads


def norm(h: Tensor, module: Any) -> Tensor:
    """A norm of the model on h (N, d)."""
    out: Tensor = Norm.apply(h, *_scale(module))  # type: ignore[no-untyped-call]
    return out


def _scale(module: Any) -> tuple[Tensor, float]:
    """The factors (d,) and the epsilon of a norm."""
    if isinstance(module, Gemma3RMSNorm):
        return 1.0 + module.weight.float(), module.eps
    return module.weight, module.variance_epsilon


def _act(config: Any) -> str:
    return str(getattr(config, "hidden_act", None) or getattr(config, "hidden_activation", None))


def _attention(layer: Any) -> list[nn.Module]:
    """Linear layers of the attention, the one of its output last."""
    attention = layer.self_attn
    if isinstance(layer, Phi3DecoderLayer):
        return [attention.qkv_proj, attention.o_proj]
    return [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]


def _mlp(layer: Any) -> list[nn.Module]:
    """Linear layers of the MLP, the one of its output last."""
    if isinstance(layer, Phi3DecoderLayer):
        return [layer.mlp.gate_up_proj, layer.mlp.down_proj]
    return [layer.mlp.gate_proj, layer.mlp.up_proj, layer.mlp.down_proj]


def _linears(layer: Any) -> list[Any]:
    return [*_attention(layer), *_mlp(layer)]
