"""The body of a model: its decoder layers and last norm, by the path that was chosen for it.

    fused       our own layers (`rung.compute.layers`); in the last one, what follows the attention is done
                for the wanted rows alone
    interface   transformers' layers, whose attention is ours (`rung.compute.attention`)
    plain       the model's own code on whole rows (`rung.compute.plain`)

`rung.compute.paths` chooses when a base is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor
from transformers import PreTrainedModel

from rung import threads
from rung.compute import by_row, plain
from rung.compute import layers as fused
from rung.compute.attention import Layout, attending
from rung.compute.layers import Angles, Layer
from rung.compute.passes import Pass

_WHOLE = "this model runs as a whole or not at all"


def hidden_states(model: PreTrainedModel, one: Pass) -> Tensor:
    """Last hidden states of a pass: those that are wanted (N, d), or of all tokens (B * T, d).

    The plain path counts positions by itself. Raises `NotByRow` where the rows use different slots and the
    model's layers do not tell them apart.
    """
    with by_row.using(one.rows):
        return _hidden_states(model, one)


def _hidden_states(model: PreTrainedModel, one: Pass) -> Tensor:
    body = _body_of(model)
    if body is not None:
        h = embed(model, one.ids) if one.below is None else one.below
        return body.run(h, one.positions, one.layout, one.wanted, slice(one.first, None))
    if one.first:
        raise ValueError(_WHOLE)
    if plain.is_used(model):
        if one.rows is not None:
            raise by_row.NotByRow("the model's own code reads whole rows")
        return plain.hidden_states(model, one.ids, one.layout, one.wanted)
    threads.pace()
    with attending(one.layout):
        out = plain.own_states(model, one.ids, position_ids=one.positions)
    out = out.flatten(0, 1)  # (B, T, d) -> (B * T, d)
    return out if one.wanted is None else out[one.wanted]


def trunk(model: PreTrainedModel, one: Pass, layers: int) -> Tensor:
    """What comes out of the first `layers` decoder layers for all tokens of a pass: (B * T, d).

    Raises ValueError for a model that this file does not compute; see `why_not`.
    """
    body = _body_of(model)
    if body is None:
        raise ValueError(_WHOLE)
    return body.run(embed(model, one.ids), one.positions, one.layout, layers=slice(layers))


def every_layer(model: PreTrainedModel, one: Pass, layers: int) -> Iterator[Tensor]:
    """What comes out of each of the first `layers` decoder layers for all tokens of a pass: (B * T, d) each.

    Without the model's last norm. For inference: nothing is kept for a backward pass.
    """
    body = _body_of(model)
    if body is not None:
        yield from body.each(embed(model, one.ids), one.positions, one.layout, slice(layers))
        return
    if plain.is_used(model):
        yield from plain.every_layer(model, one.ids, one.layout, layers)
        return
    with plain.outputs(model, layers) as states, attending(one.layout):
        plain.own_states(model, one.ids, position_ids=one.positions)
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
    """The weights of the embedding and of the first `layers` decoder layers, as they are held."""
    inner: Any = model.base_model
    parts = [model.get_input_embeddings(), *inner.layers[:layers]]
    return [weight for part in parts for weight in (*part.parameters(), *part.buffers())]


def why_not(model: PreTrainedModel) -> str | None:
    """Why a model is not on the fused path; None where it is."""
    return _refused[model] if model in _refused else fused.why_not(model)


def refuse(model: PreTrainedModel, why: str | None) -> None:
    """Keep a model off the fused path from now on; None lets it in where its layers are of the right kind."""
    _bodies.pop(model, None)
    if why is None:
        _refused.pop(model, None)
    else:
        _refused[model] = why


class Body:
    """The decoder layers of one model."""

    def __init__(self, model: PreTrainedModel) -> None:
        inner: Any = model.base_model
        config = model.config.get_text_config()
        self.inner = inner
        self.layers = [Layer.of(i, module, config) for i, module in enumerate(inner.layers)]

    def fits(self) -> bool:
        """Whether the model still has the linear layers that this was made from."""
        return all(layer.fits() for layer in self.layers)

    def run(
        self,
        h: Tensor,
        positions: Tensor,
        layout: Layout,
        rows: Tensor | None = None,
        layers: slice = slice(None),
    ) -> Tensor:
        """h (B, T, d), the input of the first of `layers` -> normed last states (N, d); see `hidden_states`.

        Where `layers` has an end, the result is the input of the next layer, without the norm.
        """
        states = self.each(h, positions, layout, layers, rows)
        h = h.flatten(0, 1)  # (B * T, d)
        if rows is not None and not self.layers[layers]:
            h = h[rows]
        for h in states:  # noqa: B007  the last one is the result
            pass
        return h if layers.stop is not None else fused.norm(h, self.inner.norm)

    def each(
        self, h: Tensor, positions: Tensor, layout: Layout, layers: slice, rows: Tensor | None = None
    ) -> Iterator[Tensor]:
        """h (B, T, d), the input of the first of `layers` -> the output (B * T, d) of each of them.

        Of the model's last layer only `rows` (N,), where they are given: (N, d).
        """
        chosen = self.layers[layers]
        angles = {kind: self._angles(h, positions, kind) for kind in {layer.kind for layer in chosen}}
        shape, h = h.shape[:2], h.flatten(0, 1)  # (B, T, d) -> (B * T, d)
        for layer in chosen:
            wanted = rows if layer is self.layers[-1] else None
            h = layer.run(h, shape, angles[layer.kind], layout, wanted)
            yield h

    def _angles(self, h: Tensor, positions: Tensor, kind: str | None) -> Angles:
        """Cos and sin (B * T, 1, r / 2) of the angles by which r columns of each head are rotated."""
        of_kind = () if kind is None else (kind,)
        cos, sin = self.inner.rotary_emb(h, positions, *of_kind)
        half = cos.shape[-1] // 2
        cos, sin = (part[..., :half].reshape(-1, 1, half) for part in (cos, sin))
        return cos, sin


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
