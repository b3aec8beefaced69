"""Table 4: peak memory above the loaded base, one micro-batch of 1,024 tokens a step, bf16, two steps."""

from __future__ import annotations

import json

import gates
import work
from common import (
    RESULTS,
    Target,
    fastest,
    hf,
    litgpt,
    measure,
    options,
    ratio,
    rung,
    training,
)

MIB = 2**20


def fastest_peer() -> str:
    """The fastest peer of table 2 where that has been measured, else HF Trainer."""
    path = RESULTS / "table_01_02.json"
    found = json.loads(path.read_text())["summary"] if path.exists() else {}
    return fastest(found) or "HF Trainer + PEFT, tuned"


def main() -> None:
    o = options(rows=2 * work.MICRO_BATCH)
    model, data = work.model_folder(), work.build("memory")
    gate = gates.passed(gates.gradients(model, data, ("fp32", "bf16"), rows=4))
    batch = min(o.rows, work.MICRO_BATCH)
    s = training(model, data, o.rows, steps=max(1, o.rows // work.MICRO_BATCH), batch=batch)
    peer = fastest_peer()
    label = f"4: of what the fastest peer needs ({peer})"
    measure(
        "table_04",
        "Peak memory above the base's weights, micro-batch of 1,024 tokens, LoRA r16, bf16",
        "MiB",
        [
            rung("rung", s, train={"pack_tokens": work.MICRO_BATCH * work.EACH}),
            hf("HF Trainer + PEFT, tuned", s),
            litgpt("LitGPT, tuned", s),
        ],
        o.repeats,
        gate=gate,
        work=work.about(data, o.rows),
        targets=lambda found, facts: [Target(label, ratio(found, "rung", peer), 0.25, at_most=True)],
        value=lambda run: run["peak_rss_above_weights"] / MIB,
    )


if __name__ == "__main__":
    main()
