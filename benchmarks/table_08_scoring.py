"""Table 8: label scoring of sentiment reviews behind 8 examples. The gate compares scores in fp32."""

from __future__ import annotations

from typing import Any

import gates
import work
from common import BASE, Facts, Found, Runner, Target, fastest, measure, options, ratio, rung

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

    def targets(found: Found, facts: Facts) -> list[Target]:
        best = fastest(found)
        return [Target(f"8: against {best}", ratio(found, "rung", best), 8)]

    measure(
        "table_08",
        "8-shot label scoring of sentiment reviews, two labels, bf16",
        "rows/s",
        [rung("rung", s), *(peer(s, batch) for batch in BATCHES)],
        o.repeats,
        gate=gate,
        work=work.about(data, o.rows),
        targets=targets,
    )


if __name__ == "__main__":
    main()
