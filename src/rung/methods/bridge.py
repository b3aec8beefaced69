"""Any other method of PEFT, computed by PEFT's own modules: ``peft:NAME``.

PEFT puts its modules (x -> y, the frozen layer inside) in the place of a model's layers. They are taken out
again at once. One around a linear layer becomes a `rung.compute.sites.Change` that runs it, so it shares
the layer with other adapters and is computed on every path; one around anything else takes the layer's
place while its slot is on. No slot sees the modules of another, and the base stays as it is. Whether the path
of the base still computes what the model's own code does is measured when the method is attached
(`rung.compute.paths`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from rung.border import foreign
from rung.compute import body, paths
from rung.compute.changes import Change
from rung.compute.linears import Linear, is_linear, weight_of
from rung.compute.names import layer_of, replace
from rung.compute.quantized import bits_of
from rung.errors import BaseModelError, UsageError
from rung.methods.adapter import Adapter, PlainFormat, require
from rung.methods.changes import Changes
from rung.methods.method import Method, Promises
from rung.methods.peft_modules import PREFIX, config_class, make, silent
from rung.methods.peft_names import MARK
from rung.methods.peft_options import PeftSettings, left_over, of_config, settings_class
from rung.methods.slots import ONLY, slots_of

_RATES = {  # of what trains factors and angles; others learn as LoRA does
    **dict.fromkeys(("vera", "ia3", "fourierft", "waveft", "vblora", "unilora", "tinylora"), 1e-2),
    **dict.fromkeys(("ln_tuning", "beft", "c3a", "road"), 5e-3),
}
_RATE = 1e-3
_STARTS: dict[str, bool | None] = {  # see `Promises.identity_at_start`
    **dict.fromkeys(("fourierft", "c3a", "vblora", "unilora"), False),
    **dict.fromkeys(("hra", "osf", "deft", "frod", "ln_tuning"), None),
}
_NOT_MERGED = {"beft"}  # it needs biases


class Wrapped(Change):
    """PEFT's module in the place of a linear layer, which it holds."""

    def __init__(self, layer: nn.Module, trained: Sequence[nn.Parameter]) -> None:
        super().__init__()
        self.__dict__["layer"] = layer  # outside of the module tree: the frozen layer is in it
        inside = {id(one) for one in layer.parameters()}
        self.__dict__["trained"] = [one for one in trained if id(one) in inside]

    layer: Any
    trained: list[nn.Parameter]

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        return iter(self.trained)

    def run(self, base: Linear, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out.to(x.dtype)

    def merged(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        with _merging(self.layer, weight.dtype) as base:
            return weight_of(base).clone(), None if base.bias is None else base.bias.clone()


@contextmanager
def _merging(layer: Any, dtype: torch.dtype) -> Iterator[Any]:
    """The layer that PEFT's module holds, in `dtype` and with the change in it, while the context lasts."""
    base = layer.get_base_layer()
    weights = list(base.named_parameters(recurse=False))
    kept = [weight.data for _, weight in weights]
    try:
        with torch.no_grad(), silent():
            for _, weight in weights:
                weight.data = weight.data.to(dtype, copy=True)
            layer.merge()
            yield layer.get_base_layer()
    finally:
        for (name, weight), data in zip(weights, kept, strict=True):
            weight.data = data
            setattr(base, name, weight)
        layer.base_layer = base
        layer.merged_adapters.clear()


class Bridged(Changes):
    """A method of PEFT on a model; see `rung.methods.method.Attached`."""

    asked = True  # PEFT's own choice of layers

    def __init__(
        self, kind: str, model: nn.Module, settings: PeftSettings, seed: int = 0, slot: str = ONLY
    ) -> None:
        warnings.filterwarnings("ignore", module=r"peft\.")  # also while it computes
        slots_of(model).require_free(slot)
        slots_of(model).use(None)
        if bits := bits_of(model):
            raise UsageError(
                f"PEFT's {kind} does not know weights that are held in {bits} bits as rung holds them",
                fix="Leave --bits out, or tune with LoRA",
            )
        model.requires_grad_(False)
        found = make(kind, model, settings, seed)
        self.kind, self.config, self._named = kind, found.config, found.named
        self.trained = found.trained
        self.others = {name: layer for name, layer in found.layers.items() if not _holds_linear(layer)}
        for layer in self.others.values():
            layer.register_forward_hook(_in_the_format_of_its_input)
        linears = {n: layer.get_base_layer() for n, layer in found.layers.items() if n not in self.others}
        self.by_row = not (found.loose or self.others)  # nothing but linear layers changes
        self.slower = ""  # why the model is not on its fastest path
        super().__init__(
            model, settings, linears, lambda name, _: Wrapped(found.layers[name], found.trained), slot
        )
        try:
            self._find_path(found.loose)
        except BaseException:
            self.detach()
            raise

    def named(self) -> dict[str, Tensor]:
        return dict(self._named)

    def parameters(self) -> list[nn.Parameter]:
        return list(self.trained)

    def frozen_layers(self) -> int:
        return min(layer_of(name) or 0 for name in (*self.changes, *self.others))

    def applied(self) -> dict[str, Any]:
        names = sorted({name.rpartition(".")[2] for name in (*self.changes, *self.others)})
        return {**self.settings.model_dump(mode="json", fallback=str), "targets": names}

    def notes(self) -> tuple[str, ...]:
        slower = f", not on the fastest path: {self.slower}" if self.slower else ""
        return (f"computed by PEFT's own modules{slower}",)

    def facts(self) -> dict[str, Any]:
        return {"config": self.config}

    def switch(self, on: bool) -> None:
        super().switch(on)
        for name, layer in self.others.items():
            replace(self.model, name, layer if on else layer.get_base_layer())
        if self.slower:
            body.refuse(self.model, self.slower if on else None)

    def merge(self) -> None:
        with foreign(partial(_unmerged, self.kind)):
            merged = {n: _copy_of(layer) for n, layer in self.others.items()}
            super().merge()  # detaches at its end
        with torch.no_grad():
            for name, weights in merged.items():
                for weight, value in zip(self.model.get_submodule(name).parameters(), weights, strict=True):
                    weight.copy_(value)

    def _find_path(self, loose: bool) -> None:
        """Leave the fast path where it does not compute what the model's own code does.

        Raises `BaseModelError` where no path does.
        """
        fast = body.why_not(self.model) is None
        if fast and (loose or self.others):
            wrong: str | None = "PEFT changes more than linear layers"
        else:
            wrong = self._fault()
        if wrong and fast:
            self.slower = wrong
            body.refuse(self.model, wrong)
            wrong = self._fault()
        if wrong:
            raise BaseModelError(
                f"PEFT's {self.kind} does not compute the same in rung as in the model's own code: {wrong}",
                fix="Give it other layers, or take another method",
            )

    def _fault(self) -> str | None:
        """What is wrong with the path now, tried with numbers that are not those of the start."""
        kept = [one.detach().clone() for one in self.trained]
        draw = torch.Generator().manual_seed(0)
        try:
            with torch.no_grad():
                for one in self.trained:
                    one.add_(0.02 * torch.randn(one.shape, generator=draw).to(one))
            return paths.fault(self.model)
        except BaseModelError as error:
            return error.what
        finally:
            with torch.no_grad():
                for one, value in zip(self.trained, kept, strict=True):
                    one.copy_(value)


def _holds_linear(layer: Any) -> bool:
    return is_linear(layer.get_base_layer())


def _in_the_format_of_its_input(_module: nn.Module, inputs: Any, out: Any) -> Any:
    return out.to(inputs[0].dtype) if isinstance(out, Tensor) else out


def _copy_of(layer: Any) -> list[Tensor]:
    with _merging(layer, torch.float32) as merged:
        return [weight.detach().clone() for weight in merged.parameters()]


def _unmerged(kind: str, text: str) -> UsageError:
    return UsageError(
        f"PEFT does not merge {kind} into the base's weights: {text}", fix="Use the adapter next to its base"
    )


class BridgeFormat(PlainFormat):
    """PEFT's own files, of a method that rung does not read from elsewhere."""

    prefix = PREFIX
    whole_numbers = True  # places in a weight may be among the tensors

    def __init__(self, kind: str, options: type[PeftSettings]) -> None:
        self.peft_type = kind.upper()
        self.options = options

    def config(self, adapter: Adapter) -> dict[str, Any]:
        return dict(adapter.facts["config"])

    def settings(self, config: Mapping[str, Any]) -> PeftSettings:
        plain = config_class(self.peft_type.lower())()
        for name, value in left_over(self.options, config).items():
            unchanged = value == getattr(plain, name, None) or not value
            require(unchanged, f"{name} is set, which rung does not compute")
        return self.options(**of_config(self.options, config))


@cache
def method_of(kind: str) -> Method:
    """The method that PEFT calls `kind`, one that rung runs."""
    options = settings_class(config_class(kind))
    return Method(
        name=MARK + kind,
        title=f"PEFT's {kind}",
        when="What rung has no method of its own for: PEFT's code, which is slower.",
        Settings=options,
        learning_rate=_RATES.get(kind, _RATE),
        attach=partial(Bridged, kind),
        format=BridgeFormat(kind, options),
        promises=Promises(
            identity_at_start=_STARTS.get(kind, True),
            mergeable=kind not in _NOT_MERGED,
            few_bits=False,
        ),
    )
