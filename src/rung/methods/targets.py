"""Which linear layers a method adapts, and which share of a model's weights that is.

The experts of most mixtures are one tensor of three dimensions and no linear layers; a method for linear
layers leaves them as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from rung.compute.linears import Linear, is_linear, shape_of
from rung.compute.names import layer_of, within
from rung.compute.quantized import QuantizedLinear
from rung.compute.sites import Site
from rung.errors import BaseModelError, UsageError, nearest


def linear_layers(
    model: nn.Module, names: Sequence[str] = (), top_layers: int | None = None
) -> dict[str, Linear]:
    """Full name -> linear layer, in model order: all but the head, or those that end with one of `names`.

    A name is one or more whole parts: ``q_proj``, ``layers.0.self_attn.q_proj``; or one of `PRESETS`.
    With `top_layers`, of so many of the last decoder layers alone. Raises `UsageError`, with the nearest
    name, where a name matches nothing and where the model has fewer decoder layers, `BaseModelError` where it
    has no linear layer at all.
    """
    skipped = set(ends(model))
    found: dict[str, Linear] = {}
    for name, module in model.named_modules():
        if isinstance(module, Site):  # whose own name the layer has
            found[name] = module.base
            skipped.add(module.base)
        elif module not in skipped and is_linear(module):
            found[name] = module
    if not found:
        raise BaseModelError(
            f"{type(model).__name__} has no linear layer that could be adapted",
            fix="Take another base, or tune it in full: --rungs full",
        )
    if top_layers is not None:
        top = top_of(list(found), top_layers)
        found = {name: module for name, module in found.items() if layer_of(name) in top}
    if not names:
        return found
    known = sorted({name.rsplit(".", 1)[-1] for name in found})
    chosen: set[str] = set()
    for name in names:
        some = [full for full in found if ends_with(full, name)]
        if not some and name in PRESETS:
            of_preset = PRESETS[name](model)
            some = [full for full in found if full in of_preset]
        if not some:
            raise UsageError(
                f"no linear layer is called {name!r}.{nearest(name, [*known, *PRESETS])}",
                fix=f"This base has: {', '.join(known)}; or take {', '.join(PRESETS)}",
            )
        chosen.update(some)
    return {name: module for name, module in found.items() if name in chosen}


_ATTENTION = re.compile(r"attn|attention|mixer|mamba|conv|temporal_block")  # or what mixes tokens instead
_QUERY = re.compile(r"w?q|q_proj|query|q_[ab]_proj|to_q")


@dataclass(frozen=True, slots=True)
class Blocks:
    """Full names of linear layers, in model order."""

    attention: tuple[str, ...]
    mlp: tuple[str, ...]
    keys_values: tuple[str, ...]  # of the attention; with the queries where all are one layer
    attention_outputs: tuple[str, ...]
    mlp_outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reach:
    """How much of a model's decoder layers is in the layers that a method adapts."""

    share: float  # of the weights
    experts: float  # the share that is in experts which are no linear layers

    def __str__(self) -> str:
        """A sentence for the notes of a run."""
        rest = f"; {self.experts:.0%} are fused experts, which stay as they are" if self.experts else ""
        return f"the adapted layers hold {self.share:.0%} of the weights{rest}"


def blocks(model: nn.Module) -> Blocks:
    """The linear layers of the decoder layers by what they are for: where they are, what they put out."""
    width = int(model.config.get_text_config().hidden_size)  # type: ignore[operator,union-attr]
    inside = {name: layer for name, layer in linear_layers(model).items() if layer_of(name) is not None}
    attention = {name for name in inside if _ATTENTION.search(within(name))}
    last: dict[str, str] = {}  # of each module that holds linear layers, the one whose output joins the rest
    for name, layer in inside.items():
        if shape_of(layer)[0] == width:
            last[name.rpartition(".")[0]] = name
    outputs = set(last.values())
    return Blocks(
        attention=tuple(name for name in inside if name in attention),
        mlp=tuple(name for name in inside if name not in attention),
        keys_values=tuple(
            name
            for name in inside
            if name in attention - outputs and not _QUERY.fullmatch(name.rpartition(".")[2])
        ),
        attention_outputs=tuple(name for name in inside if name in attention & outputs),
        mlp_outputs=tuple(name for name in inside if name in outputs - attention),
    )


PRESETS: dict[str, Callable[[nn.Module], Collection[str]]] = {
    "all-linear": linear_layers,
    "attention": lambda model: blocks(model).attention,
    "mlp": lambda model: blocks(model).mlp,
}


def reach(model: nn.Module, layers: Iterable[nn.Module]) -> Reach:
    """The reach of a method that adapts `layers` of `model`; only decoder layers count."""
    inside = {weight.key for layer in layers for module in layer.modules() for weight in _weights(module)}
    modules = [module for name, module in model.named_modules() if layer_of(f"{name}.") is not None]
    weights = {weight for module in modules for weight in _weights(module)}
    total = sum(weight.size for weight in weights)
    reached = sum(weight.size for weight in weights if weight.key in inside)
    experts = sum(weight.size for weight in weights if weight.dimensions == 3 and weight.key not in inside)
    return Reach(reached / max(1, total), experts / max(1, total))


class _Weight(NamedTuple):
    """What `reach` counts of a weight; `key` is its identity."""

    key: int
    size: int
    dimensions: int


def _weights(module: nn.Module) -> Iterator[_Weight]:
    """The weights that a module holds itself."""
    if isinstance(module, QuantizedLinear):
        yield _Weight(id(module), module.shape.numel(), 2)
    for one in module.parameters(recurse=False):
        yield _Weight(id(one), one.numel(), one.ndim)


def ends(model: nn.Module) -> list[nn.Module]:
    """The embeddings and the head of a language model."""
    finds: list[Callable[[], nn.Module | None] | None] = [
        getattr(model, name, None) for name in ("get_input_embeddings", "get_output_embeddings")
    ]
    return [end for find in finds if find is not None and (end := find()) is not None]


def ends_with(full: str, name: str) -> bool:
    """Whether the parts of `name` are the last ones of the full name of a layer."""
    return f".{full}".endswith(f".{name}")


def top_of(names: Sequence[str], count: int) -> set[int]:
    """Numbers of the last `count` decoder layers that `names` are of. Raises `UsageError` for too many."""
    layers = sorted({number for number in map(layer_of, names) if number is not None})
    if not 1 <= count <= len(layers):
        raise UsageError(f"the top {count} layers are asked for, and the base has {len(layers)}")
    return set(layers[-count:])
