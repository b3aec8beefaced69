"""How much a method trains on a base, found by attaching it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from rung.errors import BaseModelError
from rung.methods.adapter import Adapter
from rung.methods.method import Method


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one method with its default options on one base; of two labels where it learns labels."""

    trained: int  # numbers
    bytes: int  # of the file that it leaves
    refused: str = ""  # why the base cannot take it; then the numbers are 0


def sizes_of(method: Method, model: nn.Module) -> Sizes:
    """What `method` trains on `model`, which is as before afterwards."""
    if method.promises.whole_model:
        weights = list(model.parameters())
        return Sizes(sum(w.numel() for w in weights), sum(w.nbytes for w in weights))
    given = {"labels": ("one", "other")} if method.classifies else {}
    try:
        attached = method.attach(model, method.make(given))
    except BaseModelError as error:
        return Sizes(0, 0, error.what)
    try:
        adapter = Adapter(method, attached.settings, attached.named(), attached.facts())
        written = method.format.to_file(adapter)
        return Sizes(
            sum(parameter.numel() for parameter in attached.parameters()),
            sum(tensor.nbytes for tensor in written.values()),
        )
    finally:
        attached.detach()
