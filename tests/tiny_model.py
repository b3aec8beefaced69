"""Models of a few thousand weights, and rows of random tokens, for tests that compare numbers."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.mistral.modeling_mistral import MistralRMSNorm

import rung.compute.attention  # noqa: F401  registers the attention "rung"
from rung.records import Rendered

VOCABULARY = 99


def tiny_model(
    *,
    dtype: torch.dtype = torch.float32,
    attention: str = "rung",
    window: int | None = None,
    tied: bool = True,
    seed: int = 0,
    vocabulary: int = VOCABULARY,
) -> PreTrainedModel:
    """Two layers, 32 wide, 4 heads over 2 key-value heads; the same weights for the same seed.

    The attention "eager" computes its softmax in fp32 whatever the dtype; "sdpa" does not.
    Weights are wide enough for attention to be far from uniform. `window` makes it a Mistral.
    """
    shape: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.25,
        "tie_word_embeddings": tied,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "attn_implementation": attention,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel
        if window is None:
            model = LlamaForCausalLM(LlamaConfig(**shape))
        else:
            model = MistralForCausalLM(MistralConfig(**shape, sliding_window=window))
    if dtype == torch.float64:
        for module in model.modules():
            if isinstance(module, LlamaRMSNorm | MistralRMSNorm):
                module.forward = MethodType(_wide_norm, module)  # type: ignore[method-assign]
    return model.to(dtype=dtype).eval().requires_grad_(False)


def _wide_norm(self: Any, h: Tensor) -> Tensor:
    """RMSNorm in h's own format; transformers computes it in fp32, whatever the model's."""
    wide: Tensor = self.weight * h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
    return wide


def random_rows(count: int, seed: int = 0, shortest: int = 3, longest: int = 24) -> list[Rendered]:
    """Rows of random tokens; the first token is never learned, some rows learn two separate stretches."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        length = draw.randint(shortest, longest)
        ids = tuple(draw.randrange(3, VOCABULARY) for _ in range(length))
        first = draw.randrange(1, length)
        mask = [place >= first for place in range(length)]
        if length - first > 4 and number % 3 == 0:
            mask[first + 2] = False
        rows.append(Rendered(f"row{number}", ids, tuple(mask)))
    return rows


def plain_loss(model: PreTrainedModel, rows: Iterable[Rendered]) -> Tensor:
    """Summed cross-entropy over target tokens, one row at a time, the way a textbook writes it."""
    total = torch.zeros((), dtype=torch.promote_types(model.dtype, torch.float32))
    for row in rows:
        logits = model(input_ids=torch.tensor([row.ids]), use_cache=False).logits[0]
        logits = logits[-len(row.ids) :]  # without those of what PEFT puts before a row
        learned = [place for place in range(1, len(row.ids)) if row.mask[place]]
        before = torch.tensor([place - 1 for place in learned])
        wanted = torch.tensor([row.ids[place] for place in learned])
        total = total + cross_entropy(logits[before].to(total.dtype), wanted, reduction="sum")
    return total


def distance(ours: Tensor, theirs: Tensor) -> float:
    """Relative difference in the 2-norm."""
    return float((ours - theirs).norm() / theirs.norm())


def gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    """Copies of the gradients, all of which must be there."""
    copies = []
    for parameter in parameters:
        assert parameter.grad is not None
        copies.append(parameter.grad.clone())
    return copies


def shake(parameters: Iterable[Tensor], seed: int = 1, size: float = 0.1) -> None:
    """Move parameters away from where they start, reproducibly."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parameters:
            parameter += size * torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype)


def copy_of(model: PreTrainedModel) -> dict[str, Tensor]:
    """Every weight and buffer, copied."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def same_bytes(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Whether two states hold the same names and the same bits."""
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and torch.equal(first[name], second[name]) for name in first
    )
