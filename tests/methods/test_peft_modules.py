"""PEFT's modules, made in a model and taken out again."""

from __future__ import annotations

import pytest
import torch

from attaching import attach
from rung.compute.sites import Site
from rung.errors import BaseModelError
from rung.methods import METHODS, peft_modules
from rung.methods.peft_modules import config_class, make
from tiny_model import copy_of, same_bytes, tiny_model


def made(
    kind: str, seed: int = 0, model: torch.nn.Module | None = None, **given: object
) -> peft_modules.Made:
    return make(kind, model or tiny_model(), METHODS[f"peft:{kind}"].make(given), seed)


def test_the_model_is_as_before() -> None:
    model = tiny_model()
    before, modules = copy_of(model), list(model.modules())
    found = made("vera", model=model)
    assert same_bytes(copy_of(model), before)
    assert all(one is other for one, other in zip(model.modules(), modules, strict=True))
    assert not hasattr(model, "peft_config")
    assert {name.rpartition(".")[2] for name in found.layers} == {"q_proj", "v_proj"}
    assert found.config["target_modules"] == ["q_proj", "v_proj"]


def test_sites_of_other_adapters_stay_in_their_places() -> None:
    model = tiny_model()
    attach("lora", model)
    sites = [name for name, module in model.named_modules() if isinstance(module, Site)]
    found = made("vera", model=model)
    assert [name for name, module in model.named_modules() if isinstance(module, Site)] == sites
    for name, layer in found.layers.items():
        site = model.get_submodule(name)
        assert isinstance(site, Site)
        assert layer.get_base_layer() is site.base


def test_random_numbers_follow_the_seed_and_leave_torchs_own() -> None:
    torch.manual_seed(3)
    one, again, other = made("loha").named, made("loha").named, made("loha", seed=1).named
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))
    assert same_bytes(one, again)
    assert not same_bytes(one, other)


def test_what_is_saved_are_the_tensors_themselves_and_all_that_is_trained() -> None:
    found = made("vera")
    assert {id(weight) for weight in found.trained} <= {id(tensor) for tensor in found.named.values()}
    assert {"vera_A", "vera_B"} <= set(found.named)
    assert not found.loose


def test_an_error_of_peft_leaves_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("half-way")

    monkeypatch.setattr(peft_modules, "_in_use", fail)
    model = tiny_model()
    modules = list(model.modules())
    with pytest.raises(BaseModelError, match="PEFT cannot put vera on this base: half-way"):
        made("vera", model=model)
    assert all(one is other for one, other in zip(model.modules(), modules, strict=True))


def test_a_base_that_peft_writes_into_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(kind: str, own: object, layers: dict[str, object]) -> None:
        with torch.no_grad():
            next(iter(layers.values())).get_base_layer().weight[0, 0] += 1  # type: ignore[attr-defined]

    monkeypatch.setattr(peft_modules, "_require_inside", write)
    with pytest.raises(BaseModelError, match=r"changes the base's own weights .*layers.0.self_attn.q_proj"):
        made("vera")


def test_every_configuration_is_of_its_kind() -> None:
    assert config_class("vera").__name__ == "VeraConfig"
    assert config_class("ln_tuning").__name__ == "LNTuningConfig"
