"""The transformer body of Llama-like models, with hand-written gradients that keep little and copy less.

A layer is       h1 = h + O attend(rope(Q n, K n), V n),  n  = norm(h)
                 h2 = h1 + D (silu(G m) * U m),           m  = norm(h1)
    norm(h)    = w * h / sqrt(mean(h^2) + eps)                     (RMSNorm, arXiv 1910.07467)
    d norm     : dh = (w dn - h * mean(w dn * h) / rms^2) / rms,   rms = sqrt(mean(h^2) + eps)
    rope(x)    = (x1 cos - x2 sin, x2 cos + x1 sin)                (arXiv 2104.09864, halves)
    d silu(e)  = sigmoid(e) (1 + e (1 - sigmoid(e)))

Kept for the backward pass, per token: h, q, k, v, the attention's output, h1, and the products of gate and
up; norms and silu(gate) * up are computed again. In the last layer everything after the attention is done for
the wanted rows alone. Other models run through their own code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import silu
from transformers import PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaModel
from transformers.models.mistral.modeling_mistral import MistralDecoderLayer, MistralModel
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2Model

from rung.bases.attention import Layout
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
    may repeat.
    """
    body = _body_of(model)
    if body is not None:
        h = inputs if first else embed(model, inputs)
        return body.run(h, positions, layout, rows, slice(first, None))
    if first:
        raise ValueError(_WHOLE)
    out: Tensor = model.base_model(
        input_ids=inputs, position_ids=positions, use_cache=False, layout=layout
    ).last_hidden_state
    out = out.flatten(0, 1)
    return out if rows is None else out[rows]


def trunk(model: PreTrainedModel, ids: Tensor, positions: Tensor, layout: Layout, layers: int) -> Tensor:
    """What comes out of the first `layers` decoder layers for tokens ids (B, T): (B * T, d).

    Raises ValueError for a model that this file does not compute; see `why_not`.
    """
    body = _body_of(model)
    if body is None:
        raise ValueError(_WHOLE)
    return body.run(embed(model, ids), positions, layout, layers=slice(layers))


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
    """Why a model runs through its own code, slower; None where this file computes it."""
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


def _attention_inputs(layer: Any) -> tuple[nn.Module, ...]:
    return layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj


def _mlp(layer: Any) -> tuple[nn.Module, ...]:
    return layer.mlp.gate_proj, layer.mlp.up_proj, layer.mlp.down_proj


@dataclass(frozen=True)
class _Layer:
    """One decoder layer, its linear layers gathered by what they read."""

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
        """Whether no linear layer of it was exchanged since."""
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
        """Whether the model's linear layers are those this was made of."""
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
        cos, sin = self.inner.rotary_emb(h, position_ids=positions)
        half = cos.shape[-1] // 2
        angles = tuple(part[..., :half].reshape(-1, 1, half) for part in (cos, sin))
        shape, h = h.shape[:2], h.flatten(0, 1)
        chosen = self.layers[layers]
        ends = bool(chosen) and chosen[-1] is self.layers[-1]
        for layer in chosen:
            h = _run_layer(layer, h, shape, angles, layout, rows if layer is self.layers[-1] else None)
        if not ends:
            return h
        norm = self.inner.norm
        out: Tensor = _Norm.apply(h, norm.weight, norm.variance_epsilon)  # type: ignore[no-untyped-call]
        return out


_bodies: WeakKeyDictionary[PreTrainedModel, Body] = WeakKeyDictionary()


def _body_of(model: PreTrainedModel) -> Body | None:
    """The body of a model, made again where a method was attached or taken off since; None if `why_not`.

    What a body was made of is known to be sound, so the reasons are looked for only where it does not fit.
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
    q, k, v = _Heads.apply(  # type: ignore[no-untyped-call]
        h, norm.weight, norm.variance_epsilon, layer.qkv, attention.head_dim, *angles, *layer.qkv.leaves
    )
    q, k, v = (part.view(*shape, *part.shape[1:]).transpose(1, 2) for part in (q, k, v))
    out = layout.attend(layer.index, q, k, v, attention.scaling, layer.window)
    out = out.transpose(1, 2).reshape(len(h), -1)
    if rows is not None:
        h, out = h[rows], out[rows]
    h = _Output.apply(h, out, layer.o, *layer.o.leaves)  # type: ignore[no-untyped-call]
    norm = layer.module.post_attention_layernorm
    leaves = (*layer.gate_up.leaves, *layer.down.leaves)
    result: Tensor = _Mlp.apply(  # type: ignore[no-untyped-call]
        h, norm.weight, norm.variance_epsilon, layer.gate_up, layer.down, *leaves
    )
    return result


class _Heads(Function):
    """h (N, d) -> q (N, heads, D), k and v (N, kv_heads, D); queries and keys are rotated."""

    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        weight: Tensor,
        eps: float,
        qkv: Projection,
        size: int,
        cos: Tensor,
        sin: Tensor,
        *leaves: Tensor,
    ) -> tuple[Tensor, ...]:
        n, rms = _norm(h, weight, eps)
        q, k, v = (columns // size for columns in qkv.sizes)
        heads = qkv.forward(n).view(len(h), -1, size)
        turned = _rotate(heads[:, : q + k], cos, sin)
        ctx.save_for_backward(h, rms, weight, cos, sin)
        ctx.qkv = qkv
        return turned[:, :q], turned[:, q:], heads[:, -v:].contiguous()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        h, rms, weight, cos, sin = ctx.saved_tensors
        dq, dk, dv = grads
        dy = h.new_empty((len(h), sum(ctx.qkv.sizes)))
        into = [part.view(len(h), -1, dq.shape[2]) for part in torch.split(dy, ctx.qkv.sizes, 1)]
        _rotate(dq, cos, -sin, into[0])
        _rotate(dk, cos, -sin, into[1])
        into[2].copy_(dv)
        n = _normed(h, rms, weight)
        wants = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        dn, leaves = ctx.qkv.backward(n, dy, wants)
        dh, dweight = _norm_backward(dn, h, rms, weight, ctx.needs_input_grad[:2])
        return dh, dweight, None, None, None, None, None, *leaves


class _Output(Function):
    """h + O x for h (N, d) and the attention's output x (N, heads * D)."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, x: Tensor, o: Projection, *leaves: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        ctx.o = o
        return o.forward(x).add_(h)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        dx, leaves = ctx.o.backward(x, grads[0], ctx.needs_input_grad[1])
        return grads[0], dx, None, *leaves


class _Mlp(Function):
    """h + D (silu(G m) * U m), m = norm(h), for h (N, d)."""

    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        weight: Tensor,
        eps: float,
        gate_up: Projection,
        down: Projection,
        *leaves: Tensor,
    ) -> Tensor:
        m, rms = _norm(h, weight, eps)
        both = gate_up.forward(m)
        gate, up = both.chunk(2, 1)
        ctx.save_for_backward(h, rms, weight, both)
        ctx.gate_up, ctx.down = gate_up, down
        return down.forward(silu(gate).mul_(up)).add_(h)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        h, rms, weight, both = ctx.saved_tensors
        dy = grads[0]
        gate, up = both.chunk(2, 1)
        act = silu(gate)
        dx, down_leaves = ctx.down.backward(act * up, dy, True)
        dboth = torch.empty_like(both)
        dgate, dup = dboth.chunk(2, 1)
        torch.mul(dx, act, out=dup)
        torch.ops.aten.silu_backward.grad_input(dx.mul_(up), gate, grad_input=dgate)
        m = _normed(h, rms, weight)
        wants = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        dm, leaves = ctx.gate_up.backward(m, dboth, wants)
        dh, dweight = _norm_backward(dm, h, rms, weight, ctx.needs_input_grad[:2])
        if dh is not None:
            dh += dy
        return dh, dweight, None, None, None, *leaves, *down_leaves


class _Norm(Function):
    """The norm after the last layer: h (N, d) -> (N, d)."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, eps: float) -> Tensor:
        n, rms = _norm(h, weight, eps)
        ctx.save_for_backward(h, rms, weight)
        return n

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        h, rms, weight = ctx.saved_tensors
        return *_norm_backward(grads[0], h, rms, weight, ctx.needs_input_grad[:2]), None


def _norm(h: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """norm(h), and 1 / rms (N, 1) in fp32 or wider."""
    wide = torch.promote_types(h.dtype, torch.float32)
    length = torch.linalg.vector_norm(h, dim=-1, keepdim=True, dtype=wide)
    rms = torch.rsqrt(length.square_() / h.shape[1] + eps)
    return _normed(h, rms, weight), rms


def _normed(h: Tensor, rms: Tensor, weight: Tensor) -> Tensor:
    return torch.mul(h, rms, out=torch.empty_like(h)).mul_(weight)


def _norm_backward(
    dn: Tensor | None, h: Tensor, rms: Tensor, weight: Tensor, needs: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of h and of the weight, each where it is needed."""
    if dn is None:
        return None, None
    dweight = (dn * _normed(h, rms, torch.ones_like(weight))).sum(0) if needs[1] else None
    if not needs[0]:
        return None, dweight
    dn = dn * weight
    dot = (dn * h).sum(-1, keepdim=True, dtype=rms.dtype)
    share = dot * rms.square() / -h.shape[1]
    dh = torch.addcmul(dn, h, share.to(h.dtype))
    return torch.mul(dh, rms, out=dh), dweight


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, out: Tensor | None = None) -> Tensor:
    """x (N, heads, D) turned by the angles of cos and sin (N, 1, D / 2)."""
    if out is None:
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    x1, x2 = x.chunk(2, -1)
    first, second = out.chunk(2, -1)
    torch.mul(x1, cos, out=first).addcmul_(x2, sin, value=-1)
    torch.mul(x2, cos, out=second).addcmul_(x1, sin)
    return out
