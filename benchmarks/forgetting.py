"""Does the measure of forgetting say what a tuned model lost? KL and agreement against general ability.

    python benchmarks/forgetting.py run [--adapters FOLDER]    measures what is missing; can be stopped
    python benchmarks/forgetting.py collect                    writes results/forgetting.json, then draws
    python benchmarks/forgetting.py draw                       fills docs/forgetting.md and draws its picture

`run` takes the plain base and the tuned models of `forgetting_models.py`, one after the other. Several
processes can share the work. For each model there is one JSON file under .work/forgetting:

    first    KL and agreement on the 32 general texts that `defaults.py` takes, 14 items a kind of rung's
             own suite, and the first part of the items of the public sets (`suites.py`)
    more     all of rung's own suite, and the second part of the items
    most     the third and the fourth part
    texts    KL and agreement on the other general texts

A stage is done for all models before the next one begins. `--adapters` is where `defaults.py` left its
adapters (default: in this checkout); models that are not there are trained.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import defaults
import suites
from forgetting_models import FOLDER, MODELS, Model, put, ready

from rung import device, storage
from rung.bases.base import Base
from rung.bases.catalog import cache_dir
from rung.compute.load import load
from rung.data.templates import Renderer
from rung.evaluation import forgetting, general_suite
from rung.evaluation.forgetting import Text
from rung.evaluation.run import Speaker
from rung.methods.method import Attached
from rung.methods.slots import slots_of

BASE_FILE = FOLDER / "base.json"
ITEMS = {  # of a part
    "minimal_pairs": 40,
    "arc_easy": 8,
    "siqa": 8,
    "piqa": 8,
    "copa": 12,
    "lambada": 12,
    "wikitext": 1,  # windows
}
PARTS = {"first": (0,), "more": (1,), "most": (2, 3)}  # by stage
STAGES = (*PARTS, "texts")
OWN_ITEMS = 14  # of each kind of rung's own suite, in the first stage
Record = dict[str, Any]


class Bench:
    """The base, and what is measured on it, with or without a tuned model."""

    def __init__(self) -> None:
        self.device = device.choose("fp32", 1)
        self.base: Base = load(defaults.BASE, dtype=self.device.dtype, device=str(self.device.device))
        self.speaker = Speaker(self.base, Renderer(self.base.tokenizer))
        texts = forgetting.reference(self.speaker.engine, self.speaker.renderer, cache_dir() / "general")
        self.texts, self.others = texts[: defaults.TEXTS], texts[defaults.TEXTS :]

    def own(self, limit: int | None = None) -> list[list[Any]]:
        scored = general_suite.score(self.speaker.engine, self.speaker.renderer, limit)
        return [[one.item, one.right, one.answer, one.margin] for one in scored.outcomes]

    def public(self, part: int) -> Record:
        """A value for each item of a part, by set."""
        found: Record = {}
        for name, count in ITEMS.items():
            values = suites.SETS[name](self.base, slice(part * count, (part + 1) * count))
            found |= {key: [round(float(one), 4) for one in value] for key, value in values.items()}
        return found

    def drift(self, attached: Attached, texts: Sequence[Text]) -> Record:
        kl, same = forgetting.drift(self.base, attached, texts)
        return {"texts": kl.n, "kl": kl.value, "low": kl.low, "high": kl.high, "agreement": same.value}

    def stage(self, name: str, record: Record, attached: Attached | None) -> None:
        """Measure what a stage asks for and put it into the record; the base has no drift."""
        steps: dict[str, Callable[[], Any]] = {}
        if attached is not None and name in ("first", "texts"):
            which, texts = ("drift", self.texts) if name == "first" else ("other texts", self.others)
            if which not in record:
                steps[which] = lambda: self.drift(attached, texts)
        if name in ("first", "more"):
            steps["own"] = lambda: self.own(OWN_ITEMS if name == "first" else None)
        for part in PARTS.get(name, ()):
            steps[f"part {part}"] = partial(self.public, part)
        for key, measure in steps.items():
            begun = time.process_time()
            record[key] = measure()
            record.setdefault("cpu_seconds", {})[key] = round(time.process_time() - begun, 1)


@contextmanager
def base_read_once() -> Iterator[None]:
    """While it lasts, what the plain base thinks of the general texts is computed once and kept (0.4 GB)."""
    own, kept = forgetting._log_probabilities, {}

    def read(base: Base, batch: Sequence[Text]) -> Any:
        if slots_of(base.model).on is not None:
            return own(base, batch)
        key = tuple((text.prompt, text.written) for text in batch)
        if key not in kept:
            kept[key] = list(own(base, batch))
        return kept[key]

    forgetting._log_probabilities = read
    try:
        yield
    finally:
        forgetting._log_probabilities = own


def file_of(one: Model) -> Path:
    return FOLDER / f"{one.slug}.json"


def read(path: Path) -> Record:
    return json.loads(path.read_text()) if path.exists() else {"stages": []}


def run(adapters: Path, stages: Sequence[str], names: Sequence[str]) -> None:
    """All stages of the models that are missing; runs of the study that must be repeated come last."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    bench = Bench()
    some = [one for one in MODELS if not names or one.name in names]
    for stage in stages:
        with claimed(BASE_FILE) as mine:
            record = read(BASE_FILE)
            if mine and stage not in record["stages"]:
                _measure(bench, stage, record, None, BASE_FILE)
        with base_read_once():
            while missing := [one for one in some if stage not in read(file_of(one))["stages"]]:
                if not any(_one(bench, stage, one, adapters) for one in _ordered(missing, adapters)):
                    break  # the rest is in work in other processes


def _ordered(missing: Sequence[Model], adapters: Path) -> list[Model]:
    return sorted(missing, key=lambda one: one.long and not ready(one, adapters))


def _one(bench: Bench, stage: str, one: Model, adapters: Path) -> bool:
    """Measure a model; False where another process has it."""
    with claimed(file_of(one)) as mine:
        record = read(file_of(one))
        if not mine or stage in record["stages"]:
            return False
        begun = time.monotonic()
        attached, facts = put(bench.base, one, adapters)
        try:
            if "drift" in facts:  # the study measured it, on the same texts
                record["drift"] = facts.pop("drift")
            record |= {"model": asdict(one), "training": facts}
            _measure(bench, stage, record, attached, file_of(one))
        finally:
            attached.detach()
    about = record.get("drift", {})
    print(stage, one.name, about, record["cpu_seconds"], f"{time.monotonic() - begun:.0f} s", flush=True)
    return True


def _measure(bench: Bench, stage: str, record: Record, attached: Attached | None, path: Path) -> None:
    bench.stage(stage, record, attached)
    record["stages"].append(stage)
    record["date"] = time.strftime("%Y-%m-%d", time.gmtime())
    storage.write_json(path, record)


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether this process may work on the file; a claim of a process that has ended does not count."""
    claim = path.with_suffix(".claim")
    try:
        owner = int(claim.read_text() or 0)
        os.kill(owner, 0)
    except (OSError, ValueError):
        claim.unlink(missing_ok=True)
    try:
        with open(claim, "x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        yield False
        return
    try:
        yield True
    finally:
        claim.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Forgetting against general ability.")
    parser.add_argument("what", choices=("run", "collect", "draw"))
    parser.add_argument("--adapters", type=Path, default=defaults.FOLDER / "adapters")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--only", nargs="+", default=(), help="names of models")
    asked = parser.parse_args()
    if asked.what == "run":
        run(asked.adapters, asked.stages, asked.only)
        return
    import forgetting_results

    if asked.what == "collect":
        forgetting_results.collect()
    forgetting_results.draw()


if __name__ == "__main__":
    main()
