"""The place of a linear layer that methods change: the layer itself, and what each adapter does there.

A `Site` is put in once, whatever the number of adapters. It computes the change of the slot that is on, or of
each row's own slot where a pass says which (`rung.compute.by_row`): nothing nests.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from rung.compute import by_row
from rung.compute.changes import Change
from rung.compute.linears import Linear, product, shape_of, weight_of
from rung.compute.mixed import Mixed
from rung.compute.names import replace
from rung.errors import UsageError


class Site(nn.Module):
    """A linear layer in its place in a model; `on` is the change that is computed, if any."""

    def __init__(self, base: Linear) -> None:
        super().__init__()
        self.base = base
        # Outside of the module tree: the model's parameters are those of the base.
        self.__dict__["changes"] = {}
        self.__dict__["on"] = None
        self.__dict__["_mixed"] = None
        self.out_features, self.in_features = shape_of(base)

    changes: dict[str, Change]  # by the name of the adapter's slot
    on: Change | None
    _mixed: Mixed | None

    @property
    def now(self) -> Change | None:
        """The change that is computed in the pass that runs now."""
        rows = by_row.now()
        if rows is None:
            return self.on
        own = [self.changes.get(slot) for slot in rows.slots]
        if not any(own):
            return None
        if self._mixed is None or self._mixed.of != own:
            self.__dict__["_mixed"] = Mixed(own, self.out_features)
        return self._mixed

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out)."""
        change = self.now
        return product(self.base, x) if change is None else change.run(self.base, x)

    def switch(self, change: Change | None) -> None:
        """Compute `change` from now on."""
        self.__dict__["on"] = change

    @property
    def weight(self) -> Tensor:
        """The weight with its change, as the base keeps it: some models multiply by it themselves."""
        weight: Tensor = self.base.weight
        change = self.now
        if change is None:
            return weight
        if isinstance(change, Mixed):
            raise by_row.NotByRow("the base reads the weight of a linear layer itself")
        try:
            changed = change.merged(weight_of(self.base).float(), None)[0].to(weight.dtype)
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
    site.__dict__["_mixed"] = None
    if not site.changes:
        replace(model, name, site.base)
