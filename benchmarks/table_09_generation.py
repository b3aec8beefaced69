"""Table 9: greedy generation, 64 prompts. The gate compares the tokens written in fp32."""

from __future__ import annotations

from typing import Any

import gates
import work
from common import BASE, Runner, against_fastest, measure, options, rung

BATCHES = (16, 64)
NEW_TOKENS = 64
GATE_ROWS = 8


def peer(s: dict[str, Any], batch: int) -> Runner:
    return Runner(f"HF generate, batches of {batch}", "peers/hf_generate.py", {**s, "batch": batch})


def main() -> None:
    o = options(rows=64)
    model, data = work.model_folder(), work.build("prompts")
    s = {"kind": "generate", "model": model, "base": BASE, "data": data, "rows": o.rows, "warmup_rows": 8}
    s |= {"dtype": "bf16", "new_tokens": NEW_TOKENS, "stop_ids": []}
    exact = {**s, "dtype": "fp32", "rows": min(o.rows, GATE_ROWS)}
    gate = gates.passed(gates.tokens(rung("rung", exact), peer(exact, GATE_ROWS)))

    measure(
        "table_09",
        f"Greedy generation, {o.rows} prompts, {NEW_TOKENS} new tokens, bf16",
        "new tokens/s",
        [rung("rung", s), *(peer(s, batch) for batch in BATCHES)],
        o.repeats,
        gate=gate,
        work=work.about(data, o.rows),
        targets=lambda found, facts: [against_fastest(found, "9: against {}", 2)],
    )


if __name__ == "__main__":
    main()
