"""Full fine-tuning's own: fp32 copies over a bf16 base, gradients handed over, tied weights once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rung import storage
from rung.compute.quantized import quantize
from rung.errors import ResourceError, UsageError
from rung.methods.adapter import Adapter
from rung.methods.full import FULL, Full, FullSettings
from rung.methods.lora import Lora, LoraSettings
from rung.methods.peft_format import files_of
from rung.train.loss import pack_loss
from tiny_model import copy_of, gradients, random_rows, same_bytes, shake, tiny_model

BF16 = torch.bfloat16


def test_parameters_are_the_weights_themselves_in_fp32() -> None:
    model = tiny_model()
    full = Full(model, FullSettings())
    assert [p.data_ptr() for p in full.parameters()] == [p.data_ptr() for p in model.parameters()]


def test_tied_weights_are_trained_once_and_stay_tied() -> None:
    model = tiny_model(tied=True)
    full = Full(model, FullSettings())
    names = [name for name in full.state() if "embed" in name or "head" in name]
    assert names == ["model.embed_tokens.weight"]
    shake(full.parameters())
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


def test_untied_weights_are_both_trained() -> None:
    model = tiny_model(tied=False)
    names = [name for name in Full(model, FullSettings()).state() if "embed" in name or "head" in name]
    assert names == ["model.embed_tokens.weight", "lm_head.weight"]


def test_over_a_bf16_base_the_optimizer_sees_fp32_copies() -> None:
    model = tiny_model(dtype=BF16)
    full = Full(model, FullSettings())
    for parameter, weight in zip(full.parameters(), model.parameters(), strict=True):
        assert parameter.dtype == torch.float32
        assert weight.dtype == BF16
        assert torch.equal(parameter.to(BF16), weight)


def test_gradients_of_several_packs_are_summed_in_fp32_and_the_bf16_ones_are_freed() -> None:
    rows = random_rows(6)
    model = tiny_model(dtype=BF16)
    full = Full(model, FullSettings())
    sums = [torch.zeros_like(p) for p in full.parameters()]
    for pack in (rows[:3], rows[3:]):
        other = tiny_model(dtype=BF16).requires_grad_(True)
        pack_loss(other, pack).backward()  # type: ignore[no-untyped-call]
        for total, grad in zip(sums, gradients(list(other.parameters())), strict=True):
            total += grad.float()
        pack_loss(model, pack).backward()  # type: ignore[no-untyped-call]
        assert all(weight.grad is None for weight in model.parameters())
    for mine, total in zip(gradients(full.parameters()), sums, strict=True):
        assert torch.equal(mine, total)


def test_small_steps_add_up_that_bf16_alone_would_lose() -> None:
    model = tiny_model(dtype=BF16)
    full = Full(model, FullSettings())
    start = full.state()
    for _ in range(64):
        with torch.no_grad():
            for parameter in full.parameters():
                parameter.mul_(1 + 2**-12)
        full.updated()
    after = full.state()
    name = "model.layers.0.mlp.up_proj.weight"
    assert after[name].dtype == BF16
    assert float((after[name] / start[name]).float().median()) == pytest.approx(1 + 64 * 2**-12, abs=2**-8)


def test_a_loaded_state_reaches_the_copies_too() -> None:
    model = tiny_model(dtype=BF16)
    full = Full(model, FullSettings())
    shake(full.parameters())
    full.updated()
    state = full.state()
    other = Full(tiny_model(dtype=BF16), FullSettings())
    other.load(state)
    other.updated()  # would undo a load that forgot the copies
    assert same_bytes(other.state(), state)


def test_detach_gives_back_the_base_and_frees_the_gradients() -> None:
    model = tiny_model(dtype=BF16)
    before = copy_of(model)
    full = Full(model, FullSettings())
    pack_loss(model, random_rows(3)).backward()  # type: ignore[no-untyped-call]
    shake(full.parameters())
    full.updated()
    full.detach()
    assert same_bytes(copy_of(model), before)
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())


def test_a_disk_that_refuses_the_weights_is_explained_and_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    files = files_of(Adapter.of(FULL, Full(tiny_model(), FullSettings())), "tiny")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # the system refuses longer files
    try:
        with pytest.raises(ResourceError, match=r"model\.safetensors: cannot write: .*Make room"):
            storage.write_folder(tmp_path / "full", files)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
    storage.write_folder(tmp_path / "full", files)
    storage.verify_folder(tmp_path / "full")


def test_a_base_held_in_few_bits_is_refused() -> None:
    model = tiny_model()
    quantize(model, 4, "cpu")
    before = copy_of(model)
    with pytest.raises(
        UsageError, match=r"weights of the base would be changed.* in 4 bits cannot .* Leave --bits out"
    ):
        Full(model, FullSettings())
    assert same_bytes(copy_of(model), before)
    Lora(model, LoraSettings(rank=2))  # its slot is free
