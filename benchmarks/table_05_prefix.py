"""Table 5: rows that all begin with the same system line and 4 examples. Tokens are counted as unshared."""

from __future__ import annotations

import gates
import work
from common import Facts, Found, Target, against_fastest, hf, measure, options, ratio, rung, training

SHARING = "shared prefixes"


def main() -> None:
    o = options(rows=32)
    model, data = work.model_folder(), work.build("snips")
    gate = gates.passed(gates.gradients(model, data, ("fp32", "bf16"), rows=2))
    s = training(model, data, o.rows)

    def targets(found: Found, facts: Facts) -> list[Target]:
        return [
            Target(
                "5: against our own packs without sharing", ratio(found, "rung", "rung, nothing shared"), 2.7
            ),
            against_fastest(found, "5: against the fastest peer ({})", 8),
        ]

    measure(
        "table_05",
        "LoRA r16, every row with the same system line and 4 examples, bf16",
        "real tokens/s, as unshared",
        [
            rung("rung", s),
            rung("rung, nothing shared", s, without=[SHARING]),
            hf("HF Trainer + PEFT, tuned", s),
        ],
        o.repeats,
        gate=gate,
        work=work.about(data, o.rows),
        targets=targets,
    )


if __name__ == "__main__":
    main()
