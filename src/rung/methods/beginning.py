"""What prompt and prefix tuning share: a number of trained tokens before every row, begun from real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice
from typing import Any, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from rung.compute.lead import NONE, Lead, set_lead
from rung.errors import UsageError
from rung.methods.adapter import Adapter, PlainFormat, require
from rung.methods.method import Attached, MethodSettings
from rung.methods.peft_keys import refuse_others

MOST_TOKENS = 4096
NAME = "prompt_embeddings"  # PEFT's, of the only tensor
_COMMON = 5000  # ids; vocabularies begin with the most common tokens
_READ = {
    "num_virtual_tokens",
    "num_transformer_submodules",
    "token_dim",
    "num_attention_heads",
    "num_layers",
}


class BeginningSettings(MethodSettings):
    """What can be asked of trained tokens before every row."""

    length: int = Field(default=20, ge=1, le=MOST_TOKENS, description="How many tokens are trained.")
    text: str = Field(
        default="", description="They begin as the tokens of this text; as random common tokens if not given."
    )
    start_ids: tuple[int, ...] = Field(default=(), description="The text as token ids of the base.")

    def encoded(self, encode: Callable[[str], Sequence[int]]) -> Self:
        if not self.text or self.start_ids:
            return self
        return self.model_copy(update={"start_ids": tuple(encode(self.text))})


def start_ids(settings: BeginningSettings, model: Any, seed: int) -> list[int]:
    """`length` ids of a model: those of the text, repeated or cut, or drawn from the first of its vocabulary.

    Raises `UsageError` for a text that was not turned into ids, and for ids that the base does not have.
    """
    vocabulary = len(model.get_input_embeddings().weight)
    if settings.text and not settings.start_ids:
        raise UsageError("the text to begin from has no tokens", fix="Give a longer text")
    if settings.start_ids:
        if not all(0 <= one < vocabulary for one in settings.start_ids):
            raise UsageError(
                f"start_ids holds ids outside of the base's vocabulary of {vocabulary}",
                fix="Give a text instead",
            )
        return list(islice(cycle(settings.start_ids), settings.length))
    draw = torch.Generator().manual_seed(seed)
    found: list[int] = torch.randint(min(vocabulary, _COMMON), (settings.length,), generator=draw).tolist()
    return found


def trained(numbers: Tensor) -> nn.Parameter:
    """A parameter that begins as `numbers`, in fp32 or wider."""
    wide = torch.promote_types(numbers.dtype, torch.float32)
    return nn.Parameter(numbers.detach().to(wide, copy=True))


class Beginning(Attached):
    """Trained tokens before every row of a model; see `rung.methods.method.Attached`."""

    rows: nn.Parameter  # (n, numbers of a token)
    lead: Lead

    def named(self) -> dict[str, Tensor]:
        return {NAME: self.rows}

    def parameters(self) -> list[nn.Parameter]:
        return [self.rows]

    def switch(self, on: bool) -> None:
        set_lead(self.model, self.lead if on else NONE)

    def remove(self) -> None:
        """Nothing is left of it once it is off."""


class BeginningFormat(PlainFormat):
    """PEFT's format of both: one tensor (length, numbers of a token)."""

    without_effect: frozenset[str] = frozenset()  # keys that do not change what a finished adapter computes
    Settings: type[BeginningSettings] = BeginningSettings

    def config(self, adapter: Adapter) -> dict[str, Any]:
        return {
            "num_virtual_tokens": len(adapter.tensors[NAME]),
            "num_transformer_submodules": 1,
            **{key: adapter.facts[key] for key in ("token_dim", "num_attention_heads", "num_layers")},
        }

    def settings(self, config: Mapping[str, Any]) -> BeginningSettings:
        refuse_others(config, _READ | self.without_effect)
        length = config.get("num_virtual_tokens")
        fine = type(length) is int and 1 <= length <= MOST_TOKENS
        require(fine, f"num_virtual_tokens cannot be {length!r}")
        parts = config.get("num_transformer_submodules")
        require(parts in (None, 1), f"num_transformer_submodules is {parts!r}, and a base is one")
        return self.Settings(length=int(length or 1))

    def to_file(self, adapter: Adapter) -> dict[str, Tensor]:
        return dict(adapter.tensors)

    def from_file(self, tensors: Mapping[str, Tensor], settings: Any) -> dict[str, Tensor]:
        require(tensors.keys() == {NAME}, f"the tensors are not {NAME!r} alone")
        return dict(tensors)
