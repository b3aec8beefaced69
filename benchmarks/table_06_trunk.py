"""Table 6: LoRA in the top 8 layers, 5 epochs, the frozen layers below computed once."""

from __future__ import annotations

import gates
import work
from common import against_fastest, hf, measure, options, rung, training

TOP, LAYERS, EPOCHS = 8, 30, 5


def main() -> None:
    o = options(rows=32)
    model, data = work.model_folder(), work.build("broad")
    gate = gates.passed(gates.curve(model, data, rows=min(o.rows, 16), steps=2, epochs=3, top_layers=TOP))
    s = training(model, data, o.rows, epochs=EPOCHS)
    layers = list(range(LAYERS - TOP, LAYERS))

    measure(
        "table_06",
        f"LoRA r16 in the top {TOP} of {LAYERS} layers, {EPOCHS} epochs, bf16",
        "real tokens/s",
        [
            rung("rung", s, top_layers=TOP),
            hf("HF Trainer + PEFT, tuned", s, layers=layers),
        ],
        o.repeats,
        gate=gate,
        work={**work.about(data, o.rows), "epochs": EPOCHS},
        targets=lambda found, facts: [
            against_fastest(found, "6: against PEFT with layers_to_transform ({})", 6)
        ],
    )


if __name__ == "__main__":
    main()
