"""Table 3: LoRA in fp32, with a loss curve equal to that of plain transformers + PEFT over 50 steps."""

from __future__ import annotations

import gates
import work
from common import Target, hf, measure, options, ratio, rung, training

CURVE_STEPS = 50


def main() -> None:
    o = options(rows=32)
    model, data = work.model_folder(), work.build("broad")
    steps = min(o.rows, CURVE_STEPS // 2)
    even = work.build("memory")  # rows of one length: two a step
    gate = gates.passed(gates.curve(model, even, rows=2 * steps, steps=steps, epochs=2))
    s = training(model, data, o.rows, dtype="fp32")
    plain = "HF Trainer + PEFT, tuned, fp32"
    measure(
        "table_03",
        "LoRA r16 on all linear layers, instruction mix, fp32",
        "real tokens/s",
        [rung("rung", s), hf(plain, s), hf(f"{plain}, oneDNN flag", s, onednn_fp32=True)],
        o.repeats,
        gate=gate,
        work=work.about(data, o.rows),
        targets=lambda found, facts: [
            Target("3: against HF Trainer + PEFT in fp32", ratio(found, "rung", plain), 4)
        ],
    )


if __name__ == "__main__":
    main()
