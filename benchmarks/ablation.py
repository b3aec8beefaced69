"""What each mechanism contributes: our LoRA run of table 1 with one off at a time (`ours.MECHANISMS`).

Shared prefixes are taken off on rows that share one, those of table 5.
"""

from __future__ import annotations

import gates
import work
from common import measure, options, rung, training
from ours import MECHANISMS
from table_05_prefix import SHARING


def main() -> None:
    o = options(rows=32)
    model, data, shared = work.model_folder(), work.build("broad"), work.build("snips")
    gate = gates.passed(gates.gradients(model, data, ("fp32", "bf16"), rows=2))
    s = training(model, data, o.rows)
    runners = [rung("rung", s)]
    runners += [rung(f"rung without {name}", s, without=[name]) for name in MECHANISMS if name != SHARING]
    few = training(model, shared, min(o.rows, 32))
    runners += [
        rung("rung, rows of table 5", few),
        rung(f"rung without {SHARING}, rows of table 5", few, without=[SHARING]),
    ]
    measure(
        "ablation",
        "Our LoRA run with one mechanism off at a time, bf16",
        "real tokens/s",
        runners,
        o.repeats,
        gate=gate,
        work=work.about(data, o.rows),
    )


if __name__ == "__main__":
    main()
