"""Dropout (Srivastava et al. 2014) before a trained update, in training alone.

What is left out follows from the seed, the step, the number of the pass in it and the layer, never from a
random state: the backward pass, which computes some layers again, leaves out the same, and so does a run that
continues from a checkpoint. Tokens that rows of a pass share are one token here too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Dropout:
    """Each number is 0 with probability `share`; the others are divided by 1 - share."""

    share: float
    seed: int
    on: bool = False
    step: int = 0
    number: int = 0  # of the pass in the step

    def factors(self, x: Tensor, place: str) -> Tensor | None:
        """What x (..., in) is multiplied by at the layer `place`; None where dropout is off."""
        if not self.on:
            return None
        text = f"{self.seed} {self.step} {self.number} {place}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
        draw = torch.Generator(x.device).manual_seed(seed)
        kept = torch.rand(x.shape, generator=draw, device=x.device) >= self.share
        return kept.to(x.dtype) / (1 - self.share)
