"""The bridge to PEFT's methods; what every method promises is in tests/contract."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor

from attaching import attach
from bridged import RUN, SMALL
from families import model_of
from rung import storage
from rung.bases.base import Base
from rung.compute import body
from rung.compute.load import tiny
from rung.compute.quantized import quantize
from rung.errors import AdapterError, BaseModelError, UsageError
from rung.methods import METHODS
from rung.methods.adapter import Adapter
from rung.methods.method import Attached
from rung.methods.origin import Home
from rung.methods.peft_format import files_of, load_adapter
from rung.methods.slots import slots_of
from rung.train.loss import pack_loss
from tiny_model import copy_of, distance, plain_loss, random_rows, same_bytes, shake, tiny_model

IDS = torch.tensor([[5, 7, 9, 11, 13, 5, 17]])


@pytest.fixture(params=RUN)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@torch.no_grad()
def logits(model: Any) -> Tensor:
    answer: Tensor = model(input_ids=IDS, use_cache=False).logits
    return answer


def put(kind: str, model: Any, **given: Any) -> Attached:
    """On a model, and moved away from its start."""
    attached = attach(f"peft:{kind}", model, **{**SMALL.get(f"peft:{kind}", {}), **given})
    shake(attached.parameters())
    return attached


def home(base: Base) -> Home:
    return Home(base.name, base.fingerprint, "t", "t")


def keep(kind: str, base: Base, folder: Path, **given: Any) -> Attached:
    attached = put(kind, base.model, **given)
    about = {"method": f"peft:{kind}", "base": base.name, "base_fingerprint": base.fingerprint}
    storage.write_folder(folder, files_of(Adapter.of(METHODS[f"peft:{kind}"], attached, about), "tiny"))
    return attached


def test_gradients_are_those_of_the_models_own_code(kind: str) -> None:
    model = tiny_model()
    own = put(kind, model).parameters()
    rows = random_rows(5, seed=3)
    found = torch.autograd.grad(pack_loss(model, rows), own)
    model.set_attn_implementation("eager")
    wanted = torch.autograd.grad(plain_loss(model, rows), own)
    flat, right = (torch.cat([one.flatten() for one in some]) for some in (found, wanted))
    assert bool(right.any())
    assert distance(flat, right) < 1e-4


def test_peft_answers_the_same_with_what_was_written(kind: str, tmp_path: Path) -> None:
    base, plain = tiny(), tiny()
    keep(kind, base, tmp_path / "kept", seed=5)
    before = logits(plain.model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peft.PeftModel.from_pretrained(plain.model, str(tmp_path / "kept"))
        assert distance(logits(theirs), logits(base.model)) < 1e-5
    assert distance(logits(base.model), before) > 0.01


def test_its_state_follows_parameters_that_were_moved(kind: str) -> None:
    """The optimizer puts all parameters into one vector."""
    attached = put(kind, tiny_model())
    first = attached.parameters()[0]
    first.data = first.data + 1
    assert any(torch.equal(tensor, first) for tensor in attached.state().values())


def test_what_was_written_is_read_again(kind: str, tmp_path: Path) -> None:
    base, other = tiny(), tiny()
    attached = keep(kind, base, tmp_path / "kept", seed=5)
    again, _ = load_adapter(tmp_path / "kept", other.model, home(other))
    assert same_bytes(again.state(), attached.state())
    assert torch.equal(logits(other.model), logits(base.model))


def test_only_folders_of_rungs_own_are_read(tmp_path: Path) -> None:
    base = tiny()
    keep("vera", base, tmp_path / "kept")
    (tmp_path / "kept" / "rung.json").unlink()
    (tmp_path / "kept" / storage.MANIFEST).unlink()
    with pytest.raises(AdapterError, match=r"'VERA', rung reads .*from folders of its own alone"):
        load_adapter(tmp_path / "kept", tiny().model, home(base))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"peft_type": "OFT"}, "is of peft:vera, adapter_config.json that it is of oft"),
        ({"bias": "all"}, "bias is set"),
        ({"stranger": 1}, "stranger is set"),
    ],
)
def test_a_configuration_that_was_changed_is_refused(
    change: dict[str, Any], why: str, tmp_path: Path
) -> None:
    base, folder = tiny(), tmp_path / "kept"
    keep("vera", base, folder)
    files = {name: (folder / name).read_bytes() for name in ("adapter_model.safetensors", "rung.json")}
    config = storage.read_json(folder / "adapter_config.json") | change
    storage.write_folder(tmp_path / "changed", {**files, "adapter_config.json": storage.as_json(config)})
    with pytest.raises(AdapterError, match=why):
        load_adapter(tmp_path / "changed", tiny().model, home(base))


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "b", "a"), ("b", "a", "c")])
def test_it_shares_a_base_with_other_methods_in_any_order(order: tuple[str, ...]) -> None:
    model = tiny_model()
    before, modules, plain = copy_of(model), [type(m) for m in model.modules()], logits(model)
    held, answers = {}, {}
    for slot, name in (("a", "peft:oft"), ("b", "lora"), ("c", "peft:ln_tuning")):
        held[slot] = attach(name, model, slot=slot)
        shake(held[slot].parameters())
        answers[slot] = logits(model)
        alone = tiny_model()
        shake(attach(name, alone).parameters())
        assert torch.equal(answers[slot], logits(alone))
    for slot in order:
        for left in held:
            slots_of(model).use(left)
            assert torch.equal(logits(model), answers[left])
        held.pop(slot).detach()
    assert torch.equal(logits(model), plain)
    assert same_bytes(copy_of(model), before)
    assert [type(m) for m in model.modules()] == modules
    assert not hasattr(model, "peft_config")


def test_a_norm_is_not_left_to_the_fast_path() -> None:
    model = tiny_model()
    attached = put("ln_tuning", model)
    assert body.why_not(model) == "PEFT changes more than linear layers"
    assert "not on the fastest path" in attached.notes()[0]
    with attached.disabled():
        assert body.why_not(model) is None
    attached.detach()
    assert body.why_not(model) is None


def test_a_method_around_linear_layers_stays_on_the_fast_path() -> None:
    model = tiny_model()
    assert put("vera", model).notes() == ("computed by PEFT's own modules",)
    assert body.why_not(model) is None


def test_where_no_path_is_right_it_is_refused_and_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rung.compute.paths.fault", lambda model: "hidden states are off by 7%")
    model = tiny_model()
    before = copy_of(model)
    with pytest.raises(
        BaseModelError, match=r"vera does not compute the same.*: hidden states are off by 7%"
    ):
        put("vera", model)
    assert same_bytes(copy_of(model), before)
    assert body.why_not(model) is None
    assert slots_of(model).names == []


def test_layers_are_chosen_by_option_and_by_the_family() -> None:
    asked = put("vera", tiny_model(), target_modules="k_proj,up_proj")
    assert asked.applied()["targets"] == ["k_proj", "up_proj"]
    assert put("vera", tiny_model()).applied()["targets"] == ["q_proj", "v_proj"]
    every = {name.rpartition(".")[2] for name in put("road", model_of("olmo2"), group_size=2).changes}  # type: ignore[attr-defined]
    assert {"q_proj", "o_proj", "down_proj"} <= every


@pytest.mark.parametrize(
    ("kind", "given", "why"),
    [
        ("vera", {"target_modules": "nowhere"}, "cannot put vera on this base"),
        ("c3a", {"block_size": 7}, "cannot put c3a on this base: The block size should be a factor"),
        ("lora", {"init_lora_weights": "pissa"}, "changes the base's own weights before it begins"),
        ("lora", {"target_modules": "embed_tokens"}, "would change model.embed_tokens"),
    ],
)
def test_what_does_not_fit_is_one_paragraph_and_leaves_the_base(
    kind: str, given: dict[str, Any], why: str
) -> None:
    model = tiny_model()
    before, modules = copy_of(model), [type(m) for m in model.modules()]
    with pytest.raises(UsageError, match=why):
        attach(f"peft:{kind}", model, **given)
    assert same_bytes(copy_of(model), before)
    assert [type(m) for m in model.modules()] == modules


def test_a_base_that_cannot_take_the_defaults_is_no_wrong_setting() -> None:
    """Which would end a climb; so it is the rung's row."""
    with pytest.raises(BaseModelError, match="cannot put miss on this base: `r`"):
        attach("peft:miss", tiny_model())


def test_over_few_bits_it_is_refused() -> None:
    model = tiny_model()
    quantize(model, 8, "cpu")
    with pytest.raises(UsageError, match="held in 8 bits"):
        attach("peft:vera", model)


def test_what_cannot_be_merged_says_so_and_stays() -> None:
    model = tiny_model()
    attached = put("beft", model)
    answers = logits(model)
    with pytest.raises(UsageError, match="does not merge beft"):
        attached.merge()
    assert torch.equal(logits(model), answers)
