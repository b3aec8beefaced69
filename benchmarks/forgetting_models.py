"""The tuned models that `forgetting.py` measures: of several methods, rates, lengths and data sets.

Some are LoRAs of the study of settings (`defaults.py`). Their adapters are read where that study has left
them; the others are trained here with the same settings. The rest are trained here, each for a few thousand
tokens and without general texts, and kept in the state after the last step, however bad that is: the models
are to differ in how much they forgot.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import defaults
from common import BASE, HERE

from rung.bases.base import Base
from rung.config import load_settings
from rung.data.split import sample
from rung.ladder.divide import divide
from rung.ladder.prepare import on_base
from rung.ladder.understood import understand_data
from rung.methods import METHODS, on_disk
from rung.methods.method import Attached
from rung.methods.on_disk import OnDisk
from rung.methods.origin import Home
from rung.methods.peft_format import read_adapter
from rung.train.trainer import Trainer, TrainSettings

FOLDER = HERE / ".work" / "forgetting"
STATES = FOLDER / "states"
SETS = defaults.SETS | {
    "instructions-broad": ("instructions-broad/train.jsonl", None),
    "knowledge-authors": ("knowledge-authors/train.jsonl", None),
}
LONGEST = 256  # tokens of a row that is trained on
TOKENS, STEP_TOKENS = 1_280, 128
Facts = dict[str, Any]


@dataclass(frozen=True)
class Model:
    """A tuned model: a run of the study of settings, one that is trained here, or a weaker form of one."""

    name: str
    data: str
    setting: str = ""  # of `defaults.SETTINGS`; empty: trained here
    method: str = "lora"
    learning_rate: float = 0.0
    tokens: int = TOKENS
    options: Mapping[str, Any] = field(default_factory=dict)
    strength: float = 1.0
    of: str = ""  # the model whose change this one has, `strength` times

    @property
    def long(self) -> bool:
        """Whether its training takes minutes: that of a run of the study."""
        return bool(self.setting) or bool(self.of and BY_NAME[self.of].setting)

    @property
    def slug(self) -> str:
        return self.name.replace(",", "").replace(" ", "_")


def study(data: str, setting: str) -> Model:
    """A LoRA of the study's first round."""
    return Model(f"LoRA {setting}, {data}", data, setting)


def own(method: str, rate: float, data: str, tokens: int = TOKENS, **options: Any) -> Model:
    length = "" if tokens == TOKENS else f", {tokens} tokens"
    title = {"lora": "LoRA", "ia3": "IA3"}.get(method, method)
    return Model(f"{title} {rate:g}, {data}{length}", data, "", method, rate, tokens, options)


def weaker(one: Model, strength: float) -> Model:
    return Model(
        f"{one.name}, strength {strength:g}",
        one.data,
        method=one.method,
        learning_rate=one.learning_rate,
        tokens=one.tokens,
        options=one.options,
        strength=strength,
        of=one.name,
    )


_LORA = {"rank": 16, "alpha": 32.0}
_HIGH = own("lora", 8e-3, "sentiment-reviews", **_LORA)
_CALLS = own("lora", 8e-3, "api-torchhub", **_LORA)
_PLAIN = study("helpdesk", "plain, 2e-3")
MODELS = (  # mixed, so that the first ones stand for all
    study("helpdesk", "centre"),
    _HIGH,
    study("sentiment-reviews", "plain, 2e-3"),
    own("full", 2e-4, "helpdesk"),
    study("translation-en-fr", "plain, 2e-3"),
    own("ia3", 1e-2, "translation-en-fr"),
    study("extraction-snips", "centre"),
    own("full", 1e-3, "sentiment-reviews"),
    _PLAIN,
    weaker(_HIGH, 0.5),
    study("translation-en-fr", "4e-3"),
    own("bottleneck", 2e-3, "extraction-snips"),
    study("sentiment-reviews", "centre"),
    study("extraction-snips", "plain, 2e-3"),
    study("helpdesk", "4e-3"),
    own("prefix", 1e-2, "helpdesk"),
    _CALLS,
    study("sentiment-reviews", "4e-3"),
    study("translation-en-fr", "centre"),
    own("bitfit", 3e-3, "api-torchhub"),
    study("helpdesk", "plain"),
    own("lora", 4e-3, "instructions-broad", **_LORA),
    study("extraction-snips", "4e-3"),
    weaker(_PLAIN, 0.5),
    weaker(_HIGH, 0.25),
    own("full", 2e-4, "knowledge-authors"),
    weaker(_CALLS, 0.5),
    study("sentiment-reviews", "plain"),
    own("lora", 2e-3, "translation-en-fr", 4_000, **_LORA),
    study("helpdesk", "5e-4"),
    study("translation-en-fr", "plain"),
    study("extraction-snips", "5e-4"),
    study("helpdesk", "top quarter, 2e-3"),
    own("lora", 1e-3, "instructions-broad", **_LORA),
    study("sentiment-reviews", "2e-3"),
    study("extraction-snips", "plain"),
)
BY_NAME = {one.name: one for one in MODELS}


def ready(one: Model, adapters: Path) -> bool:
    """Whether it can be put on a base without a training."""
    if one.of:
        return ready(BY_NAME[one.of], adapters)
    return bool(_adapter(one, adapters)) if one.setting else _state(one).exists()


def put(base: Base, one: Model, adapters: Path) -> tuple[Attached, Facts]:
    """Attach it to the base, trained first where it has to be; and what is known of its training.

    `adapters`: where the study of settings left its adapters.
    """
    source = BY_NAME[one.of] if one.of else one
    if source.setting:
        folder = _adapter(source, adapters) or _repeat(source)
        adapter, _ = read_adapter(folder, Home(base.name, base.fingerprint, "", ""))
        attached = adapter.method.attach(base.model, adapter.settings)
        attached.load_scaled(adapter.tensors, one.strength)
        return attached, _of_study(one, source, folder)
    if not _state(source).exists():
        _train(base, source)
    method = METHODS[source.method]
    attached = method.attach(base.model, method.make(source.options))
    attached.load_scaled(OnDisk(_state(source)), one.strength)
    return attached, json.loads(_state(source).with_suffix(".json").read_text())


def _job(one: Model) -> defaults.Job:
    setting = next(setting for setting in defaults.SETTINGS if setting.name == one.setting)
    return defaults.Job(0, one.data, setting)


def _adapter(one: Model, adapters: Path) -> Path | None:
    """The folder of its adapter: the study's, or the one of an earlier training here."""
    name = _job(one).file.stem
    folders = (adapters / name, defaults.FOLDER / "adapters" / name)
    return next((folder for folder in folders if folder.is_dir()), None)


def _repeat(one: Model) -> Path:
    """Train it as the study does, where the study's files are in this checkout."""
    job = _job(one)
    record = defaults.run(job)
    defaults.of_name.cache_clear()  # a base of its own
    half = job.file.with_suffix(".half")
    half.write_text(json.dumps(record))
    half.rename(job.file)
    return defaults.FOLDER / "adapters" / job.file.stem


def _of_study(one: Model, source: Model, folder: Path) -> Facts:
    setting = _job(source).setting
    facts: Facts = {"learning_rate": setting.learning_rate, "kl_penalty": setting.weight}
    record = folder.parents[1] / f"{folder.name}.json"
    if record.exists():
        kept = json.loads(record.read_text())
        facts |= {key: kept[key] for key in ("rows", "steps", "best_step", "tokens", "cpu_seconds")}
        if one is source:
            facts["drift"] = {"texts": defaults.TEXTS, "kl": kept["kl"], "agreement": kept["agreement"]}
    return facts


def _state(one: Model) -> Path:
    return STATES / f"{one.slug}.safetensors"


def _train(base: Base, one: Model) -> None:
    """Train it on about `tokens` tokens and keep its last state."""
    rows = _rows(base, one)
    method = METHODS[one.method]
    attached = method.attach(base.model, method.make(one.options))
    settings = TrainSettings(
        learning_rate=one.learning_rate, epochs=1, step_tokens=STEP_TOKENS, evaluations=0
    )
    try:
        trainer = Trainer(base.model, attached, rows, rows[:1], settings)
        seconds = sum(step.seconds for step in trainer.steps(_cpu))
        facts = {
            "learning_rate": one.learning_rate,
            "kl_penalty": 0.0,
            "rows": len(rows),
            "steps": trainer.progress.step,
            "tokens": trainer.progress.tokens,
            "cpu_seconds": round(seconds, 1),
        }
        STATES.mkdir(parents=True, exist_ok=True)
        _state(one).with_suffix(".json").write_text(json.dumps(facts))
        half = _state(one).with_suffix(f".{os.getpid()}")
        on_disk.write(attached.state(copy=False), half)
        half.rename(_state(one))
    finally:
        attached.detach()


def _cpu() -> float:
    return sum(os.times()[:2])


def _rows(base: Base, one: Model) -> Sequence[Any]:
    """Train rows of `one.data`, as many as have its tokens, about."""
    train, test = SETS[one.data]
    asked: Facts = {"threads": 1, "precision": "fp32", "base": BASE}
    asked |= {"test": defaults.DATA / test} if test else {}
    settings, _ = load_settings(None, asked)
    found = understand_data((defaults.DATA / train).resolve(), settings, None)
    prepared = on_base(divide(found, settings), base)
    short = [row for row in prepared.split.train if len(prepared.rendered[row.id].ids) <= LONGEST]
    mean = fmean(len(prepared.rendered[row.id].ids) for row in short)
    some = sample(tuple(short), min(len(short), max(1, round(one.tokens / mean))), 0)
    return [prepared.rendered[row.id] for row in some]
