"""A loaded base is on the fastest path that is right for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rung.bases.base import Route
from rung.bases.tiny import save_tiny
from rung.compute import load as loading
from rung.compute import paths
from rung.compute.attention import NAME
from rung.compute.load import load, tiny
from rung.compute.quantized import QuantizedLinear, bits_of, bytes_of
from rung.errors import BaseModelError


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("saved") / "mine")


def test_a_folder_is_measured(saved: Path) -> None:
    base = load(str(saved))
    assert base.route == Route("fused", "")
    assert base.model.config._attn_implementation == NAME


def test_a_base_that_computes_no_numbers_is_refused(saved: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(saved, tmp_path / "copy")
    tensors = load_file(copy / "model.safetensors")
    tensors["model.norm.weight"] = torch.full((32,), 3e38)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BaseModelError, match="copy: the model computes NaN or infinity"):
        load(str(copy))


def test_a_base_that_looks_ahead_is_refused(saved: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(saved, tmp_path / "copy")
    path = copy / "config.json"
    path.write_text(path.read_text().replace("{", '{"is_causal": false,', 1))
    with pytest.raises(BaseModelError, match="copy: the model does not read a row as it reads the row alone"):
        load(str(copy))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tiny_is_measured_once_for_each_number_format(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tiny(7, dtype)
    monkeypatch.setattr(paths, "choose", lambda *_: 1 / 0)
    for again in (first, tiny(7, dtype)):
        assert again.route == Route("fused", "")
        assert again.model.config._attn_implementation == NAME


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_in_few_bits(saved: Path, bits: Any, dtype: torch.dtype) -> None:
    """The same base, by its fingerprint; its weights are rounded from the file's format, fp32."""
    full, base = load(str(saved)), load(str(saved), dtype=dtype, bits=bits)
    assert (full.bits, base.bits, bits_of(base.model)) == (None, bits, bits)
    assert (base.fingerprint, base.route, base.dtype) == (full.fingerprint, Route("fused", ""), dtype)
    assert {one.dtype for one in base.model.parameters()} == {dtype} == {base.model.config.dtype}
    theirs: Any = dict(full.model.named_modules())
    for name, layer in base.model.named_modules():
        if isinstance(layer, QuantizedLinear):
            again = QuantizedLinear(theirs[name].weight, None, bits, dtype)
            assert layer.weight.dtype is dtype
            assert torch.equal(layer.weight, again.weight)
    assert bytes_of(base.model) < bytes_of(full.model)


def test_tiny_in_few_bits() -> None:
    found = [load("tiny", bits=bits) for bits in (None, 4, 8)]
    assert [base.bits for base in found] == [bits_of(base.model) for base in found] == [None, 4, 8]
    assert len({base.fingerprint for base in found}) == 1


def test_few_bits_for_layers_that_are_not_there(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "quantize", lambda *_: 0)
    with pytest.raises(BaseModelError, match=r"mine: LlamaForCausalLM has no linear layers .* in 4 bits"):
        load(str(saved), bits=4)
