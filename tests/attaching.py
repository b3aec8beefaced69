"""Methods on models, by name, with those of the given options that a method has, and their losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from rung.methods import METHODS
from rung.methods.method import Attached
from rung.methods.slots import ONLY
from rung.records import Rendered
from rung.train.loss import NEXT_TOKENS

LABELS = ("one", "two", "three")  # of a method that learns labels, unless others are given


def attach(name: str, model: nn.Module, *, slot: str = ONLY, seed: int = 0, **given: Any) -> Attached:
    """The method called `name` on `model`."""
    method = METHODS[name]
    return method.attach(model, method.make(method.takes({"labels": LABELS} | given)), seed=seed, slot=slot)


def labelled(rows: Sequence[Rendered]) -> list[Rendered]:
    """The rows with labels, one after the other."""
    return [replace(row, label=number % len(LABELS)) for number, row in enumerate(rows)]


def loss_of(attached: Attached, model: PreTrainedModel, rows: Sequence[Rendered]) -> Tensor:
    """What training with `attached` makes small, summed over `rows`, which get labels."""
    return (attached.objective() or NEXT_TOKENS).loss(model, labelled(rows))
