"""Which settings tune best: many short trainings on several data sets, the better half of them longer.

    python benchmarks/defaults.py run [--worker 0 --of 2]     run what is missing; can be stopped
    python benchmarks/defaults.py collect                     writes results/defaults.json from what has run

Every run of a round gets the same work: what a LoRA at all layers computes for so many tokens. A setting that
computes less for a token sees more tokens. Settings are compared on dev rows, data set by data set: lower
loss wins where the difference is more than its standard error, else less forgetting wins. The settings that
win most often go to the next round.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from common import HERE, RESULTS

DATA = Path(os.environ.get("RUNG_DATA", HERE.parents[1] / "shared" / "data"))
FOLDER = HERE / ".work" / "defaults"
PAGE = HERE.parent / "docs" / "defaults.md"
BASE = "smollm2-135m-instruct"
SETS = {
    "helpdesk": (str(HERE.parent / "examples" / "helpdesk" / "messages.csv"), None),
    "sentiment-reviews": ("sentiment-reviews/train.csv", "sentiment-reviews/test.csv"),
    "extraction-snips": ("extraction-snips/train.jsonl", "extraction-snips/test.jsonl"),
    "translation-en-fr": ("translation-en-fr/train.jsonl", "translation-en-fr/test.jsonl"),
}
DEV_ROWS, TEXTS = 96, 32
ROUNDS = (8_000, 20_000)  # tokens of a LoRA at all layers
PLACES = (0, 3)  # settings in a round; 0: all
Record = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """What is varied."""

    name: str
    learning_rate: float = 1e-3
    steps: int = 64  # optimizer steps, where a step then has 1 to 64 rows
    layers: float = 1.0  # share of the layers that are tuned, from the top
    rank: int = 16
    dropout: float = 0.0
    weight_decay: float = 0.0
    lora_plus: float = 1.0
    epochs: float = 1.0  # at least
    weight: float = 1.0  # of the divergence from the base on general texts
    share: float = 0.1  # of general texts among the tokens
    first: int = 0  # the round in which it is first run: later for one that an earlier round suggested


SETTINGS = (
    Setting("centre"),
    Setting("5e-4", 5e-4),
    Setting("2e-3", 2e-3),
    Setting("4e-3", 4e-3),
    Setting("plain", weight=0),
    Setting("plain, 2e-3", 2e-3, weight=0),
    Setting("32 steps", steps=32),
    Setting("128 steps", steps=128),
    Setting("top half", layers=0.5),
    Setting("top half, 2e-3", 2e-3, layers=0.5),
    Setting("top quarter, 2e-3", 2e-3, layers=0.25),
    Setting("rank 4", rank=4),
    Setting("top half, 2e-3, 128 steps", 2e-3, steps=128, layers=0.5, first=1),
    Setting("top half, 1e-3, 128 steps", steps=128, layers=0.5, first=1),
    Setting("three quarters, 1.5e-3, 128 steps", 1.5e-3, steps=128, layers=0.75, first=1),
    Setting("2e-3, 128 steps", 2e-3, steps=128, first=1),
)


@dataclass(frozen=True)
class Job:
    """One run."""

    round: int
    data: str
    setting: Setting
    seed: int = 0

    @property
    def file(self) -> Path:
        name = f"{self.round}-{self.data}-{self.setting.name}-{self.seed}".replace(" ", "_").replace(",", "")
        return FOLDER / f"{name}.json"


class Set:
    """A data set, ready for training."""

    def __init__(self, name: str) -> None:
        from rung.bases.catalog import cache_dir
        from rung.config import load_settings
        from rung.data.split import sample
        from rung.evaluation import forgetting
        from rung.ladder.general import MOST, written_rows
        from rung.ladder.prepare import prepare
        from rung.ladder.understood import understand_data
        from rung.train.keep import General

        train, test = SETS[name]
        asked: Record = {"threads": 1, "precision": "fp32", "base": BASE}
        asked |= {"test": DATA / test} if test else {}
        settings, _ = load_settings(None, asked)
        self.prepared = prepare(understand_data((DATA / train).resolve(), settings, None), settings)
        speaker, folder = self.prepared.speaker, cache_dir() / "general"
        self.texts = forgetting.reference(speaker.engine, speaker.renderer, folder)[:TEXTS]
        self.general = General.of(self.prepared.base.model, written_rows(self.prepared, MOST))
        self.dev = sample(self.prepared.split.dev, DEV_ROWS, 0)


@cache
def of_name(name: str) -> Set:
    return Set(name)


def run(job: Job) -> Record:
    """Train, and measure on dev and on general texts."""
    from rung.data.split import sample
    from rung.evaluation import forgetting
    from rung.methods import METHODS
    from rung.methods.adapter import Adapter
    from rung.methods.peft_format import files_of
    from rung.storage import write_folder
    from rung.train.keep import Keep
    from rung.train.loss import row_losses
    from rung.train.trainer import Trainer, TrainSettings

    data, s = of_name(job.data), job.setting
    prepared, method = data.prepared, METHODS["lora"]
    train, rendered = prepared.split.train, prepared.rendered
    length = fmean(len(rendered[one.id].ids) for one in train)
    depth = prepared.base.model.config.get_text_config().num_hidden_layers
    layers = round(s.layers * depth)
    rows, epochs = sized(ROUNDS[job.round] / length, len(train), s)
    options: Record = {"rank": s.rank, "alpha": 2.0 * s.rank, "dropout": s.dropout, "lora_plus": s.lora_plus}
    if layers < depth:
        options["top_layers"] = layers
    attached = method.attach(prepared.base.model, method.make(options), seed=job.seed)
    settings = TrainSettings(
        learning_rate=s.learning_rate,
        epochs=epochs,
        step_tokens=round(length * min(64.0, max(1.0, rows * epochs / s.steps))),
        weight_decay=s.weight_decay,
        seed=job.seed,
        evaluations=2,
    )
    try:
        some = [rendered[one.id] for one in sample(train, rows, job.seed)]
        looked = [rendered[one.id] for one in data.dev[: DEV_ROWS // 2]]
        keep = Keep(data.general, s.weight, share=s.share, seed=job.seed)
        begun = time.process_time()
        outcome = Trainer(prepared.base.model, attached, some, looked, settings, keep=keep).run()
        seconds = time.process_time() - begun
        kl, same = forgetting.drift(prepared.base, attached, data.texts)
        losses = row_losses(prepared.base.model, [rendered[one.id] for one in data.dev])
        scores = label_scores(data)
        write_folder(
            FOLDER / "adapters" / job.file.stem,
            files_of(Adapter.of(method, attached, {"base": BASE}, copy=False), BASE),
        )
    finally:
        attached.detach()
    return {
        "round": job.round,
        "data": job.data,
        "setting": s.name,
        "seed": job.seed,
        "rows": rows,
        "epochs": round(epochs, 2),
        "steps": outcome.steps,
        "best_step": outcome.best_step,
        "tokens": outcome.tokens,
        "cpu_seconds": round(seconds, 1),
        "loss": round(fmean(losses), 4),
        "losses": [round(one, 3) for one in losses],
        "kl": round(kl.value or 0.0, 4),
        "agreement": round(same.value or 0.0, 4),
        **scores,
    }


def sized(rows: float, most: int, s: Setting) -> tuple[int, float]:
    """Rows and epochs for the work of `rows` rows, one epoch of a LoRA at all layers.

    A row costs two forward passes of the body for each epoch with all layers; with the top share k of them it
    costs (1 - k) once, and 2 k for each epoch (`rung.train.trunk`).
    """
    k = s.layers
    once, each = ((1 - k) / 2, k) if k < 1 else (0.0, 1.0)
    wanted = rows / (once + each * s.epochs)
    if wanted <= most:
        return max(1, round(wanted)), s.epochs
    return most, (rows / most - once) / each


def label_scores(data: Set) -> Record:
    """Where the task has labels: the share of dev rows whose label is the most likely one."""
    from rung.generate.choose import log_likelihoods

    prepared = data.prepared
    labels = prepared.task.labels
    if not labels:
        return {}
    renderer = prepared.speaker.renderer
    ids = renderer.prompts(data.dev, [one.prompt for one in data.dev])
    scores = log_likelihoods(prepared.base, ids, [renderer.completion_ids(label) for label in labels])
    right = [labels[at] == one.target for at, one in zip(scores.argmax(1), data.dev, strict=True)]
    return {"accuracy": round(fmean(map(float, right)), 4)}


def jobs(records: Sequence[Record]) -> Iterator[Job]:
    """What is to be run, round by round; ends where a round has runs missing."""
    for number, places in enumerate(PLACES):
        names = [setting.name for setting in SETTINGS if setting.first == number]
        if places:
            names += list(ranking(records, number - 1))[:places]
        wanted = [
            Job(number, data, setting) for data in SETS for setting in SETTINGS if setting.name in names
        ]
        yield from wanted
        if any(not job.file.exists() for job in wanted):
            return


def ranking(records: Sequence[Record], number: int) -> dict[str, float]:
    """Settings of a round, best first: the mean share of the others that each beats on a data set."""
    shares: dict[str, list[float]] = {}
    for data in SETS:
        own = {one["setting"]: one for one in records if (one["round"], one["data"]) == (number, data)}
        for name, one in own.items():
            others = [wins(one, other) for key, other in own.items() if key != name]
            if others:
                shares.setdefault(name, []).append(fmean(others))
    means = {name: fmean(some) for name, some in shares.items()}
    return dict(sorted(means.items(), key=lambda one: -one[1]))


def wins(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """1 where `one` is better, 0 where `other` is; by dev loss where that differs clearly, else by drift."""
    differences = [a - b for a, b in zip(one["losses"], other["losses"], strict=True)]
    error = stdev(differences) / len(differences) ** 0.5
    middle = fmean(differences)
    if abs(middle) > error:
        return float(middle < 0)
    return float(one["kl"] < other["kl"]) if one["kl"] != other["kl"] else 0.5


def read() -> list[Record]:
    return [json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))]


def work(worker: int, of: int) -> None:
    """Run the part of the jobs that is this worker's, and wait for the others' between rounds."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    while True:
        every = list(jobs(read()))
        missing = [job for job in every if not job.file.exists()]
        if not missing:
            return
        sets = list(SETS)
        own = [job for job in missing if sets.index(job.data) % of == worker] or missing[::-1]
        job = own[0]
        claim = job.file.with_suffix(".running")
        if claim.exists() and time.time() - claim.stat().st_mtime < 1800:
            own = [one for one in missing if not one.file.with_suffix(".running").exists()]
            if not own:
                time.sleep(5)
                continue
            job = own[-1]
            claim = job.file.with_suffix(".running")
        claim.touch()
        begun = time.monotonic()
        record = run(job)
        half = job.file.with_suffix(".half")
        half.write_text(json.dumps(record))
        half.rename(job.file)
        claim.unlink()
        about = {key: record[key] for key in ("steps", "cpu_seconds", "loss", "kl", "agreement")}
        print(job.file.stem, about, record.get("accuracy"), f"{time.monotonic() - begun:.0f} s", flush=True)


def collect() -> None:
    """Write results/defaults.json from what has run, and draw it."""
    from common import machine

    result = {
        "title": "Settings of LoRA at equal work",
        "date": date.today().isoformat(),
        "machine": machine(),
        "base": BASE,
        "rounds": ROUNDS,
        "settings": [asdict(setting) for setting in SETTINGS],
        "runs": read(),
    }
    name = "defaults" if FOLDER.name == "defaults" else f"defaults_{BASE}"
    (RESULTS / f"{name}.json").write_text(json.dumps(result) + "\n")
    if name == "defaults":
        draw()


def draw() -> None:
    """The tables of docs/defaults.md between their markers, and docs/defaults.svg, from the record."""
    record = json.loads((RESULTS / "defaults.json").read_text())
    page = PAGE.read_text()
    for number, work in enumerate(record["rounds"]):
        if any(one["round"] == number for one in record["runs"]):
            mark = f"<!-- round {number} -->"
            before, _, rest = page.partition(mark)
            _, _, after = rest.partition(mark)
            page = f"{before}{mark}\n{table(record, number, work)}\n{mark}{after}"
    PAGE.write_text(page)
    picture(record)


def table(record: Record, number: int, work: int) -> str:
    """Of one round: how often a setting wins, and loss and drift on each data set."""
    runs = [one for one in record["runs"] if one["round"] == number]
    sets = [name for name in SETS if any(one["data"] == name for one in runs)]
    m = record["machine"]
    lines = [
        f"{len(runs)} runs with the work of {work:,} tokens each ({record['date']}, one thread of "
        f"{m['processor']}, fp32). Loss on dev in nats a row / forgotten in nats a token:",
        "",
        "| setting | wins | " + " | ".join(sets) + " |",
        "|---" * (len(sets) + 2) + "|",
    ]
    for name, share in ranking(record["runs"], number).items():
        cells = []
        for data in sets:
            one = next((r for r in runs if (r["setting"], r["data"]) == (name, data)), None)
            cells.append(f"{one['loss']:.3f} / {one['kl']:.2f}" if one else "")
        lines.append(f"| {name} | {share:.0%} | {' | '.join(cells)} |")
    return "\n".join(lines)


def picture(record: Record) -> None:
    """Loss on dev against drift, a panel for each data set, of the longest round that each has."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    sets = [name for name in SETS if any(one["data"] == name for one in record["runs"])]
    figure, panels = plt.subplots(1, len(sets), figsize=(3.2 * len(sets), 3.4), squeeze=False)
    for panel, data in zip(panels[0], sets, strict=True):
        own = [one for one in record["runs"] if one["data"] == data]
        last = max(one["round"] for one in own)
        for one in (one for one in own if one["round"] == last):
            plain = one["setting"].startswith("plain")
            panel.scatter(one["kl"], one["loss"], color="#c2410c" if plain else "#1d4ed8", s=18)
            panel.annotate(
                one["setting"],
                (one["kl"], one["loss"]),
                fontsize=5,
                xytext=(3, 2),
                textcoords="offset points",
            )
        panel.set_xscale("log")
        panel.set_title(data, fontsize=9)
        panel.set_xlabel("forgotten, nats a token", fontsize=8)
    panels[0][0].set_ylabel("loss on dev, nats a row", fontsize=8)
    figure.tight_layout()
    figure.savefig(PAGE.with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["run", "collect", "draw"])
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    parser.add_argument("--base", default=BASE, help="another base has its records in a folder of its own")
    parser.add_argument("--data", nargs="*", help="these data sets only, in the first round")
    parser.add_argument("--settings", nargs="*", help="these settings only")
    given = parser.parse_args()
    if given.base != BASE:
        BASE = given.base
        FOLDER = FOLDER.with_name(f"defaults-{BASE}")
    if given.data:
        SETS = {name: SETS[name] for name in given.data}
    if given.settings:
        SETTINGS = tuple(one for one in SETTINGS if one.name in given.settings)
        PLACES = (0,)
    if given.what == "run":
        work(given.worker, given.of)
    elif given.what == "collect":
        collect()
    else:
        draw()
