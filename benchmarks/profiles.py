"""Where the time of a run goes, by torch's profiler: shares of the wall time by kind of work.

Writes results/profiles.json, from which `render.py` makes a table. What is neither a product nor a pass over
numbers is Python, dispatch and the profiler itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import work
from common import BASE, RESULTS, machine, training
from ours import Steps, attach, open_base, rendered, trainer
from peers import measure
from torch.profiler import ProfilerActivity, profile

from rung.generate.engine import Engine

ROWS, PROMPTS, NEW_TOKENS = 16, 64, 33
THIN = 64  # a product with a side of fewer is LoRA's
KINDS = ("products of the layers", "LoRA's products", "loss head", "attention", "other passes", "calls")


def shares(run: Callable[[], object]) -> dict[str, float]:
    """Seconds of `run` by kind, after a first time unprofiled."""
    run()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
        start = time.perf_counter()
        run()
        wall = time.perf_counter() - start
    seconds = dict.fromkeys(KINDS, 0.0)
    for event in profiled.events() or ():
        if event.name.startswith("aten::"):
            seconds[_kind(event)] += event.self_cpu_time_total / 1e6
    seconds["calls"] = max(0.0, wall - sum(seconds.values()))
    return seconds


def _kind(event: Any) -> str:
    above = set()
    parent = event
    while parent is not None:
        above.add(parent.name)
        parent = parent.cpu_parent
    if above & {"_LinearCrossEntropy", "_LinearCrossEntropyBackward"}:
        return "loss head"
    if above & {"_Attention", "_AttentionBackward"} or event.name in ("aten::bmm", "aten::_softmax"):
        return "attention"
    if event.name in ("aten::mm", "aten::addmm_", "aten::addmm"):
        sides = [side for shape in event.input_shapes[-2:] for side in shape]
        return "LoRA's products" if _is_lora(event.name, sides) else "products of the layers"
    return "other passes"


def _is_lora(name: str, sides: list[int]) -> bool:
    return name == "aten::addmm_" or min(sides, default=THIN + 1) < THIN


def step(dtype: str, method: str, model: str, data: str) -> Callable[[], object]:
    """One optimizer step on the instruction mix."""
    s = {**training(model, data, ROWS, dtype=dtype), "method": method}
    base = open_base(s)
    rows = rendered(measure.read_rows(data, 0, ROWS))
    attached = attach(base, s)
    return lambda: trainer(base, attached, rows, s, 1, Steps()).run()


def generation(data: str) -> Callable[[], object]:
    """Greedy generation of a batch, prompts and all."""
    engine = Engine(open_base({"base": BASE, "dtype": "bf16"}))
    prompts = [row["ids"] for row in measure.read_rows(data, 0, PROMPTS)]
    return lambda: engine.generate(prompts, max_new_tokens=NEW_TOKENS, stop_ids=[])


def main() -> None:
    model, data, prompts = work.model_folder(), work.build("broad"), work.build("prompts")
    runs: dict[str, Callable[[], Callable[[], object]]] = {
        "LoRA, bf16": lambda: step("bf16", "lora", model, data),
        "LoRA, fp32": lambda: step("fp32", "lora", model, data),
        "full, bf16": lambda: step("bf16", "full", model, data),
        f"generation, {PROMPTS} prompts, {NEW_TOKENS} tokens": lambda: generation(prompts),
    }
    record = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine(),
        "work": work.about(data, ROWS),
        "seconds": {name: shares(make()) for name, make in runs.items()},
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "profiles.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for name, seconds in record["seconds"].items():
        print(name, {kind: round(value / sum(seconds.values()), 3) for kind, value in seconds.items()})


if __name__ == "__main__":
    main()
