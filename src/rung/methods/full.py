"""Full fine-tuning: every weight is trained.

The optimizer works on fp32 copies; the forward pass reads weights in the base's dtype. The base's own weights
wait on disk: they are read back where the plain base is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rung import storage
from rung.methods import flat, on_disk
from rung.methods.method import Files, Method, MethodSettings, require_fit
from rung.methods.origin import OURS

_NOT_ITS_OWN = ("_name_or_path", "_attn_implementation", "_attn_implementation_internal")  # of a config

_ROWS = 4096  # of a gradient that are added at a time


class Full:
    """Full fine-tuning on a model; see `rung.methods.method.Attached`."""

    def __init__(self, model: nn.Module, settings: MethodSettings) -> None:
        self.model: Any = model
        self.weights = dict(model.named_parameters())  # tied weights appear once
        self._originals: on_disk.Aside | None = on_disk.Aside(self.weights)
        self._masters: dict[str, nn.Parameter] = {}
        self._hooks = []
        for names in self._groups():
            flat.join([self.weights[name] for name in names])
        narrow = {name: w for name, w in self.weights.items() if w.dtype.itemsize < 4}
        total = sum(weight.numel() for weight in narrow.values())
        device = next(iter(self.weights.values())).device
        wide = torch.empty(total, dtype=torch.float32, device=device)  # (all numbers of the copies,)
        masters = dict(zip(narrow, flat.parts(wide, list(narrow.values())), strict=True))
        for name, weight in self.weights.items():
            weight.requires_grad_(True)
            if name not in masters:
                self._masters[name] = weight
                continue
            master = nn.Parameter(masters[name].copy_(weight.detach()))
            self._masters[name] = master
            hook = weight.register_post_accumulate_grad_hook(_hand_over(master))  # type: ignore[no-untyped-call]
            self._hooks.append(hook)

    def parameters(self) -> list[nn.Parameter]:
        return list(self._masters.values())

    def rates(self) -> list[float]:
        return [1.0] * len(self._masters)

    def frozen_layers(self) -> int:
        return 0

    def updated(self) -> None:
        with torch.no_grad():
            for name, master in self._masters.items():
                if master is not self.weights[name]:
                    self.weights[name].copy_(master)

    def state(self, copy: bool = True) -> dict[str, Tensor]:
        now = {name: weight.detach() for name, weight in self.weights.items()}
        return {name: weight.clone() for name, weight in now.items()} if copy else now

    def load(self, state: Mapping[str, Tensor]) -> None:
        require_fit(self.weights, state)
        with torch.no_grad():
            for name, weight in self.weights.items():
                tensor = state[name]
                weight.copy_(tensor)
                if self._masters[name] is not weight:
                    self._masters[name].copy_(tensor)

    def applied(self) -> dict[str, Any]:
        return {}

    def notes(self) -> tuple[str, ...]:
        return ()

    def files(self, base: str, about: Mapping[str, Any]) -> Files:
        """The model in the format of transformers, without a tokenizer."""
        config: dict[str, Any] = self.model.config.to_dict()
        config = {key: value for key, value in config.items() if key not in _NOT_ITS_OWN}
        config["architectures"] = [type(self.model).__name__]
        return {
            "model.safetensors": partial(on_disk.write, self.state(copy=False)),
            "config.json": storage.as_json(config),
            OURS: storage.as_json(dict(about)),
        }

    @contextmanager
    def disabled(self) -> Iterator[None]:
        if self._originals is None:  # merged
            yield
            return
        trained = {name: weight.data for name, weight in self.weights.items()}
        try:
            for names in self._groups():
                weights = [self.weights[name] for name in names]
                whole = weights[0].new_empty(sum(weight.numel() for weight in weights))
                for name, weight, part in zip(names, weights, flat.parts(whole, weights), strict=True):
                    self._originals.read(name, part)
                    weight.data = part
            yield
        finally:
            for name, weight in self.weights.items():
                weight.data = trained[name]

    def merge(self) -> None:
        """The weights already hold the change; from now on they count as the base's own."""
        self._originals = None
        self.detach()

    def detach(self) -> None:
        if self._originals is not None:
            for name, weight in self.weights.items():
                self._originals.read(name, weight.detach())
            self._originals = None
        for hook in self._hooks:
            hook.remove()
        for weight in self.weights.values():
            weight.requires_grad_(False)
            weight.grad = None
        self._masters = {}

    def _groups(self) -> list[list[str]]:
        """Names of the weights by their number format: a group lies side by side, for wide products."""
        formats = dict.fromkeys(weight.dtype for weight in self.weights.values())
        return [[name for name, one in self.weights.items() if one.dtype == format] for format in formats]


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


FULL = Method(name="full", title="full fine-tuning", learning_rate=2e-4, attach=Full, whole_model=True)
