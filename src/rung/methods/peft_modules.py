"""PEFT's modules for a model: made by PEFT in the model, and taken out of it again at once."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rung.bases.base import quiet
from rung.border import foreign
from rung.compute.names import layer_of, replace
from rung.compute.sites import Site
from rung.errors import BaseModelError, RungError, UsageError
from rung.methods.peft_options import KEPT_BY_PEFT, PeftSettings
from rung.methods.targets import ends, linear_layers

SLOT = "default"  # PEFT's name of the one adapter that its modules hold
PREFIX = "base_model."  # before all names in PEFT's files
_WHOLE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by the bytes of a number


@dataclass(frozen=True, slots=True)
class Made:
    """What PEFT has made for one adapter."""

    layers: dict[str, Any]  # by the name of the layer that each is for, and holds
    trained: list[nn.Parameter]  # in fp32 or wider
    named: dict[str, Tensor]  # what PEFT would save, by its names without `PREFIX`: the tensors themselves
    config: dict[str, Any]  # PEFT's configuration as used
    loose: bool  # whether something that is trained is in none of the layers


def config_class(kind: str) -> Any:
    """The configuration class of a method."""
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    return PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(kind.upper())]


def make(kind: str, model: nn.Module, settings: PeftSettings, seed: int) -> Made:
    """PEFT's modules for the plain base `model`, with random numbers that follow `seed`.

    The model is as before. Raises `UsageError` where PEFT makes none with the options that were given, and
    `BaseModelError` where none were.
    """
    refusal = UsageError if settings.asked() else BaseModelError
    before = dict(model.named_modules(remove_duplicate=False))
    weights = {name: (weight, weight.data, _sum(weight)) for name, weight in model.named_parameters()}
    for name, module in before.items():
        if isinstance(module, Site):
            replace(model, name, module.base)
    try:
        with foreign(partial(_not_made, kind, refusal)), silent(), torch.random.fork_rng():
            torch.manual_seed(seed)
            return _made(kind, model, settings)
    finally:
        _restore(model, before)
        changed = [n for n, (weight, data, total) in weights.items() if _differs(weight, data, total)]
        if changed:
            raise refusal(
                f"PEFT's {kind} changes the base's own weights before it begins, such as {changed[0]}",
                why="In rung the base stays as it is, for every other adapter on it",
                fix="Choose another way to begin (the options that start with init), or another method",
            )


def _made(kind: str, model: nn.Module, settings: PeftSettings) -> Made:
    from peft import get_peft_model_state_dict

    own = ends(model)
    whole = _whole(kind, model, settings).eval()
    layers = _layers(model)
    _require_inside(kind, own, layers)
    trained = [weight for weight in whole.parameters() if weight.requires_grad]
    for weight in trained:
        weight.data = weight.data.to(torch.promote_types(weight.dtype, torch.float32))
    saved = get_peft_model_state_dict(whole, adapter_name=SLOT, save_embedding_layers=False)
    named = _in_use(kind, whole, trained, saved)
    inside = {id(weight) for layer in layers.values() for weight in layer.parameters()}
    loose = any(id(weight) not in inside for weight in trained)
    return Made(layers, trained, named, _plain(whole.peft_config[SLOT].to_dict()), loose)


def _whole(kind: str, model: nn.Module, settings: PeftSettings) -> Any:
    """PEFT's model of `model`, at the layers that PEFT chooses for its family, or else at all linear ones."""
    from peft import get_peft_model

    config = _config(kind, settings)
    if getattr(config, "target_modules", ()) is not None:
        return get_peft_model(model, config, SLOT)
    try:
        return get_peft_model(model, config, SLOT)
    except ValueError as error:
        if "target_modules" not in str(error):
            raise
    config = _config(kind, settings)  # PEFT may have written into the first one
    config.target_modules = {name for name in linear_layers(model) if layer_of(name) is not None}
    return get_peft_model(model, config, SLOT)


def _config(kind: str, settings: PeftSettings) -> Any:
    config = config_class(kind)(**settings.asked())
    if hasattr(config, "progressbar"):
        config.progressbar = False
    return config


def _layers(model: nn.Module) -> dict[str, Any]:
    """The modules of PEFT in a model, by name; not those that are inside of others."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        within = any(name.startswith(f"{outer}.") for outer in found)
        if isinstance(module, BaseTunerLayer) and not within:
            found[name] = module
    return found


def _require_inside(kind: str, own: Sequence[nn.Module], layers: Mapping[str, Any]) -> None:
    """Raises `UsageError` where one of the layers is among `own`, the embedding and the head."""
    for name, layer in layers.items():
        if any(layer.get_base_layer() is one for one in own):
            raise UsageError(
                f"PEFT's {kind} would change {name}",
                why="rung reads the weights of the embedding and of the head itself, without PEFT's modules",
                fix=f"Name other layers, as in --options peft:{kind}.target_modules=q_proj,v_proj",
            )


def _in_use(
    kind: str, whole: nn.Module, trained: Sequence[nn.Parameter], saved: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """What PEFT computes with for each tensor that it would save; a trainer may give it other memory later.

    Raises `UsageError` unless there is such a one for each, and all that is trained is among them.
    """
    plain = (vars(module).get("shira_indices", {}) for module in whole.modules())  # where SHiRA keeps them
    own = (*whole.parameters(), *whole.buffers(), *(tensor for some in plain for tensor in some.values()))
    used = {tensor.data_ptr(): tensor for tensor in own}
    found = {n.removeprefix(PREFIX): used.get(tensor.data_ptr()) for n, tensor in saved.items()}
    named = {name: tensor for name, tensor in found.items() if tensor is not None}
    if len(named) < len(found) or not set(map(id, trained)) <= set(map(id, named.values())):
        raise UsageError(
            f"PEFT does not save the numbers of {kind} as it computes with them",
            fix="Take another method, or other options",
        )
    return named


def _restore(model: nn.Module, before: Mapping[str, nn.Module]) -> None:
    """Put every module back in its place, the outer ones first."""
    for name, module in before.items():
        if name and model.get_submodule(name) is not module:
            replace(model, name, module)
    if "peft_config" in model.__dict__:
        del model.__dict__["peft_config"]
    model.requires_grad_(False)


def _sum(weight: Tensor) -> int:
    """A number that changes with the bits of a weight."""
    return int(weight.detach().view(_WHOLE[weight.element_size()]).sum(dtype=torch.int64))


def _differs(weight: nn.Parameter, data: Tensor, total: int) -> bool:
    """Whether a weight has changed since; where it points to other numbers, it gets its own back."""
    moved = weight.data_ptr() != data.data_ptr()
    weight.data = data
    return moved or _sum(weight) != total


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as JSON has it."""
    used = {name: value for name, value in config.items() if name not in KEPT_BY_PEFT}
    found: dict[str, Any] = json.loads(
        json.dumps(used, default=lambda x: sorted(x) if isinstance(x, set) else str(x))
    )
    return found


def _not_made(kind: str, refusal: type[RungError], text: str) -> RungError:
    return refusal(
        f"PEFT cannot put {kind} on this base: {text}",
        fix=f"Give it other options, as in --options peft:{kind}.NAME=VALUE; `rung methods` explains them",
    )


@contextmanager
def silent() -> Iterator[None]:
    """Keep PEFT's warnings off the screen."""
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        yield
