"""Table 5: rows that all begin with the same system line and 4 examples. Tokens are counted as unshared."""

from __future__ import annotations

import gates
import work
from common import Target, alternate, fastest, hf, machine, options, ratio, rung, summary, training, write

SHARING = "shared prefixes"


def main() -> None:
    o = options(rows=32)
    model, data = work.model_folder(), work.build("snips")
    gate = gates.passed(gates.gradients(model, data, ("fp32", "bf16"), rows=2))
    facts = machine()
    s = training(model, data, o.rows)
    runs = alternate(
        [
            rung("rung", s),
            rung("rung, nothing shared", s, without=[SHARING]),
            hf("HF Trainer + PEFT, tuned", s),
        ],
        o.repeats,
    )
    found = summary(runs)
    best = fastest(found)
    write(
        "table_05",
        "LoRA r16, every row with the same system line and 4 examples, bf16",
        "real tokens/s, as unshared",
        facts=facts,
        gate=gate,
        work=work.about(data, o.rows),
        found=found,
        runs=runs,
        targets=[
            Target(
                "5: against our own packs without sharing", ratio(found, "rung", "rung, nothing shared"), 2.7
            ),
            Target(f"5: against the fastest peer ({best})", ratio(found, "rung", best), 8),
        ],
    )


if __name__ == "__main__":
    main()
