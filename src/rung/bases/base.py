"""A base: a pretrained model, frozen, with its tokenizer and what the rest of rung must know about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

OWN_ATTENTION = "eager"  # transformers' name for a model's own attention
UNSTATED_CONTEXT = 2048  # tokens, for the few architectures that state no limit


@dataclass(frozen=True, slots=True)
class Route:
    """How a base is computed; see `rung.compute.paths`."""

    path: Literal["fused", "interface", "plain"]
    why: str  # why no faster path is right; "" for the fastest

    def __str__(self) -> str:
        """A sentence for the screen."""
        return _ROUTES[self.path] + (f"; {self.why}" if self.why else "")


_ROUTES = {
    "fused": "fused, rung's own layers",
    "interface": "interface, transformers' layers with rung's attention",
    "plain": "plain, the model's own code on whole rows, which is slower",
}


@dataclass
class Base:
    """A pretrained model ready to be prompted or tuned; its own weights take no gradient."""

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    context: int  # tokens
    dtype: torch.dtype
    device: torch.device
    fingerprint: str  # sha256 over configuration, weights, tokenizer and chat template
    path: Path | None = None  # its folder; None where it was built in code
    bits: int | None = None  # that hold a weight of its decoder layers; None: as many as `dtype` has
    license: str = ""  # as its source states it; "" where it does not
    route: Route = Route("plain", "no other was tried")  # `rung.compute.load` measures which one is right


def context_of(config: PretrainedConfig) -> int:
    """The most tokens a model was made for, from its (text) configuration.

    With "longrope" no more than it was first trained on: a longer row changes the angles of all positions of
    its pass, so rows that are read together would not be what they are alone.
    """
    text = config.get_text_config()
    limits = [
        int(rope["original_max_position_embeddings"])
        for rope in _ropes(text)
        if rope.get("rope_type") == "longrope" and rope.get("original_max_position_embeddings")
    ]
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        value = getattr(text, name, None)
        if isinstance(value, int) and value > 0:
            return min([value, *limits])
    return UNSTATED_CONTEXT


def _ropes(config: PretrainedConfig) -> list[dict[str, Any]]:
    """How positions become angles: one entry, or one for each kind of layer."""
    found = getattr(config, "rope_parameters", None)
    if not isinstance(found, dict):
        return []
    return [found, *(one for one in found.values() if isinstance(one, dict))]


def freeze(model: PreTrainedModel) -> PreTrainedModel:
    """Evaluation mode, and no parameter takes a gradient."""
    model.eval()
    model.requires_grad_(False)
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars and log lines off the screen; errors still show."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
