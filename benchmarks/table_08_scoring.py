"""Table 8: label scoring of sentiment reviews behind 8 examples. The gate compares scores in fp32."""

from __future__ import annotations

from typing import Any

import gates
import work
from common import BASE, Runner, against_fastest, measure, options, rung

BATCHES = (8, 32)
GATE_ROWS = 16


def peer(s: dict[str, Any], batch: int) -> Runner:
    return Runner(f"HF forward, batches of {batch}", "peers/hf_scores.py", {**s, "batch": batch})


def main() -> None:
    o = options(rows=64)
    model, data = work.model_folder(), work.build("sentiment")
    s = {"kind": "score", "model": model, "base": BASE, "data": data, "rows": o.rows}
    s |= {"warmup_rows": 4, "dtype": "bf16"}
    exact = {**s, "dtype": "fp32", "rows": min(o.rows, GATE_ROWS)}
    gate = gates.passed(gates.scores(rung("rung", exact), peer(exact, BATCHES[0])))

    measure(
        "table_08",
        "8-shot label scoring of sentiment reviews, two labels, bf16",
        "rows/s",
        [rung("rung", s), *(peer(s, batch) for batch in BATCHES)],
        o.repeats,
        gate=gate,
        work=work.about(data, o.rows),
        targets=lambda found, facts: [against_fastest(found, "8: against {}", 8)],
    )


if __name__ == "__main__":
    main()
