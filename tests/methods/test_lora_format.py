"""LoRA's files; what PEFT answers with them is also in tests/contract/test_peft.py."""

from __future__ import annotations

from pathlib import Path

import peft
import pytest
import torch

from families import model_of
from rung import storage
from rung.methods.adapter import Adapter
from rung.methods.lora import LORA, Lora
from rung.methods.lora_settings import LoraSettings
from rung.methods.origin import Home
from rung.methods.peft_format import files_of, load_adapter
from tiny_model import distance, shake


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # PEFT reads it
def test_merged_into_gpt2_and_saved_for_peft(tmp_path: Path) -> None:
    model, ids = model_of("gpt2"), torch.tensor([[5, 7, 9]])
    plain = model(ids).logits
    lora = Lora(model, LoraSettings(rank=4))
    shake(lora.parameters())
    lora.updated()
    answer = model(ids).logits
    storage.write_folder(tmp_path / "kept", files_of(Adapter.of(LORA, lora), "gpt2"))
    lora.detach()
    with torch.no_grad():
        assert torch.equal(model(ids).logits, plain)
        theirs = peft.PeftModel.from_pretrained(model_of("gpt2"), str(tmp_path / "kept"))
        assert distance(theirs(ids).logits, answer) < 1e-5
        home = Home("gpt2", "", "", "")
        again, _ = load_adapter(tmp_path / "kept", model, home)
        assert distance(model(ids).logits, answer) < 1e-6
        again.merge()
        assert distance(model(ids).logits, answer) < 1e-5
    assert distance(answer.detach(), plain) > 0.01
