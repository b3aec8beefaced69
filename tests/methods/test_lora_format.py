"""LoRA's files; what PEFT answers with them is also in tests/contract/test_peft.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
from tiny_model import distance, shake, tiny_model


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


def config_of(**settings: Any) -> dict[str, Any]:
    lora = Lora(tiny_model(), LoraSettings(**settings))
    return LORA.format.config(Adapter.of(LORA, lora))


def test_a_start_is_written_as_twice_the_rank_with_the_same_scale() -> None:
    lora = Lora(tiny_model(), LoraSettings(rank=4, alpha=6.0, start="pissa", targets=("q_proj",)))
    shake(lora.parameters())
    adapter = Adapter.of(LORA, lora)
    config, tensors = LORA.format.config(adapter), LORA.format.to_file(adapter)
    assert (config["r"], config["lora_alpha"], config["init_lora_weights"]) == (8, 12, True)
    name = "model.layers.1.self_attn.q_proj"
    a, b = (tensors[f"base_model.model.{name}.lora_{half}.weight"] for half in "AB")
    assert (a.shape, b.shape, len(tensors)) == ((8, 32), (32, 8), 4)
    assert distance(12 / 8 * b @ a, lora.changes[name].delta().detach()) < 1e-5


def test_patterns_of_ranks_and_alphas() -> None:
    config = config_of(rank=4, alpha=8.0, ranks={"q_proj": 2, "layers.1.mlp.up_proj": 6})
    assert config["rank_pattern"] == {"q_proj": 2, "model.layers.1.mlp.up_proj": 6}
    assert config["alpha_pattern"] == {}
    config = config_of(rank=4, alpha=8.0, ranks={"q_proj": 16}, rslora=True)
    assert (config["use_rslora"], config["lora_alpha"]) == (False, 16)
    assert (config["rank_pattern"], config["alpha_pattern"]) == ({"q_proj": 16}, {"q_proj": 32})
    config = config_of(rank=4, alphas={"v_proj": 3.5}, start="pissa")
    assert (config["rank_pattern"], config["alpha_pattern"]) == ({}, {"v_proj": 7})


def test_keys_that_are_not_used_are_not_written() -> None:
    assert not {"rank_pattern", "alpha_pattern", "use_dora"} & config_of().keys()
    assert config_of(dropout=0.25)["lora_dropout"] == 0.25
    assert config_of(dora=True)["use_dora"] is True


def test_short_names_that_mean_other_layers_too_are_not_written() -> None:
    """c_proj ends the attention and the MLP of GPT-2."""
    for settings, some in (({"targets": ("attention",)}, 4), ({"targets": ("attention", "mlp")}, 3)):
        lora = Lora(model_of("gpt2"), LoraSettings(**settings))
        names = LORA.format.config(Adapter.of(LORA, lora))["target_modules"]
        assert len(names) == some
        assert all("." in name for name in names) is (some == 4)


def test_a_foreign_adapter_with_a_large_rank_is_read(tmp_path: Path) -> None:
    lora = Lora(tiny_model(), LoraSettings(rank=100, ranks={"q_proj": 120}))
    storage.write_folder(tmp_path / "kept", files_of(Adapter.of(LORA, lora), "tiny"))
    again, _ = load_adapter(tmp_path / "kept", tiny_model(), Home("tiny", "", "", ""))
    assert {len(change.a) for change in again.changes.values()} == {100, 120}  # type: ignore[attr-defined]
