"""Classifier heads cross both ways to PEFT on transformers' sequence classification: logits, gradients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification

from attaching import LABELS, attach, labelled, loss_of
from rung import storage
from rung.bases.base import Base, quiet
from rung.bases.tiny import save_tiny
from rung.compute.ends import ends
from rung.compute.load import tiny
from rung.errors import AdapterError
from rung.methods import METHODS
from rung.methods.adapter import Adapter
from rung.methods.origin import LABELS as NAMES
from rung.methods.origin import Home
from rung.methods.peft_format import files_of, load_adapter, read_adapter
from tiny_model import distance, random_rows, shake

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")  # PEFT's own
ROWS = random_rows(7, seed=3)
PAD = 1  # no token of the rows
LORA = {"rank": 4, "alpha": 8.0}
both = pytest.mark.parametrize("name", [name for name in METHODS if METHODS.classifies(name)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base as transformers reads it."""
    return save_tiny(tmp_path_factory.mktemp("base") / "tiny")


def home(base: Base) -> Home:
    return Home(base.name, base.fingerprint, "t", "t")


def classifier(folder: Path, labels: dict[int, str]) -> Any:
    """Transformers' sequence classification of the base, with a head that knows nothing."""
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, id2label=labels, attn_implementation="eager"
        )
    model.config.pad_token_id = PAD
    return model.eval()


def config(name: str) -> peft.LoraConfig:
    given: dict[str, Any] = {"target_modules": "dummy-target-modules"}
    if name == "head-lora":
        given = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}
    return peft.LoraConfig(task_type="SEQ_CLS", modules_to_save=["score"], **given)


def of_peft(name: str, folder: Path) -> Any:
    """PEFT's model with random numbers."""
    model = peft.get_peft_model(classifier(folder, dict(enumerate(LABELS))), config(name))
    shake([p for p in model.parameters() if p.requires_grad])
    return model.eval()


def theirs_of(model: Any) -> Tensor:
    """Logits (rows, labels), of rows padded to one length."""
    width = max(len(row.ids) for row in ROWS)
    ids = torch.tensor([[*row.ids, *[PAD] * (width - len(row.ids))] for row in ROWS])
    found: Tensor = model(input_ids=ids, attention_mask=(ids != PAD).long()).logits
    return found


def ours_of(attached: Any) -> Tensor:
    found: Tensor = attached.head.logits(ends(attached.model, [row.ids for row in ROWS]))
    return found


def saved(name: str, folder: Path) -> tuple[Any, Base]:
    """A head that has moved, and its files in `folder`."""
    base = tiny()
    attached = attach(name, base.model, **LORA)
    shake(attached.parameters())
    attached.updated()
    storage.write_folder(folder, files_of(Adapter.of(METHODS[name], attached), "tiny"))
    return attached, base


@both
@torch.no_grad()
def test_peft_gives_the_same_logits_with_what_we_wrote(name: str, folder: Path, tmp_path: Path) -> None:
    attached, _ = saved(name, tmp_path / "kept")
    names = json.loads((tmp_path / "kept" / NAMES).read_text())
    model = classifier(folder, {int(place): label for place, label in names["id2label"].items()})
    theirs = peft.PeftModel.from_pretrained(model, str(tmp_path / "kept"))
    assert distance(ours_of(attached), theirs_of(theirs)) < 1e-5
    assert float(ours_of(attached).std()) > 0.1
    assert tuple(theirs.config.id2label.values()) == attached.labels == LABELS
    assert names["label2id"] == {"one": 0, "two": 1, "three": 2}


@both
@torch.no_grad()
def test_we_read_our_own_back(name: str, tmp_path: Path) -> None:
    attached, _ = saved(name, tmp_path / "kept")
    other = tiny()
    again: Any = load_adapter(tmp_path / "kept", other.model, home(other))[0]
    assert again.labels == LABELS
    assert torch.equal(ours_of(again), ours_of(attached))


@both
@torch.no_grad()
def test_we_give_the_same_logits_with_what_peft_wrote(name: str, folder: Path, tmp_path: Path) -> None:
    theirs = of_peft(name, folder)
    theirs.save_pretrained(str(tmp_path / "peft"))
    base = tiny()
    with pytest.raises(AdapterError, match="no labels"):
        read_adapter(tmp_path / "peft", home(base))
    storage.write_json(tmp_path / "peft" / NAMES, {"id2label": theirs.config.id2label})
    adapter, _ = read_adapter(tmp_path / "peft", home(base))
    assert adapter.method.name == name
    assert distance(ours_of(adapter.put(base.model)), theirs_of(theirs)) < 1e-5


@both
def test_loss_and_gradients_are_those_of_transformers(name: str, folder: Path, tmp_path: Path) -> None:
    theirs = of_peft(name, folder)
    theirs.save_pretrained(str(tmp_path / "peft"))
    storage.write_json(tmp_path / "peft" / NAMES, {"id2label": theirs.config.id2label})
    base = tiny()
    adapter, _ = read_adapter(tmp_path / "peft", home(base))
    attached = adapter.put(base.model)
    ours = loss_of(attached, base.model, ROWS)
    truth = torch.tensor([row.label for row in labelled(ROWS)])
    wanted = cross_entropy(theirs_of(theirs), truth, reduction="sum")
    assert distance(ours.detach(), wanted.detach()) < 1e-5
    ours.backward()  # type: ignore[no-untyped-call]
    wanted.backward()
    found = {"base_model.model." + name: t.grad for name, t in attached.named().items()}
    for parameter in theirs.parameters():  # read their gradients by the names that PEFT gives to values
        if parameter.requires_grad:
            parameter.data = parameter.grad
    right = peft.get_peft_model_state_dict(theirs)
    assert found.keys() == right.keys()
    for one, gradient in found.items():
        assert gradient is not None
        assert distance(gradient, right[one]) < 1e-5, one


@both
@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({NAMES: {"id2label": {"0": "one", "2": "two"}}}, "one name to each of 0, 1, 2"),
        ({NAMES: {"id2label": {"0": "one", "1": "one"}}}, "one name to each of 0, 1, 2"),
        ({NAMES: {"id2label": {"0": "one", "1": 2}}}, "one name to each of 0, 1, 2"),
        ({NAMES: {"id2label": ["one"]}}, "no labels.json"),
        ({NAMES: {"id2label": {"0": "one", "1": "two"}}}, "has 3 rows, and labels.json names 2"),
        ({"adapter_config.json": {"modules_to_save": ["score", "embed_tokens"]}}, "modules_to_save is"),
        ({"adapter_config.json": {"modules_to_save": None}}, "modules_to_save is None"),
        ({"adapter_config.json": {"use_dora": True}}, "use_dora is set"),
    ],
)
def test_what_is_no_head_is_refused(
    name: str, changed: dict[str, dict[str, Any]], why: str, tmp_path: Path
) -> None:
    saved(name, tmp_path / "kept")
    for file in (storage.MANIFEST, "rung.json"):
        (tmp_path / "kept" / file).unlink()
    for file, values in changed.items():
        path = tmp_path / "kept" / file
        storage.write_json(path, json.loads(path.read_text()) | values)
    base = tiny()
    with pytest.raises(AdapterError, match=why):
        load_adapter(tmp_path / "kept", base.model, home(base))
