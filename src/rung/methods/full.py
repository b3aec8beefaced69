"""Full fine-tuning: every weight is trained.

The optimizer works on fp32 copies; the forward pass reads weights in the base's dtype. The base's own
tensors are kept, so switching to the plain base is a swap of pointers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from rung import storage
from rung.border import foreign
from rung.compute.quantized import bits_of
from rung.errors import ResourceError, UsageError
from rung.methods.adapter import Adapter, PlainFormat
from rung.methods.method import Attached, Files, Method, MethodSettings, Promises, require_fit
from rung.methods.origin import OURS
from rung.methods.slots import ONLY, slots_of

_NOT_ITS_OWN = ("_name_or_path", "_attn_implementation", "_attn_implementation_internal")  # of a config


class FullSettings(MethodSettings):
    """Full fine-tuning has no options of its own."""


class Full(Attached):
    """Full fine-tuning on a model; see `rung.methods.method.Attached`."""

    def __init__(self, model: nn.Module, settings: Any, seed: int = 0, slot: str = ONLY) -> None:
        if bits := bits_of(model):
            raise UsageError(
                "weights of the base would be changed",
                why=f"Weights that are held in {bits} bits cannot be changed in small steps",
                fix="Leave --bits out, or tune with LoRA",
            )
        weights = self.chosen(model, settings)
        super().__init__(model, settings, slot)
        model.requires_grad_(False)
        self.weights = weights
        self._originals = {name: weight.data for name, weight in self.weights.items()}
        self._masters: dict[str, nn.Parameter] = {}
        self._hooks: list[Any] = []
        _copy_into_one_piece(list(self.weights.values()))
        for name, weight in self.weights.items():
            wide = torch.promote_types(weight.dtype, torch.float32)
            if weight.dtype == wide:
                self._masters[name] = weight
            else:
                self._masters[name] = nn.Parameter(weight.detach().to(wide))
        self._trained: dict[str, Tensor] = {}  # while it is off
        slots_of(model).take(self)

    def chosen(self, model: nn.Module, settings: Any) -> dict[str, nn.Parameter]:
        """The weights that are trained, by name; tied ones appear once."""
        return dict(model.named_parameters())

    def named(self) -> dict[str, Tensor]:
        return self._trained or {name: weight.data for name, weight in self.weights.items()}

    def parameters(self) -> list[nn.Parameter]:
        return list(self._masters.values())

    def updated(self) -> None:
        with torch.no_grad():
            for name, master in self._masters.items():
                if master is not self.weights[name]:
                    self.weights[name].copy_(master)

    def load(self, state: Mapping[str, Tensor]) -> None:
        named = self.named()
        require_fit(named, state)
        with torch.no_grad():
            for name, weight in named.items():
                weight.copy_(state[name])
                if self._masters[name] is not self.weights[name]:
                    self._masters[name].copy_(state[name])

    def facts(self) -> dict[str, Any]:
        config: dict[str, Any] = self.model.config.to_dict()
        config = {key: value for key, value in config.items() if key not in _NOT_ITS_OWN}
        return {"config": config | {"architectures": [type(self.model).__name__]}}

    def switch(self, on: bool) -> None:
        if on:
            self._point_to(self._trained or self.named())
            self._trained = {}
        else:
            self._trained = self.named()
            self._point_to(self._originals)
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        for name, weight in self.weights.items():
            weight.requires_grad_(on)
            if on and self._masters[name] is not weight:
                hook = weight.register_post_accumulate_grad_hook(_hand_over(self._masters[name]))  # type: ignore[no-untyped-call]
                self._hooks.append(hook)

    def merge(self) -> None:
        """The weights already hold the change; from now on they count as the base's own."""
        self._originals = self.named()
        self.detach()

    def remove(self) -> None:
        for weight in self.weights.values():
            weight.grad = None
        self._masters = {}

    def _point_to(self, tensors: Mapping[str, Tensor]) -> None:
        for name, weight in self.weights.items():
            weight.data = tensors[name]


class WholeModel(PlainFormat):
    """The model in the format of transformers, without a tokenizer."""

    def files(self, adapter: Adapter) -> Files:
        state = {name: tensor.cpu().contiguous() for name, tensor in adapter.tensors.items()}
        return {
            "model.safetensors": partial(_save, state),
            "config.json": storage.as_json(adapter.facts["config"]),
            OURS: storage.as_json(dict(adapter.about)),
        }


def _save(state: dict[str, Tensor], path: Path) -> None:
    """Write weights without a copy of them in memory. Raises `ResourceError` where the disk refuses."""
    with foreign(partial(_unwritten, path)):
        save_file(state, path, metadata={"format": "pt"})


def _unwritten(path: Path, text: str) -> ResourceError:
    return ResourceError(
        f"cannot write: {text}",
        where=str(path),
        fix="Make room or choose another --output, then run the same command again; finished work stays",
    )


def _copy_into_one_piece(weights: Sequence[nn.Parameter]) -> None:
    """Each weight points to its part of one new vector; layers that read the same input lie side by side."""
    whole = torch.cat([weight.detach().flatten() for weight in weights])
    parts = torch.split(whole, [weight.numel() for weight in weights])
    for weight, part in zip(weights, parts, strict=True):
        weight.data = part.view(weight.shape)


def _hand_over(master: nn.Parameter) -> Callable[[Tensor], None]:
    """Adds a weight's gradient to that of its fp32 copy and frees it."""

    def move(weight: Tensor) -> None:
        gradient = weight.grad
        if gradient is None:
            return
        if master.grad is None:
            master.grad = gradient.to(master.dtype)
        else:
            master.grad += gradient
        weight.grad = None

    return move


FULL = Method(
    name="full",
    title="full fine-tuning",
    when="Much data, or a task far from what the base knows; the file is a whole model.",
    Settings=FullSettings,
    learning_rate=2e-4,
    attach=Full,
    format=WholeModel(),
    promises=Promises(whole_model=True, few_bits=False),
)
