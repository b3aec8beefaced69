"""What a method puts before the tokens of every row: trained embeddings, or trained keys and values.

Embeddings get token ids of their own, above the vocabulary, which `Extended` in the place of the model's
embedding looks up: to a pass they are a common beginning of its rows like any other. Keys and values come
before all tokens of a pass, in every attention layer. Both take positions before the first token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from rung.compute.attention import Prefix


@dataclass(frozen=True, slots=True)
class Lead:
    """`ids` of an `Extended` embedding; `prefix` gives the keys and values as they are now."""

    ids: tuple[int, ...] = ()
    prefix: Callable[[], Prefix] | None = None
    length: int = 0  # tokens that it stands for


NONE = Lead()
_leads: WeakKeyDictionary[nn.Module, Lead] = WeakKeyDictionary()


def lead_of(model: nn.Module) -> Lead:
    """What comes before every row of `model`."""
    return _leads.get(model, NONE)


def set_lead(model: nn.Module, lead: Lead) -> None:
    """From now on `lead` comes before every row; `NONE` for nothing."""
    if lead is NONE:
        _leads.pop(model, None)
    else:
        _leads[model] = lead


class Extended(nn.Module):
    """An embedding with `rows` (n, d) for the ids from the end of its vocabulary on."""

    rows: nn.Parameter

    def __init__(self, base: nn.Module, rows: nn.Parameter) -> None:
        super().__init__()
        self.base = base
        # Outside of the module tree: the model's parameters are those of the base.
        self.__dict__["rows"] = rows
        self.first = len(self.weight)  # the vocabulary

    @property
    def weight(self) -> Tensor:
        """The base's own."""
        weight: Tensor = self.base.weight  # type: ignore[assignment]
        return weight

    def forward(self, ids: Tensor) -> Tensor:
        """ids (B, T) -> (B, T, d)."""
        own = ids >= self.first
        words: Tensor = self.base(ids.masked_fill(own, 0))
        rows = self.rows[(ids - self.first).clamp(min=0)].to(words.dtype)
        return torch.where(own[..., None], rows, words)
