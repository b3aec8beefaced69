"""Every method that PEFT has too: adapters cross both ways with equal logits, gradients are PEFT's own.

One row for each method: what we are asked for, and the same as a configuration of PEFT.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from attaching import attach
from passing import logits_of
from rung import storage
from rung.bases.base import Base
from rung.compute.load import tiny
from rung.methods import METHODS
from rung.methods.adapter import Adapter
from rung.methods.origin import Home
from rung.methods.peft_format import files_of, read_adapter
from rung.train.loss import pack_loss
from tiny_model import distance, plain_loss, random_rows, shake

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")  # PEFT's own
IDS = torch.arange(3, 40)[None]


@dataclass(frozen=True)
class Row:
    """A method of ours and PEFT's configuration of the same."""

    method: str
    theirs: Callable[[], peft.PeftConfig]
    given: dict[str, Any] = field(default_factory=dict)


ROWS = {
    "lora": Row(
        "lora",
        lambda: peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"),
        {"rank": 4, "alpha": 8.0},
    ),
    "prompt": Row(
        "prompt",
        lambda: peft.PromptTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM"),
        {"length": 5, "start_ids": (7, 8)},
    ),
    "prefix": Row(
        "prefix",
        lambda: peft.PrefixTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM"),
        {"length": 5, "start_ids": (7, 8)},
    ),
    "dora": Row(
        "dora",
        lambda: peft.LoraConfig(
            r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", use_dora=True
        ),
        {"rank": 4, "alpha": 8.0},
    ),
    "lora with ranks by layer": Row(
        "lora",
        lambda: peft.LoraConfig(
            r=4,
            lora_alpha=8,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
            rank_pattern={"q_proj": 2, "model.layers.1.mlp.up_proj": 6},
            alpha_pattern={"q_proj": 3, "v_proj": 5.5},
            use_rslora=True,
        ),
        {"rank": 4, "alpha": 8.0, "rslora": True}
        | {"ranks": "q_proj=2,layers.1.mlp.up_proj=6", "alphas": "q_proj=3,v_proj=5.5"},
    ),
    "lora at the attention": Row(
        "lora",
        lambda: peft.LoraConfig(
            r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"], task_type="CAUSAL_LM"
        ),
        {"rank": 4, "alpha": 8.0, "targets": ("attention",)},
    ),
    "ia3": Row("ia3", lambda: peft.IA3Config(task_type="CAUSAL_LM")),
}


@pytest.fixture(params=ROWS)
def row(request: pytest.FixtureRequest) -> Row:
    return ROWS[request.param]


def home(base: Base) -> Home:
    return Home(base.name, base.fingerprint, "t", "t")


@torch.no_grad()
def logits(model: Any) -> Tensor:
    found: Tensor = model(input_ids=IDS, use_cache=False).logits
    return found[:, -IDS.shape[1] :]  # without those of what PEFT puts before a row


def last_logits(base: Base) -> Tensor:
    return logits_of(base.model, IDS.tolist())[0]


def of_peft(row: Row) -> tuple[PreTrainedModel, Any]:
    """The tiny base with its own attention, and PEFT's model of it with random numbers."""
    base = tiny()
    base.model.set_attn_implementation("eager")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(base.model, row.theirs())
    shake([p for p in model.parameters() if p.requires_grad])
    return base.model, model.eval()


def test_peft_answers_the_same_with_what_we_wrote(row: Row, tmp_path: Path) -> None:
    base = tiny()
    attached = attach(row.method, base.model, **row.given)
    shake(attached.parameters())
    attached.updated()
    answers = last_logits(base)
    adapter = Adapter.of(METHODS[row.method], attached)
    storage.write_folder(tmp_path / "kept", files_of(adapter, "tiny"))
    plain = tiny()
    plain.model.set_attn_implementation("eager")
    before = logits(plain.model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peft.PeftModel.from_pretrained(plain.model, str(tmp_path / "kept"))
    assert distance(logits(theirs)[0], answers) < 1e-5
    assert distance(answers, before[0]) > 0.01


def test_we_answer_the_same_with_what_peft_wrote(row: Row, tmp_path: Path) -> None:
    _, theirs = of_peft(row)
    theirs.save_pretrained(str(tmp_path / "peft"))
    base = tiny()
    adapter, _ = read_adapter(tmp_path / "peft", home(base))
    assert adapter.method.name == row.method
    adapter.put(base.model)
    assert distance(last_logits(base), logits(theirs)[0]) < 1e-5


def test_gradients_are_those_of_peft(row: Row, tmp_path: Path) -> None:
    _, theirs = of_peft(row)
    theirs.save_pretrained(str(tmp_path / "peft"))
    base = tiny()
    adapter, _ = read_adapter(tmp_path / "peft", home(base))
    attached = adapter.put(base.model)
    rows = random_rows(5, seed=3)
    ours, wanted = pack_loss(base.model, rows), plain_loss(theirs, rows)
    assert distance(ours.detach(), wanted.detach()) < 1e-5
    ours.backward()  # type: ignore[no-untyped-call]
    wanted.backward()  # type: ignore[no-untyped-call]
    gradients = {name: tensor.grad for name, tensor in attached.named().items() if tensor.grad is not None}
    assert len(gradients) == len(attached.parameters())
    found = adapter.method.format.to_file(replace(adapter, tensors=gradients))
    for parameter in theirs.parameters():  # read their gradients by the names that PEFT gives to values
        if parameter.requires_grad:
            parameter.data = parameter.grad
    right = peft.get_peft_model_state_dict(theirs)
    assert found.keys() == right.keys()
    names = sorted(found)
    flat, theirs_flat = (torch.cat([state[n].flatten() for n in names]) for state in (found, right))
    assert distance(flat, theirs_flat) < 1e-5
