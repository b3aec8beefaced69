"""TRL's SFTTrainer with PEFT: as it comes ("defaults"), or with what helps on a CPU ("tuned").

Settings: model, data, rows, warmup_rows, steps, rank, alpha, learning_rate, batch, tuned (true | false),
dtype (tuned only). Defaults: gradient checkpointing and bf16 autocast on, weights in the dtype TRL picks,
random order, 8 rows a batch. Tuned: no checkpointing, rows grouped by length, weights and adapters in bf16
without autocast, fused AdamW. Both get tokens and labels, so that they learn what everybody learns.
"""

from __future__ import annotations

import tempfile
from typing import Any

import measure
import torch
from hf_trainer import DTYPES, LINEAR, Clock, dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer


def arguments(s: dict[str, Any], folder: str, steps: int, accumulation: int) -> SFTConfig:
    """TRL's settings; the last block is the tuning."""
    plain: dict[str, Any] = {
        "output_dir": folder,
        "use_cpu": True,
        "max_steps": steps,
        "per_device_train_batch_size": s["batch"],
        "gradient_accumulation_steps": accumulation,
        "learning_rate": s["learning_rate"],
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "seed": 0,
    }
    if s["tuned"]:
        plain |= {
            "gradient_checkpointing": False,
            "bf16": False,
            "train_sampling_strategy": "group_by_length",
            "optim": "adamw_torch_fused",
            "dataloader_pin_memory": False,
        }
    return SFTConfig(**plain)


def main() -> None:
    s = measure.settings()
    rows, warm = measure.training_rows(s)
    lora = LoraConfig(r=s["rank"], lora_alpha=s["alpha"], target_modules=LINEAR, task_type="CAUSAL_LM")
    tokenizer = AutoTokenizer.from_pretrained(s["model"], local_files_only=True)
    model: Any = s["model"]
    if s["tuned"]:
        model = AutoModelForCausalLM.from_pretrained(model, dtype=DTYPES[s["dtype"]], local_files_only=True)
    steps = s["steps"]
    accumulation = max(1, len(rows) // steps // s["batch"])
    with tempfile.TemporaryDirectory() as folder:
        warmup = SFTTrainer(
            model,
            arguments({**s, "learning_rate": 0.0}, folder, 1, 1),  # warms up and learns nothing
            train_dataset=dataset(warm),
            processing_class=tokenizer,
            peft_config=lora,
        )
        adapted = warmup.model
        if s["tuned"]:  # PEFT makes fp32 adapters for a bf16 model; TRL has no setting for it
            for parameter in adapted.parameters():
                parameter.data = parameter.data.to(DTYPES[s["dtype"]])
        memory = measure.Memory(adapted.parameters())
        warmup.train()
        del warmup
        first = measure.age()
        clock = Clock()
        run = SFTTrainer(
            adapted,
            arguments(s, folder, steps, accumulation),
            train_dataset=dataset(rows),
            processing_class=tokenizer,
        )
        run.add_callback(clock)
        run.train()
    measure.report(
        s,
        unit="tokens",
        count=sum(len(row["ids"]) for row in rows),
        seconds=clock.seconds,
        memory=memory,
        packages=("torch", "transformers", "peft", "accelerate", "trl"),
        losses=clock.losses,
        time_to_first_step=first,
        trainable=sum(p.numel() for p in adapted.parameters() if p.requires_grad),
        dtypes=sorted({str(p.dtype) for p in adapted.parameters()}),
        threads=torch.get_num_threads(),
    )


if __name__ == "__main__":
    main()
