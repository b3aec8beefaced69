"""Table 6: LoRA in the top 8 layers, 5 epochs, the frozen layers below computed once."""

from __future__ import annotations

import gates
import work
from common import Target, alternate, fastest, hf, machine, options, ratio, rung, summary, training, write

TOP, LAYERS, EPOCHS = 8, 30, 5


def main() -> None:
    o = options(rows=32)
    model, data = work.model_folder(), work.build("broad")
    gate = gates.passed(gates.curve(model, data, rows=min(o.rows, 16), steps=2, epochs=3, top_layers=TOP))
    facts = machine()
    s = training(model, data, o.rows, epochs=EPOCHS)
    layers = list(range(LAYERS - TOP, LAYERS))
    runs = alternate(
        [
            rung("rung", s, top_layers=TOP),
            hf("HF Trainer + PEFT, tuned", s, layers=layers),
        ],
        o.repeats,
    )
    found = summary(runs)
    best = fastest(found)
    write(
        "table_06",
        f"LoRA r16 in the top {TOP} of {LAYERS} layers, {EPOCHS} epochs, bf16",
        "real tokens/s",
        facts=facts,
        gate=gate,
        work={**work.about(data, o.rows), "epochs": EPOCHS},
        found=found,
        runs=runs,
        targets=[Target(f"6: against PEFT with layers_to_transform ({best})", ratio(found, "rung", best), 6)],
    )


if __name__ == "__main__":
    main()
