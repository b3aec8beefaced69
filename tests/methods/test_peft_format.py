"""Adapters on disk: PEFT answers the same with ours, and what rung cannot reproduce is refused."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rung import storage
from rung.bases.base import Base
from rung.compute.load import tiny
from rung.errors import AdapterError
from rung.methods.adapter import Adapter
from rung.methods.lora import LORA, Lora
from rung.methods.lora_settings import LoraSettings
from rung.methods.origin import CONFIG, OURS, Home
from rung.methods.peft_format import WEIGHTS, files_of, load_adapter
from tiny_model import copy_of, same_bytes, shake

SETTINGS = {
    "plain": LoraSettings(rank=8, alpha=16.0),
    "rslora": LoraSettings(rank=8, alpha=5.0, rslora=True),
    "some layers": LoraSettings(rank=3, alpha=7.5, targets=("q_proj", "down_proj")),
    "top layers": LoraSettings(rank=4, alpha=8.0, top_layers=1),
}


def save_adapter(base: Base, settings: LoraSettings, folder: Path) -> Tensor:
    """Write an adapter with random weights; returns what the base answers with it."""
    lora = Lora(base.model, settings)
    shake(lora.parameters())
    answers = logits(base.model)
    about = {"base": base.name, "base_fingerprint": base.fingerprint, "template_fingerprint": "chatml"}
    storage.write_folder(folder, files_of(Adapter.of(LORA, lora, about), base.name))
    lora.detach()
    return answers


def home(base: Base) -> Home:
    """The base, behind the template that `save_adapter` names."""
    return Home(base.name, base.fingerprint, "{{ messages }}", "chatml")


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(input_ids=torch.arange(3, 99)[None]).logits
    return found


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "good"
    save_adapter(tiny(), SETTINGS["plain"], folder)
    return folder


@pytest.fixture
def damaged(good: Path, tmp_path: Path) -> Path:
    """A copy to be damaged, as if it came from elsewhere: without the manifest that gives damage away."""
    folder = shutil.copytree(good, tmp_path / "adapter")
    (folder / storage.MANIFEST).unlink()
    (folder / OURS).unlink()
    return folder


@pytest.mark.parametrize("name", SETTINGS)
def test_peft_answers_the_same(name: str, tmp_path: Path) -> None:
    from peft import PeftModel

    answers = save_adapter(tiny(), SETTINGS[name], tmp_path / "adapter")
    base = tiny()
    plain = logits(base.model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's own, of other libraries
        theirs = PeftModel.from_pretrained(base.model, str(tmp_path / "adapter"))
    torch.testing.assert_close(logits(theirs), answers, atol=1e-4, rtol=1e-4)
    assert (answers - plain).abs().max() > 0.1


@pytest.mark.parametrize("name", SETTINGS)
def test_rung_answers_the_same_and_knows_the_settings(name: str, tmp_path: Path) -> None:
    answers = save_adapter(tiny(), SETTINGS[name], tmp_path / "adapter")
    base = tiny()
    before = copy_of(base.model)
    lora, _ = load_adapter(tmp_path / "adapter", base.model, home(base))
    torch.testing.assert_close(logits(base.model), answers, atol=1e-6, rtol=1e-6)
    assert lora.settings.rank == SETTINGS[name].rank
    lora.detach()
    assert same_bytes(before, copy_of(base.model))


def test_an_adapter_that_peft_wrote_is_read(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = tiny()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = LoraConfig(
            r=4, lora_alpha=6, use_rslora=True, target_modules=["v_proj", "up_proj"], task_type="CAUSAL_LM"
        )
        theirs = get_peft_model(base.model, config)
        shake([p for name, p in theirs.named_parameters() if "lora_" in name])
        theirs.save_pretrained(str(tmp_path / "peft"))
    answers = logits(theirs)
    ours = tiny()
    load_adapter(tmp_path / "peft", ours.model, home(ours))
    torch.testing.assert_close(logits(ours.model), answers, atol=1e-4, rtol=1e-4)


def test_the_files_are_the_subset_everyone_reads(good: Path) -> None:
    config = json.loads((good / CONFIG).read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"], config["bias"]) == ("LORA", 8, 16, "none")
    assert config["use_rslora"] is False
    tensors = load_file(good / WEIGHTS)
    assert all(name.startswith("base_model.model.model.layers.") for name in tensors)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert len(tensors) == 2 * 2 * 7


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.float8_e4m3fn])
def test_an_adapter_in_another_number_format_is_read(damaged: Path, dtype: torch.dtype) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in load_file(damaged / WEIGHTS).items()}
    save_file(tensors, damaged / WEIGHTS)
    base = tiny()
    lora, _ = load_adapter(damaged, base.model, home(base))
    assert {parameter.dtype for parameter in lora.parameters()} == {torch.float32}
    for name, tensor in lora.state().items():
        assert torch.equal(tensor, tensors[f"base_model.model.{name}"].float())


def test_an_adapter_without_our_file_is_taken_on_trust(damaged: Path) -> None:
    other = tiny(seed=1)
    load_adapter(damaged, other.model, home(other))[0].detach()


def test_the_full_names_that_peft_writes_for_all_linear_are_read(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = tiny()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", task_type="CAUSAL_LM")
        theirs = get_peft_model(base.model, config)
        shake([p for name, p in theirs.named_parameters() if "lora_" in name])
        theirs.save_pretrained(str(tmp_path / "peft"))
    assert any("." in name for name in json.loads((tmp_path / "peft" / CONFIG).read_text())["target_modules"])
    answers = logits(theirs)
    ours = tiny()
    load_adapter(tmp_path / "peft", ours.model, home(ours))
    torch.testing.assert_close(logits(ours.model), answers, atol=1e-4, rtol=1e-4)


def test_whole_names_are_written_whole(tmp_path: Path) -> None:
    settings = LoraSettings(rank=2, alpha=4.0, targets=("layers.1.self_attn.q_proj",))
    answers = save_adapter(tiny(), settings, tmp_path / "a")
    base = tiny()
    lora, _ = load_adapter(tmp_path / "a", base.model, home(base))
    assert list(lora.changes) == ["model.layers.1.self_attn.q_proj"]
    torch.testing.assert_close(logits(base.model), answers, atol=1e-6, rtol=1e-6)


def test_an_added_file_is_named_and_documentation_is_not(good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "adapter")
    (folder / "README.md").write_text("About")
    (folder / ".gitattributes").write_text("x")
    base = tiny()
    load_adapter(folder, base.model, home(base))[0].detach()
    (folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(AdapterError, match=r"tokenizer_config\.json was added after"):
        load_adapter(folder, base.model, home(base))


# --- the gate ---------------------------------------------------------------------------------------

Damage = Callable[[Path], None]


def config(**changes: Any) -> Damage:
    """Change keys of adapter_config.json."""

    def act(folder: Path) -> None:
        value = json.loads((folder / CONFIG).read_text()) | changes
        (folder / CONFIG).write_text(json.dumps(value))

    return act


def tensors(change: Callable[[dict[str, Tensor]], Any]) -> Damage:
    """Change the tensors in place."""

    def act(folder: Path) -> None:
        found = load_file(folder / WEIGHTS)
        change(found)
        save_file(found, folder / WEIGHTS)

    return act


def text(name: str, content: str) -> Damage:
    """Write a file again."""
    return lambda folder: (folder / name).write_text(content) and None


def ours(content: str) -> Damage:
    """Write rung.json, and a manifest that fits."""

    def act(folder: Path) -> None:
        files: dict[str, bytes | Callable[[Path], None]] = {
            file.name: file.read_bytes() for file in folder.iterdir()
        }
        storage.write_folder(folder, files | {OURS: content.encode()})

    return act


def first(found: dict[str, Tensor]) -> str:
    return sorted(found)[0]


def only_a_pickle(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")


def twice(folder: Path) -> None:
    content = (folder / CONFIG).read_text()
    (folder / CONFIG).write_text('{"r": 8,' + content[1:])


def cut(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def link_out(name: str) -> Damage:
    def act(folder: Path) -> None:
        (folder / name).rename(folder.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent / "elsewhere")

    return act


def pipe(name: str) -> Damage:
    """A named pipe in place of a file: a program that opens it waits forever."""

    def act(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return act


def huge(name: str) -> Damage:
    """A file of 3 GB, all of it a hole."""

    def act(folder: Path) -> None:
        with (folder / name).open("wb") as file:
            file.truncate(3 << 30)

    return act


def too_large_for_fp32(found: dict[str, Tensor]) -> None:
    found[first(found)] = torch.full(found[first(found)].shape, 1e300, dtype=torch.float64)


def nearly_too_large(found: dict[str, Tensor]) -> None:
    name = next(name for name in found if "lora_B" in name)
    found[name] = torch.full(found[name].shape, 3e38)


def circle(name: str) -> Damage:
    """A link to itself."""

    def act(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(name)

    return act


def fp8_without_a_number(found: dict[str, Tensor]) -> None:
    found[first(found)] = torch.full(found[first(found)].shape, float("nan")).to(torch.float8_e4m3fn)


def rename_prefix(found: dict[str, Tensor]) -> None:
    name = first(found)
    found[name.removeprefix("base_model.")] = found.pop(name)


GATE: dict[str, tuple[Damage, str]] = {
    "no folder": (shutil.rmtree, "there is no such adapter folder"),
    "no config": (lambda folder: (folder / CONFIG).unlink(), "holds no adapter_config.json. Give an adapter"),
    "config not JSON": (text(CONFIG, "{"), "adapter_config.json cannot be read"),
    "config a list": (text(CONFIG, "[]"), "adapter_config.json is not a JSON object"),
    "config too deep": (text(CONFIG, "[" * 100_000), "adapter_config.json cannot be read"),
    "config not text": (lambda f: (f / CONFIG).write_bytes(b"\xff\xfe") and None, "cannot be read"),
    "config huge": (huge(CONFIG), "adapter_config.json is larger than 64 MB"),
    "our file huge": (huge(OURS), "manifest.json is missing"),
    "config a pipe": (pipe(CONFIG), "adapter_config.json is not a file that can be read"),
    "our file a pipe": (pipe(OURS), "manifest.json is missing"),
    "weights a pipe": (pipe(WEIGHTS), f"holds no {WEIGHTS}"),
    "a key twice": (twice, "it has the key"),
    "our file broken": (ours("{"), "rung.json cannot be read"),
    "our file a list": (ours("[1]"), "rung.json is not a JSON object"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), f"holds no {WEIGHTS}"),
    "only a pickle": (only_a_pickle, "adapter_model.bin is a pickle"),
    "weights cut short": (cut, "cannot be read"),
    "weights not safetensors": (text(WEIGHTS, "hello"), "cannot be read"),
    "a tensor is missing": (tensors(lambda t: t.pop(first(t))), "1 tensors are missing or unknown, such as"),
    "a tensor too many": (tensors(lambda t: t.update({first(t) + "x": torch.ones(1)})), "or unknown"),
    "a wrong shape": (tensors(lambda t: t.update({first(t): torch.ones(8, 31)})), "has shape (8, 31), not"),
    "NaN": (tensors(lambda t: t[first(t)].fill_(float("nan"))), "values that are not finite"),
    "infinite in fp32": (tensors(too_large_for_fp32), "values that are not finite in fp32"),
    "NaN in fp8": (tensors(fp8_without_a_number), "values that are not finite in fp32"),
    "infinity": (tensors(lambda t: t[first(t)][0].fill_(float("inf"))), "values that are not finite"),
    "whole numbers": (tensors(lambda t: t.update({first(t): t[first(t)].long()})), "holds I64"),
    "a wrong prefix": (tensors(rename_prefix), "does not begin with 'base_model.model.'"),
    "weights are a link out": (link_out(WEIGHTS), f"{WEIGHTS} is a link that leaves the folder"),
    "config is a link out": (link_out(CONFIG), f"{CONFIG} is a link that leaves the folder"),
    "another method": (config(peft_type="LOKR"), "peft_type is 'LOKR', rung reads"),
    "no method": (config(peft_type=None), "peft_type is None"),
    "DoRA without its lengths": (config(use_dora=True), "14 tensors are missing or unknown"),
    "DoRA by number": (config(use_dora=1), "use_dora cannot be 1"),
    "biases of B": (config(lora_bias=True), "lora_bias is set"),
    "biases": (config(bias="lora_only"), "it trains biases"),
    "whole modules": (config(modules_to_save=["lm_head"]), "modules_to_save is set"),
    "other ranks by layer": (config(rank_pattern={"q_proj": 4}), "has shape (8, 32), not (4, 32)"),
    "ranks by a pattern": (config(rank_pattern={"^model.*q_proj": 8}), "which is no plain layer name"),
    "ranks in a list": (config(rank_pattern=[8]), "rank_pattern is no mapping"),
    "a rank by layer that is none": (config(rank_pattern={"q_proj": 8.0}), "cannot give q_proj 8.0"),
    "alphas by a pattern": (config(alpha_pattern={"q_.*": 4}), "which is no plain layer name"),
    "an alpha by layer that is none": (config(alpha_pattern={"q_proj": True}), "cannot give q_proj True"),
    "some layers": (config(layers_to_transform=[0]), "are not the base's last layers"),
    "layers twice": (config(layer_replication=[[0, 1]]), "layer_replication is set"),
    "swapped weights": (config(fan_in_fan_out=True), "fan_in_fan_out is set"),
    "layers left out": (config(exclude_modules=["q_proj"]), "exclude_modules is set"),
    "an unknown key": (
        config(use_hyperlora=True),
        "use_hyperlora is set, which rung does not compute",
    ),
    "PiSSA": (config(init_lora_weights="pissa"), "init_lora_weights 'pissa' changes the base's weights"),
    "a pattern of names": (config(target_modules=r".*\.(q|v)_proj"), "must be a list of plain layer names"),
    "a pattern in the list": (config(target_modules=["q_.*"]), "must be a list of plain layer names"),
    "no names": (config(target_modules=[]), "must be a list of plain layer names"),
    "names that are not text": (config(target_modules=[1]), "must be a list of plain layer names"),
    "a layer the base lacks": (config(target_modules=["c_attn"]), "no linear layer is called 'c_attn'"),
    "the head": (config(target_modules=["lm_head"]), "no linear layer is called 'lm_head'"),
    "fewer layers": (config(target_modules=["q_proj"]), "missing or unknown"),
    "alpha zero": (config(lora_alpha=0), "lora_alpha cannot be 0"),
    "alpha below zero": (config(lora_alpha=-1.0), "lora_alpha cannot be -1.0"),
    "alpha NaN": (config(lora_alpha=float("nan")), "it holds NaN, which is not JSON"),
    "alpha infinite": (config(lora_alpha=float("inf")), "it holds Infinity, which is not JSON"),
    "alpha huge": (config(lora_alpha=1e300), "lora_alpha cannot be 1e+300"),
    "alpha text": (config(lora_alpha="16"), "lora_alpha cannot be '16'"),
    "alpha true": (config(lora_alpha=True), "lora_alpha cannot be True"),
    "no alpha": (config(lora_alpha=None), "lora_alpha cannot be None"),
    "another rank": (config(r=4), "has shape (8, 32), not (4, 32)"),
    "rank zero": (config(r=0), "r cannot be 0"),
    "rank huge": (config(r=10**9), "r cannot be 1000000000"),
    "rank text": (config(r="8"), "r cannot be '8'"),
    "rank true": (config(r=True), "r cannot be True"),
    "rank of a true value": (config(r=8.0), "r cannot be 8.0"),
    "alpha too small": (config(lora_alpha=1e-300), "lora_alpha cannot be 1e-300"),
    "rsLoRA by number": (config(use_rslora=1), "use_rslora cannot be 1"),
    "a start by number": (config(init_lora_weights=1), "init_lora_weights 1 changes"),
    "layers by truth": (config(layers_to_transform=[False, True]), "are not the base's last layers"),
    "layers by number": (config(layers_to_transform=0), "are not the base's last layers"),
    "a long name": (config(peft_type="x" * 10_000), "peft_type is 'xxx"),
    "long names": (config(target_modules=["x " * 5_000]), "must be a list of plain layer names"),
    "a number of 5,000 digits": (text(CONFIG, '{"r": ' + "9" * 5000 + "}"), "cannot be read"),
    "config in a circle": (circle(CONFIG), f"{CONFIG} is not a file that can be read"),
    "our file alone": (text(OURS, "{}"), "manifest.json is missing"),
    "too large when scaled": (tensors(nearly_too_large), "scaled by alpha / r, is too large"),
    "rsLoRA in words": (config(use_rslora="false"), "use_rslora cannot be 'false'"),
    "another base": (ours('{"base_fingerprint": "f00d", "base": "gpt"}'), "for another base: gpt"),
    "another template": (ours('{"template_fingerprint": "x"}'), "with another chat template"),
}


@pytest.mark.parametrize("name", GATE)
def test_the_gate(name: str, damaged: Path) -> None:
    damage, said = GATE[name]
    damage(damaged)
    base = tiny()
    before, modules = copy_of(base.model), [type(module) for module in base.model.modules()]
    with pytest.raises(AdapterError) as caught:
        load_adapter(damaged, base.model, home(base))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.fix
    assert len(str(caught.value)) < 2000
    assert caught.value.exit_code == 4
    assert str(damaged) in str(caught.value)
    assert same_bytes(before, copy_of(base.model))
    assert modules == [type(module) for module in base.model.modules()]
    assert not any(parameter.requires_grad for parameter in base.model.parameters())


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "adapter").write_text("x")
    base = tiny()
    with pytest.raises(AdapterError, match="no such adapter folder"):
        load_adapter(tmp_path / "adapter", base.model, home(base))


def test_a_link_inside_the_folder_is_fine(damaged: Path) -> None:
    (damaged / WEIGHTS).rename(damaged / "weights")
    (damaged / WEIGHTS).symlink_to("weights")
    base = tiny()
    load_adapter(damaged, base.model, home(base))


# --- the manifest -----------------------------------------------------------------------------------


def flip_a_bit(folder: Path) -> None:
    raw = bytearray((folder / WEIGHTS).read_bytes())
    raw[-1] ^= 1
    (folder / WEIGHTS).write_bytes(raw)


CHANGED: dict[str, tuple[Damage, str]] = {
    "rsLoRA turned on": (config(use_rslora=True), f"{CONFIG} is missing or was changed"),
    "another alpha": (config(lora_alpha=32), f"{CONFIG} is missing or was changed"),
    "a bit of the weights": (flip_a_bit, f"{WEIGHTS} is missing or was changed"),
    "our file deleted": (lambda folder: (folder / OURS).unlink(), f"{OURS} is missing or was changed"),
    "our file a pipe": (pipe(OURS), f"{OURS} is missing or was changed"),
    "the manifest broken": (text(storage.MANIFEST, "{"), "manifest.json cannot be read"),
    "the manifest huge": (huge(storage.MANIFEST), "manifest.json is larger than 64 MB"),
    "the manifest a pipe": (pipe(storage.MANIFEST), "manifest.json is not a file that can be read"),
    "the manifest of another program": (
        text(storage.MANIFEST, '{"name": "x"}'),
        "no readable manifest. Copy the adapter again",
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_folder_that_rung_wrote_is_as_it_was_written(name: str, good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "adapter")
    damage, said = CHANGED[name]
    damage(folder)
    base = tiny()
    before = copy_of(base.model)
    with pytest.raises(AdapterError) as caught:
        load_adapter(folder, base.model, home(base))
    assert said in str(caught.value)
    assert str(folder) in str(caught.value)
    assert same_bytes(before, copy_of(base.model))


def test_a_folder_that_rung_wrote_is_taken_as_it_is(good: Path) -> None:
    base = tiny()
    lora, origin = load_adapter(good, base.model, home(base))
    assert len(lora.changes) == 14
    assert origin.warnings == ()
