"""The place of a linear layer that methods change: the layer itself, and what each adapter does there.

A `Site` is put in once, whatever the number of adapters, and only the adapter that is on is computed: nothing
nests. What an adapter does at a site is a `Change`: something before the layer, something after it, or both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from rung.compute.linears import Linear, product, shape_of, weight_of
from rung.compute.names import replace
from rung.errors import UsageError


class Update(Protocol):
    """What changes of one kind add to a joint product; it works on plain tensors, outside of autograd."""

    @property
    def leaves(self) -> tuple[nn.Parameter, ...]:
        """What is trained, in a fixed order."""
        ...

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Add to y (T, out), in place, what belongs to x (T, in)."""
        ...

    def backward(self, x: Tensor, dy: Tensor, dx: Tensor | None) -> tuple[Tensor, ...]:
        """Gradients of the leaves; adds to dx (T, in), in place, where it is given."""
        ...


class Change(nn.Module):
    """What an adapter does at one linear layer. Its gradients come from autograd unless it has its own."""

    def before(self, x: Tensor) -> Tensor:
        """What the layer reads in place of x (..., in)."""
        return x

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """What leaves the layer in place of its output y (..., out); x (..., in) came into `before`."""
        return y

    def run(self, base: Linear, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out) through the frozen layer `base`."""
        return self.after(x, product(base, self.before(x)))

    @staticmethod
    def joint(changes: Sequence[Change | None], sizes: Sequence[int]) -> Update | None:
        """The changes of layers that read the same input, with so many outputs, as one; None if they are not
        sums that can be formed together."""
        return None

    def merged(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Weight (out, in) and bias (out,) of a plain layer that computes the same, in fp32 or wider."""
        raise NotImplementedError(f"{type(self).__name__} cannot be merged")


class Site(nn.Module):
    """A linear layer in its place in a model; `on` is the change that is computed, if any."""

    def __init__(self, base: Linear) -> None:
        super().__init__()
        self.base = base
        # Outside of the module tree: the model's parameters are those of the base.
        self.__dict__["changes"] = {}
        self.__dict__["on"] = None
        self.out_features, self.in_features = shape_of(base)

    changes: dict[str, Change]  # by the name of the adapter's slot
    on: Change | None

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out)."""
        return product(self.base, x) if self.on is None else self.on.run(self.base, x)

    def switch(self, change: Change | None) -> None:
        """Compute `change` from now on."""
        self.__dict__["on"] = change

    @property
    def weight(self) -> Tensor:
        """The weight with its change, as the base keeps it: some models multiply by it themselves."""
        weight: Tensor = self.base.weight
        if self.on is None:
            return weight
        try:
            changed = self.on.merged(weight_of(self.base).float(), None)[0].to(weight.dtype)
        except NotImplementedError as error:
            raise UsageError(
                f"the base reads the weight of a linear layer itself, and {error}",
                fix="Take a method that can be merged, such as LoRA",
            ) from error
        return changed.T if isinstance(self.base, Conv1D) else changed

    @property
    def bias(self) -> Tensor | None:
        """The frozen bias."""
        bias: Tensor | None = self.base.bias
        return bias


def site_of(model: nn.Module, name: str) -> Site:
    """The site of the linear layer called `name`; put in where there is none."""
    module: Any = model.get_submodule(name)
    if isinstance(module, Site):
        return module
    site = Site(module)
    replace(model, name, site)
    return site


def close(model: nn.Module, name: str, slot: str) -> None:
    """Remove the change of `slot`; the layer goes back to its place where no other change is left."""
    site: Any = model.get_submodule(name)
    change = site.changes.pop(slot)
    if site.on is change:
        site.switch(None)
    if not site.changes:
        replace(model, name, site.base)
