"""Modules of a model by their full names: the decoder layer of a name, and another module in a place."""

from __future__ import annotations

import re

from torch import nn

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")


def layer_of(name: str) -> int | None:
    """The number of the decoder layer that a module's full name belongs to; None for one outside of them."""
    number = _LAYER.search(name)
    return int(number[1]) if number else None


def within(name: str) -> str:
    """What comes after the number of the decoder layer; the whole name of a module outside of them."""
    number = _LAYER.search(name)
    return name[number.end() :] if number else name


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` in the place called `name`."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
