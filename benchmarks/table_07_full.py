"""Table 7: full fine-tuning. The peers may keep bf16 weights and no fp32 copy, which we do not."""

from __future__ import annotations

import gates
import work
from common import against_fastest, hf, measure, options, rung, training


def main() -> None:
    o = options(rows=32)
    model, data = work.model_folder(), work.build("broad")
    gate = gates.passed(gates.gradients(model, data, ("fp32", "bf16"), rows=4, method="full"))
    s = training(model, data, o.rows, method="full", learning_rate=2e-5)

    measure(
        "table_07",
        "Full fine-tuning, instruction mix",
        "real tokens/s",
        [
            rung("rung", s),
            hf("HF Trainer, tuned, bf16", s),
            hf("HF Trainer, tuned, bf16, batches of 8", s, batch=8),
            hf("HF Trainer, tuned, fp32", s, dtype="fp32"),
        ],
        o.repeats,
        gate=gate,
        work=work.about(data, o.rows),
        targets=lambda found, facts: [against_fastest(found, "7: against HF Trainer ({})", 3)],
    )


if __name__ == "__main__":
    main()
