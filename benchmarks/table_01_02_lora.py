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
    Facts,
    Found,
    Target,
    against_fastest,
    hf,
    litgpt,
    measure,
    options,
    ratio,
    rung,
    training,
    trl,
)


def main() -> None:
    o = options(rows=64)
    model, data = work.model_folder(), work.build("broad")
    gate = gates.passed(gates.gradients(model, data, ("fp32", "bf16"), rows=4))
    s = training(model, data, o.rows)
    few = min(o.rows, STEP_ROWS // 4)  # TRL, the slowest, takes one step: its rate needs no more

    def targets(found: Found, facts: Facts) -> list[Target]:
        rate = found["rung"]["median"] * LORA_FLOPS / (facts["gflops_bf16"] * 1e9)
        return [
            Target("1: against TRL's defaults", ratio(found, "rung", "TRL, defaults"), 12),
            against_fastest(found, "2: against the fastest peer ({})", 4),
            Target("10: share of the measured bf16 matrix rate", rate, 0.7),
        ]

    measure(
        "table_01_02",
        "LoRA r16 on all linear layers, instruction mix, bf16",
        "real tokens/s",
        [
            rung("rung", s),
            hf("HF Trainer + PEFT, tuned", s),
            litgpt("LitGPT, tuned", s),
            trl("TRL, tuned", s, tuned=True, rows=few, steps=1),
            trl("TRL, defaults", s, tuned=False, rows=few, steps=1),
        ],
        o.repeats,
        gate=gate,
        work={**work.about(data, o.rows), "rows of TRL": few},
        targets=targets,
    )


if __name__ == "__main__":
    main()
