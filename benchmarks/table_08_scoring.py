"""Table 8: label scoring of sentiment reviews behind 8 examples. The gate compares scores in fp32."""

from __future__ import annotations

from typing import Any

import gates
import work
from common import BASE, Runner, Target, alternate, fastest, machine, options, ratio, rung, summary, write

BATCHES = (8,)
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
    facts = machine()
    runs = alternate([rung("rung", s), *(peer(s, batch) for batch in BATCHES)], o.repeats)
    found = summary(runs)
    best = fastest(found)
    write(
        "table_08",
        "8-shot label scoring of sentiment reviews, two labels, bf16",
        "rows/s",
        facts=facts,
        gate=gate,
        work=work.about(data, o.rows),
        found=found,
        runs=runs,
        targets=[Target(f"8: against {best}", ratio(found, "rung", best), 8)],
    )


if __name__ == "__main__":
    main()
