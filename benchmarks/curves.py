"""rung's side of time_to_score.py, a process for each run: rows, trainings, the race, and the one scorer.

Settings: kind, base, dtype (bf16 | fp32), folder (of a data set: what `rows` writes and the others read) and
  rows:  data, test (or null), tokens (of the train rows), dev_rows. Writes train.jsonl, which ends with
         `WARM` rows to warm up, dev.jsonl, general.jsonl and about.json;
  train: rows, learning_rate, top_layers (share of the layers, or null: all), keep (whether with rung's
         penalty on moving away from the base), looks (how many), adapters (a folder, or null);
  race:  rows (of which the winner has seen half at the end), keep;
  score: adapters (folders in PEFT's format, by name; "" is the base alone), and labels (also ask for labels).

What is timed is training, and what rung needs for it and a peer does not: reading general texts, and the
frozen layers. Writing the general texts is done once for a base, in `rows`, and is not timed.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import torch
from ours import PACKAGES, rendered
from peers import measure

from rung import device
from rung.bases.base import Base
from rung.compute.load import load
from rung.ladder import general, race_rules
from rung.ladder.forecast import FEWEST_STEP_ROWS, MOST_STEP_ROWS, STEPS
from rung.ladder.race_rules import Arm
from rung.methods import METHODS
from rung.methods.adapter import Adapter
from rung.methods.method import Attached
from rung.methods.origin import Home
from rung.methods.peft_format import files_of, load_adapter
from rung.records import Rendered
from rung.storage import write_folder
from rung.train.keep import General, Keep
from rung.train.loss import count_targets, row_losses
from rung.train.optim import Diverged
from rung.train.trainer import Trainer, TrainSettings

WARM = 8  # rows
LORA = METHODS["lora"]
RATES = (0.5, 1.0, 2.0, 4.0)  # times LoRA's own, in the race: with all layers, and with the top half
SHARE, DEV_ROWS = 8, 24  # the first round of the race reads an eighth of the rows; arms are compared on these
Settings = dict[str, Any]


def rows(s: Settings) -> dict[str, Any]:
    """Read and split the file as a climb does, and write its rows as tokens."""
    from rung.config import load_settings
    from rung.data.split import sample
    from rung.ladder.prepare import prepare
    from rung.ladder.understood import understand_data

    asked: dict[str, Any] = {"threads": 1, "precision": s["dtype"], "base": s["base"]}
    if s["test"]:
        asked["test"] = Path(s["test"])
    settings, _ = load_settings(None, asked)
    prepared = prepare(understand_data(Path(s["data"]), settings), settings)
    renderer, labels = prepared.speaker.renderer, prepared.task.labels
    train = list(prepared.split.train)
    random.Random(0).shuffle(train)
    some, tokens = [], 0
    while len(train) > WARM and tokens < s["tokens"]:
        some.append(prepared.rendered[train.pop(0).id])
        tokens += len(some[-1].ids)
    warm = [prepared.rendered[one.id] for one in train[:WARM]]
    dev = sample(prepared.split.dev, s["dev_rows"], 0)
    prompts = renderer.prompts(dev, [one.prompt for one in dev])
    folder = Path(s["folder"])
    _write(folder / "train.jsonl", [_tokens(row) for row in (*some, *warm)])
    _write(
        folder / "dev.jsonl",
        [
            {**_tokens(prepared.rendered[one.id]), "prompt": list(ids), "target": one.target}
            for one, ids in zip(dev, prompts, strict=True)
        ],
    )
    kept = general.written_rows(prepared, general.wanted(tokens, prepared.settings.general_share))
    _write(folder / "general.jsonl", [_tokens(row) for row in kept])
    about = {
        "rows": len(some),
        "tokens": tokens,
        "target_tokens": count_targets(some),
        "dev_rows": len(dev),
        "labels": list(labels),
        "choices": [list(renderer.completion_ids(label)) for label in labels],
        "share": prepared.settings.general_share,
    }
    (folder / "about.json").write_text(json.dumps(about) + "\n")
    return about


def train(base: Base, s: Settings) -> dict[str, Any]:
    """One training with rung's defaults for a run this long, but for rate and layers."""
    some, warm = map(rendered, measure.training_rows({**s, "data": _file(s, "train"), "warmup_rows": WARM}))
    memory = measure.Memory(base.model.parameters())
    depth = base.model.config.get_text_config().num_hidden_layers
    arm = Arm(s["learning_rate"], s["top_layers"] and round(s["top_layers"] * depth))
    with TemporaryDirectory(prefix="rung-") as folder:
        _trained(base, warm, Arm(0.0, arm.top_layers), _keep(base, s), Path(folder), None).detach()
    first = measure.age()
    looks = measure.Looks(())
    looks.begin()  # reading general texts counts
    keep = _keep(base, s)
    with TemporaryDirectory(prefix="rung-") as folder:
        attached = _trained(base, some, arm, keep, Path(folder), (looks, s))
    trainable = sum(p.numel() for p in attached.parameters())
    attached.detach()
    return {
        "unit": "tokens",
        "count": sum(len(row.ids) for row in some),
        "seconds": looks.points[-1]["seconds"],
        "memory": memory,
        "points": looks.points,
        "time_to_first_step": first,
        "applied": {"rows": len(some), **asdict(arm), "trainable": trainable, "kept": s["keep"]},
    }


def race(base: Base, s: Settings) -> dict[str, Any]:
    """Eight settings by successive halving, by the rules of a climb's race; they share rows, texts and trunk.

    Its looks at dev decide who goes on, so they count.
    """
    some, warm = map(rendered, measure.training_rows({**s, "data": _file(s, "train"), "warmup_rows": WARM}))
    dev = rendered(measure.read_rows(_file(s, "dev")))[:DEV_ROWS]
    memory = measure.Memory(base.model.parameters())
    half = base.model.config.get_text_config().num_hidden_layers // 2
    arms = [Arm(times * LORA.learning_rate, top) for times in RATES for top in (None, half)]
    with TemporaryDirectory(prefix="rung-") as folder:
        _trained(base, warm, Arm(0.0), _keep(base, s), Path(folder), None).detach()
    first = measure.age()
    looks = measure.Looks((1,))
    looks.begin()
    keep, ran = _keep(base, s), []
    states: dict[int, dict[str, torch.Tensor]] = {}
    left, seen = list(range(len(arms))), 0  # ranked, best first, and rows that an arm has seen
    with TemporaryDirectory(prefix="rung-") as shared:
        for most, new in race_rules.rounds(len(arms), max(1, len(some) // SHARE)):
            left = sorted(left[:most])
            losses: list[list[float]] = []
            for place in left:
                folder = Path(shared) / f"{seen}-{arms[place].top_layers}"
                now = some[seen : seen + new]
                try:
                    attached = _trained(base, now, arms[place], keep, folder, None, states.get(place))
                except Diverged:
                    losses.append([])
                else:
                    losses.append(row_losses(base.model, dev))
                    states[place] = attached.state()
                    attached.detach()
                loss = round(fmean(losses[-1]), 4) if losses[-1] else None
                ran.append({"arm": asdict(arms[place]), "rows": new, "loss": loss})
            left = [left[i] for i in race_rules.ranked([arms[place] for place in left], losses)]
            seen += new
    looks.step(1)
    if not left:
        raise SystemExit("all settings of the race diverged")
    return {
        "unit": "tokens",
        "count": sum(one["rows"] for one in ran) / len(some) * sum(len(row.ids) for row in some),
        "seconds": looks.points[0]["seconds"],
        "memory": memory,
        "points": looks.points,
        "time_to_first_step": first,
        "ran": ran,
        "won": {**asdict(arms[left[0]]), "share": None if arms[left[0]].top_layers is None else 0.5},
    }


def score(base: Base, s: Settings) -> dict[str, Any]:
    """Loss on dev in nats a target token, and the share of right labels, of each adapter."""
    read = measure.read_rows(_file(s, "dev"))
    dev, about = rendered(read), json.loads((Path(s["folder"]) / "about.json").read_text())
    home, found = Home(base.name, base.fingerprint, "", ""), {}
    for name, folder in s["adapters"].items():
        attached = load_adapter(Path(folder), base.model, home)[0] if folder else None
        try:
            losses = row_losses(base.model, dev)
            one: dict[str, Any] = {"loss": round(sum(losses) / count_targets(dev), 5)}
            if s["labels"] and about["labels"]:
                one["accuracy"] = round(_accuracy(base, read, about), 4)
        finally:
            if attached is not None:
                attached.detach()
        found[name] = one
    return {"scores": found}


def _accuracy(base: Base, dev: Sequence[dict[str, Any]], about: dict[str, Any]) -> float:
    from rung.generate.choose import log_likelihoods

    scores = log_likelihoods(base, [row["prompt"] for row in dev], about["choices"])
    right = [about["labels"][at] == row["target"] for at, row in zip(scores.argmax(1), dev, strict=True)]
    return fmean(map(float, right))


def _trained(
    base: Base,
    some: list[Rendered],
    arm: Arm,
    keep: Keep | None,
    folder: Path,
    watch: tuple[measure.Looks, Settings] | None,
    state: dict[str, torch.Tensor] | None = None,
) -> Attached:
    """LoRA after one epoch over `some` from `state`, or from its start; it stays attached."""
    options = {} if arm.top_layers is None else {"top_layers": arm.top_layers}
    attached = LORA.attach(base.model, LORA.make(options), seed=0)
    if state is not None:
        attached.load(state)
    wanted = min(MOST_STEP_ROWS, max(FEWEST_STEP_ROWS, len(some) / STEPS))
    settings = TrainSettings(
        learning_rate=arm.rate,
        epochs=1,
        step_tokens=round(wanted * fmean(len(row.ids) for row in some)),
        evaluations=0,
    )
    listener = None if watch is None else _Listener(*watch, attached)
    trainer = Trainer(base.model, attached, some, [], settings, folder, listener, keep)
    if listener is not None:
        listener.looks.at = measure.spread(len(trainer.plan), listener.settings["looks"])
    try:
        trainer.finish()
    except BaseException:
        attached.detach()
        raise
    return attached


class _Listener:
    """Hears of every step, and keeps the adapter at looks where there is a folder for it."""

    def __init__(self, looks: measure.Looks, s: Settings, attached: Attached) -> None:
        self.looks, self.settings, self.attached = looks, s, attached
        if s["adapters"]:
            looks.keep = self.keep

    def step(self, done: int, total: int, loss: float, tokens_per_second: float, seconds_left: float) -> None:
        self.looks.step(done)

    def keep(self, step: int) -> None:
        adapter = Adapter.of(LORA, self.attached, {"base": self.settings["base"]}, copy=False)
        folder = Path(self.settings["adapters"]) / f"step-{step}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_folder(folder, files_of(adapter, self.settings["base"]))


def _keep(base: Base, s: Settings) -> Keep | None:
    """rung's penalty on moving away from the base, as it is by default, where it is asked for."""
    if not s["keep"]:
        return None
    share = json.loads((Path(s["folder"]) / "about.json").read_text())["share"]
    some = rendered(measure.read_rows(_file(s, "general")))
    return Keep(General.of(base.model, some), general.KL_PENALTY, share=share)


def _tokens(row: Rendered) -> dict[str, Any]:
    return {"ids": list(row.ids), "mask": list(row.mask)}


def _file(s: Settings, name: str) -> str:
    return str(Path(s["folder"]) / f"{name}.jsonl")


def _write(path: Path, found: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")


KINDS: dict[str, Callable[[Base, Settings], dict[str, Any]]] = {"train": train, "race": race}


def main() -> None:
    s = measure.settings()
    if s["kind"] == "rows":
        print("\n" + json.dumps(rows(s)))
        return
    chosen = device.choose(s["dtype"], int(os.environ["OMP_NUM_THREADS"]))
    base = load(s["base"], dtype=chosen.dtype, device=str(chosen.device))
    if s["kind"] == "score":
        print("\n" + json.dumps(score(base, s)))
    else:
        measure.report(s, packages=PACKAGES, **KINDS[s["kind"]](base, s))


if __name__ == "__main__":
    main()
