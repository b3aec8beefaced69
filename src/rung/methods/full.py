"""Full fine-tuning: every weight is trained.

The optimizer works on fp32 copies; the forward pass reads weights in the base's dtype. The base's own
tensors are kept, so switching to the plain base is a swap of pointers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from rung import storage
from rung.border import foreign
from rung.errors import ResourceError
from rung.methods.method import Files, Method, MethodSettings, require_fit
from rung.methods.origin import OURS

_NOT_ITS_OWN = ("_name_or_path", "_attn_implementation", "_attn_implementation_internal")  # of a config


class Full:
    """Full fine-tuning on a model; see `rung.methods.method.Attached`."""

    def __init__(self, model: nn.Module, settings: MethodSettings) -> None:
        self.model: Any = model
        self.weights = dict(model.named_parameters())  # tied weights appear once
        self._originals = {name: weight.data for name, weight in self.weights.items()}
        self._masters: dict[str, nn.Parameter] = {}
        self._hooks = []
        _copy_into_one_piece(list(self.weights.values()))
        for name, weight in self.weights.items():
            weight.requires_grad_(True)
            wide = torch.promote_types(weight.dtype, torch.float32)
            if weight.dtype == wide:
                self._masters[name] = weight
            else:
                master = nn.Parameter(weight.detach().to(wide))
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

    def state(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight in self.weights.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        require_fit(self.weights, state)
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(state[name])
                if self._masters[name] is not weight:
                    self._masters[name].copy_(state[name])

    def applied(self) -> dict[str, Any]:
        return {}

    def notes(self) -> tuple[str, ...]:
        return ()

    def files(self, base: str, about: Mapping[str, Any]) -> Files:
        """The model in the format of transformers, without a tokenizer."""
        state = {name: tensor.cpu().contiguous() for name, tensor in self.state().items()}
        config: dict[str, Any] = self.model.config.to_dict()
        config = {key: value for key, value in config.items() if key not in _NOT_ITS_OWN}
        config["architectures"] = [type(self.model).__name__]
        return {
            "model.safetensors": partial(_save, state),
            "config.json": storage.as_json(config),
            OURS: storage.as_json(dict(about)),
        }

    @contextmanager
    def disabled(self) -> Iterator[None]:
        trained = {name: weight.data for name, weight in self.weights.items()}
        self._point_to(self._originals)
        try:
            yield
        finally:
            self._point_to(trained)

    def merge(self) -> None:
        """The weights already hold the change; from now on they count as the base's own."""
        self._originals = {name: weight.data for name, weight in self.weights.items()}
        self.detach()

    def detach(self) -> None:
        self._point_to(self._originals)
        for hook in self._hooks:
            hook.remove()
        for weight in self.weights.values():
            weight.requires_grad_(False)
            weight.grad = None
        self._masters = {}

    def _point_to(self, tensors: Mapping[str, Tensor]) -> None:
        for name, weight in self.weights.items():
            weight.data = tensors[name]


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


FULL = Method(name="full", title="full fine-tuning", learning_rate=2e-4, attach=Full, whole_model=True)
