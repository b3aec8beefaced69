"""One TRL training for whole_decision.py: LoRA or full, on prompt/completion rows, tuned as in trl_sft.py.

Settings: model, data (JSONL of {"prompt": [message], "completion": [message]}), dtype, method (lora | full),
rank, alpha, learning_rate, warmup, epochs, batch, step_rows, left (a folder for the adapter, or for
the model with its tokenizer).
"""

from __future__ import annotations

import json
import math
import tempfile
import time

import hf_trainer
import measure
import trl_sft
from datasets import Dataset
from transformers import AutoTokenizer
from trl import SFTTrainer


def main() -> None:
    s = measure.settings()
    rows = measure.read_rows(s["data"])
    tokenizer = AutoTokenizer.from_pretrained(s["model"], local_files_only=True)
    model = hf_trainer.load(s)
    steps = math.ceil(len(rows) * s["epochs"] / s["step_rows"])
    with tempfile.TemporaryDirectory() as folder:
        arguments = trl_sft.arguments(
            {**s, "tuned": True}, folder, steps, max(1, s["step_rows"] // s["batch"])
        )
        arguments.lr_scheduler_type = "cosine"
        arguments.warmup_steps = s["warmup"]
        trainer = SFTTrainer(
            model, arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer
        )
        begun = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - begun
    model.save_pretrained(s["left"])
    tokenizer.save_pretrained(s["left"])
    print("\n" + json.dumps({"seconds": round(seconds, 2), "steps": steps, "rows": len(rows)}))


if __name__ == "__main__":
    main()
