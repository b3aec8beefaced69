"""LoRA with each of its options, and with several at once: what all of them promise."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from attaching import attach
from rung import storage
from rung.methods import METHODS
from rung.methods.adapter import Adapter
from rung.methods.method import Attached
from rung.methods.origin import Home
from rung.methods.peft_format import WEIGHTS, files_of, load_adapter
from tiny_model import copy_of, distance, random_rows, same_bytes, shake, tiny_model
from training import Killed, make, without_time

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dora": {"dora": True},
    "pissa": {"start": "pissa"},
    "eva": {"start": "eva"},
    "ranks": {"ranks": "q_proj=2,layers.1.mlp.down_proj=6", "alphas": {"v_proj": 3.0}},
    "dropout": {"dropout": 0.2},
    "attention": {"targets": "attention"},
    "mlp": {"targets": "mlp,q_proj"},
    "top layer": {"top_layers": 1},
    "lora+": {"lora_plus": 4.0},
    "rslora": {"rslora": True},
    "dora, eva": {"dora": True, "start": "eva", "dropout": 0.1},
    "dora, pissa": {"dora": True, "start": "pissa", "dropout": 0.1, "ranks": "q_proj=2", "rslora": True},
}
IDS = torch.tensor([[5, 7, 9, 11, 13, 5, 17]])
HOME = Home("tiny", "", "", "")


@pytest.fixture(params=OPTIONS)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return OPTIONS[request.param]


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return tiny_model(dtype=request.param)


@torch.no_grad()
def logits(model: Any) -> Tensor:
    answer: Tensor = model(input_ids=IDS, use_cache=False).logits
    return answer


def begun(model: PreTrainedModel, options: dict[str, Any]) -> Attached:
    """As at the first step."""
    attached = attach("lora", model, **{"rank": 4, "alpha": 8.0, **options})
    attached.begin(random_rows(8))
    return attached


def trained(model: PreTrainedModel, options: dict[str, Any], seed: int = 1) -> Attached:
    attached = begun(model, options)
    shake(attached.parameters(), seed)
    attached.updated()
    return attached


def kept(attached: Attached, folder: Path) -> Path:
    storage.write_folder(folder, files_of(Adapter.of(METHODS["lora"], attached), "tiny"))
    return folder


def test_it_begins_as_the_base_and_ends_as_the_base(model: PreTrainedModel, options: dict[str, Any]) -> None:
    before, weights = logits(model), copy_of(model)
    attached = begun(model, options)
    assert torch.equal(logits(model), before)
    shake(attached.parameters())
    attached.updated()
    assert distance(logits(model), before) > 0.01
    attached.detach()
    assert same_bytes(copy_of(model), weights)


def test_a_state_and_back_is_bit_equal(model: PreTrainedModel, options: dict[str, Any]) -> None:
    attached = trained(model, options)
    other = tiny_model(dtype=model.dtype)
    fresh = trained(other, options, seed=3)
    fresh.load(attached.state())
    assert same_bytes(fresh.state(), attached.state())
    assert torch.equal(logits(other), logits(model))


def test_merged_answers_as_unmerged(options: dict[str, Any]) -> None:
    model = tiny_model()
    attached = trained(model, options)
    answers = logits(model)
    attached.merge()
    assert distance(logits(model), answers) < 1e-4


def test_killed_and_resumed_ends_with_the_same_bytes(tmp_path: Path, options: dict[str, Any]) -> None:
    unbroken = make(options=options)
    wanted = unbroken.go()
    assert wanted.best_step > 9
    with pytest.raises(Killed):
        make(tmp_path, options=options, checkpoint_seconds=1e-9).go(9)  # saves after the first step
    resumed = make(tmp_path, options=options)
    outcome = resumed.go()
    assert any("continued from the checkpoint" in note for note in outcome.notes)
    assert without_time(outcome) == without_time(wanted)
    assert same_bytes(resumed.attached.state(), unbroken.attached.state())


@pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")  # PEFT's own
def test_its_folder_answers_the_same_with_rung_and_with_peft(tmp_path: Path, options: dict[str, Any]) -> None:
    model = tiny_model()
    folder = kept(trained(model, options), tmp_path / "kept")
    answers = logits(model)
    again, plain = tiny_model(), tiny_model(attention="eager")
    read, _ = load_adapter(folder, again, HOME)
    assert read.settings.dora is bool(options.get("dora"))
    assert distance(logits(again), answers) < 1e-5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peft.PeftModel.from_pretrained(plain, str(folder))
    assert distance(logits(theirs), answers) < 1e-5
    kept(read, tmp_path / "again")
    first, second = load_file(folder / WEIGHTS), load_file(tmp_path / "again" / WEIGHTS)
    assert same_bytes(first, second)


PROCESS = """
import sys
from pathlib import Path
from safetensors.torch import save_file
from rung.methods.peft_format import load_adapter
from test_lora_options import HOME, logits, tiny_model
model = tiny_model()
load_adapter(Path(sys.argv[1]), model, HOME)
save_file({"logits": logits(model)}, sys.argv[2])
"""


def test_a_fresh_process_answers_the_same(tmp_path: Path) -> None:
    model = tiny_model()
    folder = kept(trained(model, OPTIONS["dora, pissa"]), tmp_path / "kept")
    here = tiny_model()
    load_adapter(folder, here, HOME)
    save_file({"logits": logits(here)}, tmp_path / "here")
    tests = Path(__file__).parents[1]
    code = f"import sys; sys.path[:0] = [{str(tests)!r}, {str(Path(__file__).parent)!r}]" + PROCESS
    subprocess.run([sys.executable, "-c", code, folder, tmp_path / "there"], check=True)
    assert same_bytes(load_file(tmp_path / "here"), load_file(tmp_path / "there"))
