"""Greedy generation by transformers.

Settings: model, data, rows, warmup_rows, dtype, batch, new_tokens, stop_ids (empty: every row writes
`new_tokens`), outputs (a file for the tokens, or absent).
Tuned: prompts sorted by length and padded on the left, a dynamic cache.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import measure
import torch
from transformers import AutoModelForCausalLM, GenerationConfig

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
PAD = 0


@torch.inference_mode()
def generate(model: Any, prompts: list[list[int]], s: dict[str, Any]) -> list[list[int]]:
    """What is written after each prompt, without the stop token."""
    stop = s["stop_ids"] or None
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
        out = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
        for i, new in zip(some, out[:, longest:].tolist(), strict=True):
            end = next((at for at, token in enumerate(new) if token in (stop or ())), len(new))
            written[i] = new[:end]
    return written


def main() -> None:
    s = measure.settings()
    model = AutoModelForCausalLM.from_pretrained(
        s["model"], dtype=DTYPES[s["dtype"]], attn_implementation="sdpa", local_files_only=True
    ).eval()
    model.generation_config = GenerationConfig()  # what the checkpoint says of sampling does not count
    prompts = [row["ids"] for row in measure.read_rows(s["data"], 0, s["rows"])]
    warm = [row["ids"] for row in measure.read_rows(s["data"], s["rows"], s["warmup_rows"])]
    memory = measure.Memory(model.parameters())
    generate(model, warm, {**s, "new_tokens": 4})
    first = measure.age()
    start = time.perf_counter()
    written = generate(model, prompts, s)
    seconds = time.perf_counter() - start
    if s.get("outputs"):
        Path(s["outputs"]).write_text(json.dumps(written))
    measure.report(
        s,
        unit="tokens",
        count=sum(map(len, written)),
        seconds=seconds,
        memory=memory,
        packages=("torch", "transformers"),
        time_to_first_step=first,
    )


if __name__ == "__main__":
    main()
