"""LitGPT: its own GPT, LoRA layers, chunked head and loss; the loop is that of its finetune/lora.py.

Settings: model, data, rows, warmup_rows, steps, rank, alpha, learning_rate, batch, dtype (bf16 | fp32).
The weights are those of the base, put in LitGPT's layout by its own converter. Tuned: LoRA on every linear
layer of the body, precision "bf16-true", rows sorted by length. Fabric is left out: it only places tensors.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measure
import torch
from litgpt.lora import GPT, Config, mark_only_lora_as_trainable
from litgpt.scripts.convert_hf_checkpoint import copy_weights_hf_llama
from litgpt.utils import chunked_cross_entropy
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import pad

NAME = "SmolLM2-135M-Instruct"
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def load(s: dict[str, Any]) -> GPT:
    """The base with LoRA on every linear layer, in LitGPT's classes."""
    parts = ("query", "key", "value", "projection", "mlp")
    config = Config.from_name(
        NAME,
        lora_r=s["rank"],
        lora_alpha=s["alpha"],
        lora_dropout=0.0,
        **{f"lora_{part}": True for part in parts},
    )
    state: dict[str, Tensor] = {}
    copy_weights_hf_llama(config, {}, state, load_file(Path(s["model"]) / "model.safetensors"))
    model = GPT(config)
    model.load_state_dict(state, strict=False)
    model.lm_head.linear.weight = model.transformer.wte.weight  # tied, as in the base
    mark_only_lora_as_trainable(model)
    model = model.to(DTYPES[s["dtype"]])
    model.max_seq_length = 2048
    return model.train()


def batches(rows: list[dict[str, Any]], size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Padded (ids, labels) of `size` rows of about the same length, batches in random order."""
    rows = sorted(rows, key=lambda row: len(row["ids"]))
    groups = [rows[at : at + size] for at in range(0, len(rows), size)]
    random.Random(0).shuffle(groups)
    for group in groups:
        longest = max(len(row["ids"]) for row in group)
        ids = [torch.tensor(row["ids"]) for row in group]
        labels = [i.masked_fill(~torch.tensor(row["mask"]), -100) for i, row in zip(ids, group, strict=True)]
        yield (
            torch.stack([pad(i, (0, longest - len(i))) for i in ids]),
            torch.stack([pad(i, (0, longest - len(i)), value=-100) for i in labels]),
        )


def train(
    model: GPT, optimizer: torch.optim.Optimizer, rows: list[dict[str, Any]], size: int, accumulation: int
) -> list[float]:
    """One epoch; the loss of each step. The body of the loop is LitGPT's."""
    losses, total = [], 0.0
    for number, (ids, labels) in enumerate(batches(rows, size), start=1):
        logits = model(ids, lm_head_chunk_size=128)
        logits[-1] = logits[-1][..., :-1, :]
        loss = chunked_cross_entropy(logits, labels[..., 1:])
        (loss / accumulation).backward()
        total += loss.item() / accumulation
        if number % accumulation == 0:
            optimizer.step()
            optimizer.zero_grad()
            losses.append(total)
            total = 0.0
    return losses


def main() -> None:
    s = measure.settings()
    rows, warm = measure.training_rows(s)
    model = load(s)
    memory = measure.Memory(model.parameters())
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, fused=True)
    train(model, optimizer, warm, len(warm), 1)  # warms up and learns nothing
    optimizer.param_groups[0]["lr"] = s["learning_rate"]
    first = measure.age()
    start = time.perf_counter()
    losses = train(model, optimizer, rows, s["batch"], max(1, len(rows) // s["steps"] // s["batch"]))
    measure.report(
        s,
        unit="tokens",
        count=sum(len(row["ids"]) for row in rows),
        seconds=time.perf_counter() - start,
        memory=memory,
        packages=("torch", "litgpt", "lightning"),
        losses=losses,
        time_to_first_step=first,
        trainable=sum(p.numel() for p in trained),
    )


if __name__ == "__main__":
    main()
