"""An adapter on a base that is loaded, and what its folder says against that base."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from rung.bases.tiny import save_tiny
from rung.compute.load import load
from rung.data.templates import Renderer
from rung.errors import AdapterError
from rung.evaluation.run import Speaker
from rung.ladder.adapter import attach, home_of
from rung.ladder.climb import Climbed
from tiny_model import shake

OTHER = (
    "{% for m in messages %}{{ '### ' + m['role'] + ': ' + m['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### assistant: ' }}{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bases, ``here`` and ``other``."""
    home = tmp_path_factory.mktemp("bases")
    for name, seed in (("here", 0), ("other", 7)):
        save_tiny(home / name, seed=seed)
    return home


def peft_adapter(base: Path, out: Path, template: str = "") -> torch.Tensor:
    """Let PEFT write an adapter, with a tokenizer where it has a `template`; returns the logits with it."""
    model = AutoModelForCausalLM.from_pretrained(base)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's own, of other libraries
        config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
        tuned = get_peft_model(model, config)
        shake(p for name, p in tuned.named_parameters() if "lora_" in name)
        tuned.save_pretrained(str(out))
    if template:
        tokenizer = AutoTokenizer.from_pretrained(base)
        tokenizer.chat_template = template
        tokenizer.save_pretrained(out)
    return logits(tuned)


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=torch.arange(3, 60)[None]).logits
    return found


def speaker_of(name: str) -> Speaker:
    base = load(name)
    return Speaker(base, Renderer(base.tokenizer))


def test_an_adapter_of_this_base_needs_no_word_and_answers_as_peft_does(folder: Path, tmp_path: Path) -> None:
    wanted = peft_adapter(folder / "here", tmp_path / "adapter")
    speaker = speaker_of(str(folder / "here"))
    _, origin = attach(tmp_path / "adapter", speaker)
    torch.testing.assert_close(logits(speaker.base.model), wanted, atol=1e-5, rtol=1e-5)
    assert origin.warnings == ()


def test_an_adapter_of_another_folder_is_used_and_both_are_named(folder: Path, tmp_path: Path) -> None:
    peft_adapter(folder / "other", tmp_path / "adapter")
    _, origin = attach(tmp_path / "adapter", speaker_of(str(folder / "here")))
    (warning,) = origin.warnings
    assert str(folder / "other") in warning
    assert "'here'" in warning


def test_an_adapter_of_another_base_of_the_catalog_is_refused(folder: Path, tmp_path: Path) -> None:
    peft_adapter(folder / "here", tmp_path / "adapter")
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(config.read_text().replace(str(folder / "here"), "owner/SmolLM2-135M-Instruct"))
    with pytest.raises(AdapterError, match=r"another base: owner/SmolLM2-135M-Instruct\. .* is tiny"):
        attach(tmp_path / "adapter", speaker_of("tiny"))


def test_a_template_of_its_own_is_refused_and_the_bases_own_is_not(folder: Path, tmp_path: Path) -> None:
    speaker = speaker_of(str(folder / "here"))
    peft_adapter(folder / "here", tmp_path / "own", OTHER)
    with pytest.raises(AdapterError, match="trained with another chat template than this base has"):
        attach(tmp_path / "own", speaker)
    peft_adapter(folder / "here", tmp_path / "same", speaker.renderer.template)
    assert attach(tmp_path / "same", speaker)[1].warnings == ()


def test_more_tensors_than_lora_are_refused(folder: Path, tmp_path: Path) -> None:
    """As PEFT adds the embeddings of a base that was resized."""
    peft_adapter(folder / "here", tmp_path / "adapter")
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(weights)
    tensors["base_model.model.model.embed_tokens.weight"] = torch.zeros(262, 32)
    save_file(tensors, weights)
    with pytest.raises(AdapterError, match=r"missing or unknown, such as model\.embed_tokens"):
        attach(tmp_path / "adapter", speaker_of(str(folder / "here")))


def test_our_own_adapter_brings_its_task(climbed: Climbed) -> None:
    speaker = speaker_of("tiny")
    _, origin = attach(climbed.folder / "adapters" / "lora", speaker)
    assert origin.task == climbed.info.task
    assert origin.warnings == ()


def test_the_home_is_the_base_and_its_template() -> None:
    speaker = speaker_of("tiny")
    home = home_of(speaker)
    assert (home.name, home.fingerprint) == ("tiny", speaker.base.fingerprint)
    assert (home.template, home.template_fingerprint) == (
        speaker.renderer.template,
        speaker.renderer.fingerprint,
    )
    assert {"tiny", "smollm2-135m-instruct", "gemma-3-270m"} <= home.catalog
