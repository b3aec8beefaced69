"""Greedy generation by transformers.

Settings: those of `hf_model`, batch, new_tokens, stop_ids (empty: every row writes `new_tokens`).
With adapters, row i is written by adapter i modulo their number (`adapter_names` of PEFT).
Tuned: prompts sorted by length and padded on the left, a dynamic cache.
"""

from __future__ import annotations

from typing import Any

import hf_model
import measure
import torch
from transformers import GenerationConfig

PAD = 0


@torch.inference_mode()
def generate(model: Any, rows: list[dict[str, Any]], s: dict[str, Any]) -> list[list[int]]:
    """What is written after each prompt, without the stop token."""
    prompts = [row["ids"] for row in rows]
    stop = s["stop_ids"] or None
    adapters = s.get("adapters", ())
    config = GenerationConfig(
        max_new_tokens=s["new_tokens"], do_sample=False, eos_token_id=stop, pad_token_id=PAD, use_cache=True
    )
    written: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    for at in range(0, len(order), s["batch"]):
        some = order[at : at + s["batch"]]
        longest = max(len(prompts[i]) for i in some)
        ids = torch.tensor([[PAD] * (longest - len(prompts[i])) + prompts[i] for i in some])
        mask = torch.tensor([[0] * (longest - len(prompts[i])) + [1] * len(prompts[i]) for i in some])
        own = {"adapter_names": [str(i % len(adapters)) for i in some]} if adapters else {}
        out = model.generate(input_ids=ids, attention_mask=mask, generation_config=config, **own)
        for i, new in zip(some, out[:, longest:].tolist(), strict=True):
            end = next((at for at, token in enumerate(new) if token in (stop or ())), len(new))
            written[i] = new[:end]
    return written


def warm(model: Any, s: dict[str, Any]) -> None:
    rows = measure.read_rows(s["data"], s["rows"], s["warmup_rows"])
    generate(model, rows, {**s, "new_tokens": 4})


if __name__ == "__main__":
    hf_model.run("tokens", generate, lambda written: sum(map(len, written)), warm)
