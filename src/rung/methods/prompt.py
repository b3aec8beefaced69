"""Prompt tuning (Lester et al. 2021, arXiv 2104.08691): trained embeddings before every row.

    [p1 ... pn; e(x1) ... e(xT)]        p (n, d), e the base's embedding

All that follows sees them as tokens. They are what a model's layers read: families that scale embeddings in
the embedding itself (Gemma 3) have scaled ones here, those that scale what comes out of it scale these too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from rung.compute.lead import Extended, Lead
from rung.methods.beginning import Beginning, BeginningFormat, BeginningSettings, start_ids, trained
from rung.methods.method import Method, Promises
from rung.methods.slots import ONLY, slots_of


class PromptSettings(BeginningSettings):
    """What can be asked of prompt tuning."""


class Prompt(Beginning):
    """A prompt on a model; see `rung.methods.method.Attached`."""

    settings: PromptSettings

    def __init__(self, model: nn.Module, settings: PromptSettings, seed: int = 0, slot: str = ONLY) -> None:
        ids = start_ids(settings, model, seed)
        super().__init__(model, settings, slot)
        words = self.model.get_input_embeddings()
        model.requires_grad_(False)
        with torch.no_grad():
            rows = words(torch.tensor([ids], device=words.weight.device))[0]  # (n, d)
        self.rows = trained(rows)
        self._extended = Extended(words, self.rows)
        first = self._extended.first
        self.lead = Lead(tuple(range(first, first + len(ids))), length=len(ids))
        slots_of(model).take(self)

    def facts(self) -> dict[str, Any]:
        config = self.model.config.get_text_config()
        return {
            "token_dim": self.rows.shape[1],
            "num_attention_heads": config.num_attention_heads,
            "num_layers": config.num_hidden_layers,
        }

    def switch(self, on: bool) -> None:
        self.model.set_input_embeddings(self._extended if on else self._extended.base)
        super().switch(on)


class PromptFormat(BeginningFormat):
    """PEFT's prompt tuning."""

    peft_type = "PROMPT_TUNING"
    Settings = PromptSettings
    without_effect = frozenset(
        {"prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path", "tokenizer_kwargs"}
    )


METHOD = Method(
    name="prompt",
    title="prompt tuning",
    when="Thousands of adapters over one large base: twenty trained tokens each, and no weight changes.",
    Settings=PromptSettings,
    learning_rate=3e-2,
    attach=Prompt,
    format=PromptFormat(),
    promises=Promises(identity_at_start=False, mergeable=False),
)
