"""What the peers that only read and write have in common: the model, one warm-up, one timed run, the report.

Settings: model, data, rows, warmup_rows, dtype, outputs (a file for what came out, or absent), adapters
(folders in PEFT's format, or absent: they are named by their place).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, GenerationConfig

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
Rows = list[dict[str, Any]]


def run(
    unit: str,
    work: Callable[[Any, Rows, dict[str, Any]], list[Any]],
    count: Callable[[list[Any]], int],
    warm: Callable[[Any, dict[str, Any]], Any],
) -> None:
    """Do `work(model, rows, settings)` after `warm(model, settings)`; `count` says how much came out."""
    s = measure.settings()
    model = AutoModelForCausalLM.from_pretrained(
        s["model"], dtype=DTYPES[s["dtype"]], attn_implementation="sdpa", local_files_only=True
    ).eval()
    model.generation_config = GenerationConfig()  # what the checkpoint says of sampling does not count
    for place, folder in enumerate(s.get("adapters", ())):
        if place == 0:
            model = PeftModel.from_pretrained(model, folder, adapter_name="0").to(DTYPES[s["dtype"]]).eval()
        else:
            model.load_adapter(folder, adapter_name=str(place))
    rows = measure.read_rows(s["data"], 0, s["rows"])
    memory = measure.Memory(model.parameters())
    warm(model, s)
    first, start = measure.age(), time.perf_counter()
    outputs = work(model, rows, s)
    seconds = time.perf_counter() - start
    if s.get("outputs"):
        Path(s["outputs"]).write_text(json.dumps(outputs))
    measure.report(
        s,
        unit=unit,
        count=count(outputs),
        seconds=seconds,
        memory=memory,
        packages=("torch", "transformers"),
        time_to_first_step=first,
    )
