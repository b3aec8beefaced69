"""Prefix tuning (Li and Liang 2021, arXiv 2101.00190): trained keys and values before every row.

    attend(q, [Pk; K], [Pv; V])       in every attention layer; Pk, Pv (n, kv_heads, D)

The keys are as attention reads them: rotated already. They take the first n positions. The paper trains them
through a network, since random ones are hard to train; here they begin as the keys and values that the base
computes for real tokens, so that it starts as if these stood before every row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rung.compute import body, plain
from rung.compute.attention import Prefix
from rung.compute.lead import Lead
from rung.compute.passes import over_segments
from rung.errors import AdapterError, BaseModelError
from rung.methods.adapter import Adapter
from rung.methods.beginning import Beginning, BeginningFormat, BeginningSettings, start_ids, trained
from rung.methods.method import Method, Promises
from rung.methods.slots import ONLY, slots_of


class PrefixSettings(BeginningSettings):
    """What can be asked of prefix tuning."""


class KeysAndValues(Beginning):
    """Keys and values before every row of a model; see `rung.methods.method.Attached`."""

    settings: PrefixSettings

    def __init__(self, model: nn.Module, settings: PrefixSettings, seed: int = 0, slot: str = ONLY) -> None:
        """Raises `BaseModelError` where the base's attention is not rung's, or differs between layers."""
        _require_attention(model)
        ids = start_ids(settings, model, seed)
        before = slots_of(model).on
        super().__init__(model, settings, slot)
        try:
            numbers = _numbers(self.model, ids)  # (n, 2 layers, kv_heads, D)
        except BaseModelError:
            slots_of(model).use(before)
            raise
        model.requires_grad_(False)
        self._shape = numbers.shape
        self.rows = trained(numbers.flatten(1))  # (n, 2 layers * kv_heads * D), as PEFT has them
        self.lead = Lead(prefix=self._prefix, length=len(ids))
        slots_of(model).take(self)

    def _prefix(self) -> Prefix:
        """The keys and values as they are now, in the model's number format, with gradient."""
        rows = self.rows.to(self.model.dtype).view(self._shape)
        layers = rows.permute(1, 2, 0, 3)[:, None].contiguous().unbind()  # each (1, kv_heads, n, D)
        return Prefix(list(layers[::2]), list(layers[1::2]))

    def facts(self) -> dict[str, Any]:
        _, both, heads, size = self._shape
        return {"token_dim": heads * size, "num_attention_heads": heads, "num_layers": both // 2}


def _require_attention(model: Any) -> None:
    """Raises `BaseModelError` for a model that is computed by its own code alone."""
    if plain.is_used(model):
        raise BaseModelError(
            f"prefix tuning needs rung's attention, and {type(model).__name__} is computed by its own code",
            fix="Take prompt tuning, which does without, or another base",
        )


@torch.no_grad()
def _numbers(model: PreTrainedModel, ids: list[int]) -> Tensor:
    """What every layer attends to for tokens `ids` (n) at the beginning: (n, 2 layers, kv_heads, D).

    Keys and values alternate. Raises `BaseModelError` where layers share theirs or have other shapes.
    """
    one, kept = over_segments(model, [ids], keep=True)
    body.hidden_states(model, one)
    both = [part[0] for pair in zip(kept.keys, kept.values, strict=True) for part in pair]  # (kv_heads, n, D)
    config = model.config.get_text_config()
    odd = len({part.shape for part in both}) != 1 or len(both) != 2 * body.depth(model)
    if odd or getattr(config, "num_kv_shared_layers", None):
        raise BaseModelError(
            f"the layers of {type(model).__name__} do not all have keys and values of one shape",
            fix="Take prompt tuning, which needs none, or another base",
        )
    return torch.stack(both).permute(2, 0, 1, 3)


class PrefixFormat(BeginningFormat):
    """PEFT's prefix tuning. What it trained through a network, it writes as plain keys and values."""

    peft_type = "PREFIX_TUNING"
    Settings = PrefixSettings
    without_effect = frozenset({"prefix_projection", "encoder_hidden_size", "init_weights"})

    def config(self, adapter: Adapter) -> dict[str, Any]:
        network = {"prefix_projection": False, "encoder_hidden_size": adapter.facts["token_dim"]}
        return super().config(adapter) | network

    def check(self, adapter: Adapter, attached: Any) -> None:
        config = adapter.facts.get("config", {})
        for name, own in attached.facts().items():
            if config.get(name) not in (None, own):
                raise AdapterError(f"{name} is {config[name]!r}, and the base has {own}")
        super().check(adapter, attached)


METHOD = Method(
    name="prefix",
    title="prefix tuning",
    when="As prompt tuning, with more numbers: trained keys and values in every attention layer.",
    Settings=PrefixSettings,
    learning_rate=1e-2,
    attach=KeysAndValues,
    format=PrefixFormat(),
    promises=Promises(identity_at_start=False, mergeable=False, own_code=False),
)
