"""Choosing the next token by chance, for chat; evaluation is always greedy."""

from __future__ import annotations

import torch
from torch import Tensor

from rung.errors import UsageError


class Sampler:
    """Temperature and nucleus sampling (Holtzman et al. 2020).

    Divides logits by `temperature`, keeps the fewest likeliest tokens whose probabilities reach `top_p`, and
    draws one. Temperature 0 is greedy. The same seed and the same calls in the same order draw the same
    tokens. Raises `UsageError` for a temperature below 0 or a `top_p` outside (0, 1].
    """

    def __init__(self, temperature: float = 1.0, top_p: float = 1.0, seed: int = 0) -> None:
        if not 0.0 <= temperature < float("inf"):
            raise UsageError(f"temperature {temperature} cannot be used", fix="Give 0 (greedy) or more")
        if not 0.0 < top_p <= 1.0:
            raise UsageError(f"top_p {top_p} cannot be used", fix="Give more than 0 and at most 1")
        self.temperature = temperature
        self.top_p = top_p
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, logits: Tensor) -> Tensor:
        """Logits (B, vocabulary) -> tokens (B,)."""
        if self.temperature == 0.0:
            return logits.argmax(-1)
        scores = logits.float().cpu()
        scores = (scores - scores.amax(-1, keepdim=True)) / self.temperature  # so that nothing overflows
        probabilities, tokens = scores.softmax(-1).sort(dim=-1, descending=True, stable=True)
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(before >= self.top_p, 0.0)
        place = torch.multinomial(probabilities, 1, generator=self._generator)
        return tokens.gather(1, place)[:, 0].to(logits.device)
