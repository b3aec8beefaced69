"""HF Trainer, with PEFT for LoRA, as a careful user would set it up on a CPU.

Settings: model, data, rows, warmup_rows, steps, epochs, dtype (bf16 | fp32), method (lora | full), rank,
alpha, learning_rate, layers (indices of adapted layers, or null for all), batch, batching (length | flat |
random), onednn_fp32 (route fp32 products to oneDNN, our own finding).

Tuned: no gradient checkpointing, rows grouped by length ("flat": concatenated without padding), fused AdamW,
adapters in the model's dtype, weights in bf16 without autocast, SDPA attention.
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

import measure
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    DataCollatorWithFlattening,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


class Clock(TrainerCallback):
    """Seconds from the first step's begin to the last step's end, and the loss of each step."""

    def __init__(self) -> None:
        self.begun: float | None = None
        self.ended = 0.0
        self.losses: list[float] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.begun = self.begun or time.perf_counter()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.ended = time.perf_counter()

    def on_log(self, *args: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))

    @property
    def seconds(self) -> float:
        return self.ended - (self.begun or 0.0)


def dataset(rows: list[dict[str, Any]]) -> Dataset:
    """Token ids and labels; what is not to be learned is -100."""
    labels = [
        [token if learned else -100 for token, learned in zip(row["ids"], row["mask"], strict=True)]
        for row in rows
    ]
    return Dataset.from_dict({"input_ids": [row["ids"] for row in rows], "labels": labels})


def arguments(s: dict[str, Any], folder: str, steps: int, accumulation: int) -> TrainingArguments:
    """The training arguments; everything that is not a default is meant to help."""
    return TrainingArguments(
        output_dir=folder,
        use_cpu=True,
        max_steps=steps,
        per_device_train_batch_size=s["batch"],
        gradient_accumulation_steps=accumulation,
        gradient_checkpointing=False,
        train_sampling_strategy="random" if s["batching"] == "random" else "group_by_length",
        optim="adamw_torch_fused",
        learning_rate=s["learning_rate"],
        lr_scheduler_type="cosine",
        dataloader_pin_memory=False,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=0,
    )


def load(s: dict[str, Any]) -> Any:
    """The model, with adapters if the method is LoRA."""
    model = AutoModelForCausalLM.from_pretrained(
        s["model"], dtype=DTYPES[s["dtype"]], attn_implementation="sdpa", local_files_only=True
    )
    model.config.use_cache = False
    if s["method"] == "full":
        return model.train()
    config = LoraConfig(
        r=s["rank"],
        lora_alpha=s["alpha"],
        target_modules=LINEAR,
        layers_to_transform=s.get("layers"),
        layers_pattern="layers" if s.get("layers") else None,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config, autocast_adapter_dtype=False)


def main() -> None:
    s = measure.settings()
    if s.get("onednn_fp32"):
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    rows, warm = measure.training_rows(s)
    model = load(s)
    tokenizer = AutoTokenizer.from_pretrained(s["model"], local_files_only=True)
    flat = s["batching"] == "flat"
    collator = DataCollatorWithFlattening() if flat else DataCollatorForSeq2Seq(tokenizer)
    memory = measure.Memory(model.parameters())
    steps, epochs = s["steps"], s.get("epochs", 1)
    accumulation = max(1, len(rows) // steps // s["batch"])
    with tempfile.TemporaryDirectory() as folder:
        still = {**s, "learning_rate": 0.0}  # warms up and learns nothing
        warmup = Trainer(model, arguments(still, folder, 1, 1), collator, dataset(warm))
        warmup.train()
        del warmup
        first = measure.age()
        clock = Clock()
        run = Trainer(model, arguments(s, folder, steps * epochs, accumulation), collator, dataset(rows))
        run.add_callback(clock)
        run.train()
    measure.report(
        s,
        unit="tokens",
        count=epochs * sum(len(row["ids"]) for row in rows),
        seconds=clock.seconds,
        memory=memory,
        packages=("torch", "transformers", "peft", "accelerate"),
        losses=clock.losses,
        time_to_first_step=first,
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
    )


if __name__ == "__main__":
    main()
