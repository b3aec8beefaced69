"""Full fine-tuning: every weight is trained.

The optimizer works on fp32 copies; the forward pass reads weights in the base's dtype. The base's own weights
wait on disk: they are read back where the plain base is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rung import storage
from rung.compute.quantized import bits_of
from rung.device import keep_freed_memory
from rung.errors import UsageError
from rung.methods import flat, on_disk
from rung.methods.adapter import Adapter, PlainFormat
from rung.methods.method import Attached, Files, Method, MethodSettings, Promises, require_fit
from rung.methods.origin import OURS
from rung.methods.slots import ONLY, slots_of

_NOT_ITS_OWN = ("_name_or_path", "_attn_implementation", "_attn_implementation_internal")  # of a config

_FRESH = 4 << 20  # bytes; with kept memory alone the peak was 5 % higher, at the same speed
_ROWS = 4096  # of a gradient that are added at a time


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
        keep_freed_memory(_FRESH)
        super().__init__(model, settings, slot)
        model.requires_grad_(False)
        self.weights = weights
        self._originals: on_disk.Aside | None = on_disk.Aside(self.weights)
        self._masters: dict[str, nn.Parameter] = {}
        self._hooks: list[Any] = []
        for names in self._groups():
            flat.join([self.weights[name] for name in names])
        narrow = {name: w for name, w in self.weights.items() if w.dtype.itemsize < 4}
        total = sum(weight.numel() for weight in narrow.values())
        device = next(iter(self.weights.values())).device
        wide = torch.empty(total, dtype=torch.float32, device=device)  # (all numbers of the copies,)
        masters = dict(zip(narrow, flat.parts(wide, list(narrow.values())), strict=True))
        for name, weight in self.weights.items():
            master = masters.get(name)
            self._masters[name] = weight if master is None else nn.Parameter(master.copy_(weight.detach()))
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
                tensor = state[name]
                weight.copy_(tensor)
                if self._masters[name] is not self.weights[name]:
                    self._masters[name].copy_(tensor)

    def scaled(self, name: str, tensor: Tensor, strength: float) -> Tensor:
        """Between the base's own weights and these (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903)."""
        if self._originals is None:
            raise UsageError("the change has been merged into the base, so it cannot be scaled any more")
        own = torch.empty_like(self.weights[name], requires_grad=False)
        self._originals.read(name, own)
        wide = torch.promote_types(own.dtype, torch.float32)
        return torch.lerp(own.to(wide), tensor.to(own.device, wide), strength)

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
            self._point_to_originals()
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
        self._originals = None
        self.detach()

    def remove(self) -> None:
        for weight in self.weights.values():
            weight.grad = None
        self._masters, self._trained, self._originals = {}, {}, None
        keep_freed_memory()

    def _point_to(self, tensors: Mapping[str, Tensor]) -> None:
        for name, weight in self.weights.items():
            weight.data = tensors[name]

    def _point_to_originals(self) -> None:
        """Read the base's own weights back, unless what was trained has become the base's own."""
        if self._originals is None:
            return
        for names in self._groups():
            weights = [self.weights[name] for name in names]
            whole = weights[0].new_empty(sum(weight.numel() for weight in weights), requires_grad=False)
            for name, weight, part in zip(names, weights, flat.parts(whole, weights), strict=True):
                self._originals.read(name, part)
                weight.data = part

    def _groups(self) -> list[list[str]]:
        """Names of the weights by their number format: a group lies side by side, for wide products."""
        formats = dict.fromkeys(weight.dtype for weight in self.weights.values())
        return [[name for name, one in self.weights.items() if one.dtype == format] for format in formats]


class WholeModel(PlainFormat):
    """The model in the format of transformers, without a tokenizer."""

    def files(self, adapter: Adapter) -> Files:
        return {
            "model.safetensors": partial(on_disk.write, adapter.tensors),
            "config.json": storage.as_json(adapter.facts["config"]),
            OURS: storage.as_json(dict(adapter.about)),
        }


def _hand_over(master: nn.Parameter) -> Callable[[Tensor], None]:
    """Adds a weight's gradient to that of its fp32 copy and frees it."""

    def move(weight: Tensor) -> None:
        gradient = weight.grad
        if gradient is None:
            return
        if master.grad is None:
            master.grad = gradient.to(master.dtype)
        else:
            for into, rows in zip(*(torch.split(one, _ROWS) for one in (master.grad, gradient)), strict=True):
                into += rows  # a sum of two formats makes a copy first
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
    promises=Promises(whole_model=True, few_bits=False, scalable=True),
)
