"""A classifier head: a trained linear layer on the last hidden state of a prompt's last token.

    z = W h_T     loss = sum over rows of  logsumexp(z) - z[label]          W (labels, d)

h_T is what the base puts out for the last token, after its last norm. This is the form of transformers'
sequence classification, without a bias. W begins at 0 here; the ladder fits a linear probe on the same states
first, since fine-tuning from a head that knows nothing distorts what the base knows (Kumar et al. 2022, arXiv
2202.10054). The base is left as it is: `rung.methods.head_lora` has LoRA below the head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear
from transformers import PreTrainedModel

from rung import storage
from rung.compute import body
from rung.compute.ends import Below, ends
from rung.errors import UsageError
from rung.methods.adapter import Adapter, PlainFormat, Unreadable, require
from rung.methods.method import Attached, Files, Method, MethodSettings, Objective, Promises
from rung.methods.origin import LABELS
from rung.methods.peft_keys import refuse_others
from rung.methods.slots import ONLY, slots_of
from rung.records import Rendered
from rung.setting_values import Names

SCORE = "score.weight"  # its name in transformers' models
SEQUENCE = "SEQ_CLS"  # PEFT's name for the kind of task
OF_A_HEAD = {"modules_to_save", "id2label"}  # keys of a configuration
_NO_LAYERS = "dummy-target-modules"  # PEFT's word for an adapter of no layer at all
_WITHOUT_LAYERS = {
    "r",
    "lora_alpha",
    "lora_dropout",
    "init_lora_weights",
    "megatron_core",
    "qalora_group_size",
}


class HeadSettings(MethodSettings):
    """What can be asked of a head."""

    labels: Names = Field(default=(), description="The labels; a climb gives those of its task.")


class LabelHead:
    """W over the states of a model; the `rung.methods.method.Objective` of labels."""

    def __init__(self, model: PreTrainedModel, labels: int) -> None:
        wide = torch.promote_types(model.dtype, torch.float32)
        width: int = model.config.get_text_config().hidden_size
        self.weight = nn.Parameter(torch.zeros(labels, width, dtype=wide, device=model.device))

    def logits(self, states: Tensor) -> Tensor:
        """States (rows, d) -> (rows, labels), in W's format."""
        return linear(states.to(self.weight.dtype), self.weight)

    def loss(self, model: PreTrainedModel, rows: Sequence[Rendered], below: Below | None = None) -> Tensor:
        """Cross-entropy in nats over the labels, summed over `rows`, each of which has one."""
        truth = torch.tensor([row.label for row in rows], device=model.device)
        found = self.logits(ends(model, [row.ids for row in rows], below))
        return cross_entropy(found, truth, reduction="sum")

    def count(self, rows: Sequence[Rendered]) -> int:
        return len(rows)

    def facts(self) -> dict[str, Any]:
        return {}


class Classifies:
    """What the methods with a head share; for an `Attached`."""

    head: LabelHead
    settings: Any

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of each row of W."""
        names: tuple[str, ...] = self.settings.labels
        return names

    def objective(self) -> Objective | None:
        return self.head

    def applied(self) -> dict[str, Any]:
        """Without the labels, which are the task's."""
        return {name: value for name, value in super().applied().items() if name != "labels"}  # type: ignore[misc]

    def merge(self) -> None:
        raise UsageError(
            "a head for labels cannot be merged: it is no part of the base",
            fix="Use the adapter next to its base",
        )


class Head(Classifies, Attached):
    """A head alone; see `rung.methods.method.Attached`."""

    def __init__(self, model: Any, settings: HeadSettings, seed: int = 0, slot: str = ONLY) -> None:
        require_labels(settings.labels)
        super().__init__(model, settings, slot)
        model.requires_grad_(False)
        self.head = LabelHead(model, len(settings.labels))
        slots_of(model).take(self)

    def named(self) -> dict[str, Tensor]:
        return {SCORE: self.head.weight}

    def parameters(self) -> list[nn.Parameter]:
        return [self.head.weight]

    def frozen_layers(self) -> int:
        return body.depth(self.model)

    def switch(self, on: bool) -> None:
        """The base's forward pass is the same in both cases."""

    def remove(self) -> None:
        """Nothing was put into the model."""


class LabelFormat(PlainFormat):
    """What the formats of heads share: a row of W for each label, and a file of its own with their names."""

    def from_file(self, tensors: Mapping[str, Tensor], settings: Any) -> dict[str, Tensor]:
        found = super().from_file(tensors, settings)
        rows, labels = len(found.get(SCORE, ())), len(settings.labels)
        require(rows == labels, f"{SCORE} has {rows} rows, and {LABELS} names {labels} labels")
        return found

    def files(self, adapter: Adapter) -> Files:
        """The names of the labels, which PEFT keeps in no file of its own."""
        labels: Sequence[str] = adapter.settings.labels  # type: ignore[attr-defined]
        by_name = {label: place for place, label in enumerate(labels)}
        by_place = {str(place): label for place, label in enumerate(labels)}
        return {LABELS: storage.as_json({"id2label": by_place, "label2id": by_name})}


class HeadFormat(LabelFormat):
    """PEFT's LoRA of no layer, with the head as a module that is saved whole."""

    peft_type = "LORA"

    def config(self, adapter: Adapter) -> dict[str, Any]:
        return {
            "task_type": SEQUENCE,
            "r": 1,
            "lora_alpha": 1,
            "target_modules": _NO_LAYERS,
            "modules_to_save": ["score"],
        }

    def claims(self, config: Mapping[str, Any]) -> bool:
        return config.get("task_type") == SEQUENCE and config.get("target_modules") == _NO_LAYERS

    def settings(self, config: Mapping[str, Any]) -> HeadSettings:
        refuse_others(config, OF_A_HEAD | _WITHOUT_LAYERS | {"target_modules", "bias"})
        require(config.get("bias", "none") == "none", "it trains biases, which rung does not read")
        return HeadSettings(labels=labels_in(config))


def require_labels(labels: Sequence[str]) -> None:
    """Raises `UsageError` unless there are labels, each once."""
    if not labels or len(set(labels)) < len(labels):
        what = "no labels" if not labels else "a label twice"
        raise UsageError(f"a classifier head was given {what}", fix="It is for a task with a list of labels")


def labels_in(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels of an adapter, in the order of W's rows. Raises `Unreadable`."""
    saved, names = config.get("modules_to_save"), config.get("id2label")
    fine = isinstance(saved, list) and "score" in saved and set(saved) <= {"score", "classifier"}
    require(fine, f"modules_to_save is {saved!r}, and a head for labels is called score")
    if not isinstance(names, dict) or not names:
        raise Unreadable(f"no {LABELS} with id2label says what the labels are called")
    labels = [names.get(str(place)) for place in range(len(names))]
    fine = all(isinstance(label, str) for label in labels) and len(set(labels)) == len(labels)
    require(fine, f"id2label in {LABELS} must give one name to each of 0, 1, 2, ...")
    return tuple(map(str, labels))


METHOD = Method(
    name="head",
    title="a classifier head",
    when="Labels, and no time to tune: the base stays as it is, and an answer is one pass over the prompt.",
    Settings=HeadSettings,
    learning_rate=1e-4,
    attach=Head,
    format=HeadFormat(),
    promises=Promises(identity_at_start=False, mergeable=False, moves_base=False),
    classifies=True,
)
