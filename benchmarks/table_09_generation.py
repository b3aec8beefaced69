"""Table 9: greedy generation, 64 prompts. The gate compares the tokens written in fp32.

Twice: 64 new tokens for every prompt, and at most 64 until the end of turn, as rung's own evaluation writes.
"""

from __future__ import annotations

from typing import Any

import gates
import work
from common import BASE, Runner, Target, alternate, machine, options, ratio, rung, summary, write

BATCHES = (16, 64)
NEW_TOKENS = 64
GATE_ROWS = 8
STOP = "until the end of turn"


def peer(s: dict[str, Any], batch: int, name: str = "") -> Runner:
    return Runner(f"HF generate, batches of {batch}{name}", "peers/hf_generate.py", {**s, "batch": batch})


def best_of(found: dict[str, dict[str, float]], stopping: bool) -> str | None:
    """HF generate at its best batch size."""
    some = {n: v["median"] for n, v in found.items() if n.startswith("HF") and (STOP in n) == stopping}
    return max(some, key=lambda name: some[name]) if some else None


def main() -> None:
    o = options(rows=64)
    model, data = work.model_folder(), work.build("prompts")
    s = {"kind": "generate", "model": model, "base": BASE, "data": data, "rows": o.rows, "warmup_rows": 8}
    s |= {"dtype": "bf16", "new_tokens": NEW_TOKENS, "stop_ids": []}
    exact = {**s, "dtype": "fp32", "rows": min(o.rows, GATE_ROWS)}
    gate = gates.passed(gates.tokens(rung("rung", exact), peer(exact, GATE_ROWS)))
    facts = machine()
    stop = {**s, "stop_ids": sorted(work.renderer().stop_ids)}
    runs = alternate(
        [
            rung("rung", s),
            *(peer(s, batch) for batch in BATCHES),
            rung(f"rung, {STOP}", stop),
            *(peer(stop, batch, f", {STOP}") for batch in BATCHES),
        ],
        o.repeats,
    )
    found = summary(runs)
    best, best_stopping = best_of(found, False), best_of(found, True)
    write(
        "table_09",
        f"Greedy generation, {o.rows} prompts, {NEW_TOKENS} new tokens, bf16",
        "new tokens/s",
        facts=facts,
        gate=gate,
        work=work.about(data, o.rows),
        found=found,
        runs=runs,
        targets=[
            Target(f"9: against {best}", ratio(found, "rung", best), 2),
            Target(f"9: against {best_stopping}", ratio(found, f"rung, {STOP}", best_stopping), 2),
        ],
    )


if __name__ == "__main__":
    main()
