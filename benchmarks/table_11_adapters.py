"""Table 11: greedy generation by 8 LoRAs on one base, 64 prompts, each with one of them.

Their numbers are random, so that each writes something else. The gate compares the tokens written in fp32.
"""

from __future__ import annotations

from typing import Any

import gates
import torch
import work
from common import BASE, Runner, measure, options, rung

from rung import storage
from rung.compute.load import load
from rung.methods import METHODS
from rung.methods.adapter import Adapter
from rung.methods.peft_format import files_of

ADAPTERS = 8
NEW_TOKENS = 64
PEER = "HF generate + PEFT adapter_names"
TOGETHER, IN_TURN, FIRST = "rung", "rung, one adapter after the other", "rung, one adapter for all"


def adapters() -> list[str]:
    """Folders of LoRAs on all linear layers with ranks of 16."""
    base = load(BASE)
    folders = []
    for seed in range(ADAPTERS):
        folder = work.FOLDER / "adapters" / str(seed)
        folders.append(str(folder))
        if folder.exists():
            continue
        method = METHODS["lora"]
        lora = method.attach(base.model, method.make({"rank": 16, "alpha": 32.0}), seed=seed)
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for one in lora.parameters():
                one.add_(0.01 * torch.randn(one.shape, generator=draw))
        folder.parent.mkdir(parents=True, exist_ok=True)
        storage.write_folder(folder, files_of(Adapter.of(method, lora), BASE))
        lora.detach()
    return folders


def peer(s: dict[str, Any]) -> Runner:
    return Runner(PEER, "peers/hf_generate.py", {**s, "batch": 64})


def main() -> None:
    o = options(rows=64)
    data = work.build("prompts")
    s = {"kind": "generate", "model": work.model_folder(), "base": BASE, "data": data, "rows": o.rows}
    s |= {"dtype": "bf16", "new_tokens": NEW_TOKENS, "stop_ids": [], "warmup_rows": 8, "adapters": adapters()}
    exact = {**s, "dtype": "fp32", "rows": 16}
    gate = gates.passed(gates.tokens(rung(TOGETHER, exact, how="together"), peer(exact)))

    measure(
        "table_11",
        f"Greedy generation by {ADAPTERS} LoRAs, {o.rows} prompts, {NEW_TOKENS} new tokens, bf16",
        "new tokens/s",
        [
            rung(TOGETHER, s, how="together"),
            rung(IN_TURN, s, how="in turn"),
            rung(FIRST, s, how="first"),
            peer(s),
        ],
        o.repeats,
        gate=gate,
        work=work.about(data, o.rows),
    )


if __name__ == "__main__":
    main()
