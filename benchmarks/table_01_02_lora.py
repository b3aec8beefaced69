"""Tables 1, 2 and 10: LoRA r16 on all linear layers, instruction mix, bf16.

Real tokens per second against TRL's defaults (1) and the fastest tuned peer (2), and the share of the
machine's measured matrix rate that training reaches (10).
"""

from __future__ import annotations

import gates
import work
from common import (
    LORA_FLOPS,
    STEP_ROWS,
    Target,
    alternate,
    fastest,
    hf,
    litgpt,
    machine,
    options,
    ratio,
    rung,
    summary,
    training,
    trl,
    write,
)


def main() -> None:
    o = options(rows=64)
    model, data = work.model_folder(), work.build("broad")
    gate = gates.passed(gates.gradients(model, data, ("fp32", "bf16"), rows=4))
    facts = machine()
    s = training(model, data, o.rows)
    few = min(o.rows, STEP_ROWS // 4)  # TRL, the slowest, takes one step: its rate needs no more
    runs = alternate(
        [
            rung("rung", s),
            hf("HF Trainer + PEFT, tuned", s),
            litgpt("LitGPT, tuned", s),
            trl("TRL, tuned", s, tuned=True, rows=few, steps=1),
            trl("TRL, defaults", s, tuned=False, rows=few, steps=1),
        ],
        o.repeats,
    )
    found = summary(runs)
    best = fastest(found)
    rate = found["rung"]["median"] * LORA_FLOPS / (facts["gflops_bf16"] * 1e9)
    write(
        "table_01_02",
        "LoRA r16 on all linear layers, instruction mix, bf16",
        "real tokens/s",
        facts=facts,
        gate=gate,
        work={**work.about(data, o.rows), "rows of TRL": few},
        found=found,
        runs=runs,
        targets=[
            Target("1: against TRL's defaults", ratio(found, "rung", "TRL, defaults"), 12),
            Target(f"2: against the fastest peer ({best})", ratio(found, "rung", best), 4),
            Target("10: share of the measured bf16 matrix rate", rate, 0.7),
        ],
    )


if __name__ == "__main__":
    main()
