"""HF Trainer or TRL's SFTTrainer with PEFT, tuned, which leave the adapter as it is at some steps.

Settings: those of `hf_trainer` (method lora, one epoch), trainer (hf | trl), step_rows, warmup (share of the
steps in which the rate rises), looks (how many), adapters (a folder for what is left, or null). Writing an
adapter does not count as training.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import hf_trainer
import measure
from transformers import AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainerCallback


class Stamps(TrainerCallback):
    """Hands the steps on to `looks`."""

    def __init__(self, looks: measure.Looks) -> None:
        self.looks = looks

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.looks.begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.looks.step(state.global_step)


def trainer(
    s: dict[str, Any], model: Any, tokenizer: Any, rows: Any, steps: int, accumulation: int, folder: str
) -> Any:
    """The trainer that the settings name, for `rows` of a workload."""
    data = hf_trainer.dataset(rows)
    if s["trainer"] == "trl":
        import trl_sft
        from trl import SFTTrainer

        arguments = trl_sft.arguments({**s, "tuned": True}, folder, steps, accumulation)
        arguments.lr_scheduler_type = "cosine"
        arguments.warmup_steps = s["warmup"]
        return SFTTrainer(model, arguments, train_dataset=data, processing_class=tokenizer)
    arguments = hf_trainer.arguments(s, folder, steps, accumulation)
    arguments.warmup_steps = s["warmup"]
    return Trainer(model, arguments, DataCollatorForSeq2Seq(tokenizer), data)


def main() -> None:
    s = measure.settings()
    rows, warm = measure.training_rows(s)
    model = hf_trainer.load(s)
    tokenizer = AutoTokenizer.from_pretrained(s["model"], local_files_only=True)
    memory = measure.Memory(model.parameters())
    steps, accumulation = math.ceil(len(rows) / s["step_rows"]), s["step_rows"] // s["batch"]
    with tempfile.TemporaryDirectory() as folder:
        still = {**s, "learning_rate": 0.0}  # warms up and learns nothing
        trainer(still, model, tokenizer, warm, 1, 1, folder).train()
        first = measure.age()

        def keep(step: int) -> None:
            model.save_pretrained(Path(s["adapters"]) / f"step-{step}")

        looks = measure.Looks(measure.spread(steps, s["looks"]), keep if s["adapters"] else None)
        run = trainer(s, model, tokenizer, rows, steps, accumulation, folder)
        run.add_callback(Stamps(looks))
        run.train()
    measure.report(
        s,
        unit="tokens",
        count=sum(len(row["ids"]) for row in rows),
        seconds=looks.points[-1]["seconds"],
        memory=memory,
        packages=("torch", "transformers", "peft", "accelerate", *(["trl"] if s["trainer"] == "trl" else [])),
        points=looks.points,
        time_to_first_step=first,
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
    )


if __name__ == "__main__":
    main()
