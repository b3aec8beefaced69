"""A loaded base is on the fastest path that is right for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rung.bases.base import Route
from rung.bases.tiny import save_tiny
from rung.compute import paths
from rung.compute.attention import NAME
from rung.compute.load import load, tiny
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
