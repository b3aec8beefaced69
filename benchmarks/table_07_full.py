"""Table 7: full fine-tuning. The peers may keep bf16 weights and no fp32 copy, which we do not."""

from __future__ import annotations

import gates
import work
from common import Target, alternate, fastest, hf, machine, options, ratio, rung, summary, training, write


def main() -> None:
    o = options(rows=32)
    model, data = work.model_folder(), work.build("broad")
    gate = gates.passed(gates.gradients(model, data, ("fp32", "bf16"), rows=4, method="full"))
    facts = machine()
    s = training(model, data, o.rows, method="full", learning_rate=2e-5)
    runs = alternate(
        [
            rung("rung", s),
            hf("HF Trainer, tuned, bf16", s),
            hf("HF Trainer, tuned, bf16, batches of 8", s, batch=8),
            hf("HF Trainer, tuned, fp32", s, dtype="fp32"),
        ],
        o.repeats,
    )
    found = summary(runs)
    best = fastest(found)
    write(
        "table_07",
        "Full fine-tuning, instruction mix",
        "real tokens/s",
        facts=facts,
        gate=gate,
        work=work.about(data, o.rows),
        found=found,
        runs=runs,
        targets=[Target(f"7: against HF Trainer ({best})", ratio(found, "rung", best), 3)],
    )


if __name__ == "__main__":
    main()
