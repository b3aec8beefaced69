"""Time to a score on dev: the fastest peer's best of eight settings, and rung until it is as good.

    python benchmarks/time_to_score.py run DATA [--threads 1]    one data set; what has run is not run again
    python benchmarks/time_to_score.py collect    writes results/time_to_score.json, and draws it
    python benchmarks/time_to_score.py draw       the table of docs/performance.md, from the record

Same rows, same dev rows, same tokens, one machine. The peer is HF Trainer + PEFT as it was fastest here, with
4 learning rates on half of the rows and on all of them. rung runs with its defaults at all layers, and at the
top half with twice the rate, as a climb's race tries them; both with its penalty on moving away from the base
(the default) and without it, which is what the peer computes. These 4 run on half of the rows, and then on a
quarter where one was as good as the peer, else on all of them: eight settings too.

All leave their adapters at `LOOKS` steps, in PEFT's format. One program of ours reads them all and measures
loss on dev in nats a target token, in fp32. The peer's best loss is the goal. The time to it is that of the
training until the adapter that reached it, without looking at dev, loading and warming up, and with what rung
reads before it trains. The peer's best run and ours are repeated in turn, and medians compared.

A sweep: all eight trainings of the peer, against a race of eight settings (successive halving) and the
training of its winner until the goal.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from common import BASE, HERE, LORA, PEER_BATCH, RESULTS, Runner, machine

DATA = Path(os.environ.get("RUNG_DATA", HERE.parents[1] / "shared" / "data"))
FOLDER = HERE / ".work" / "time_to_score"
FILE = RESULTS / "time_to_score.json"
PAGE = HERE.parent / "docs" / "performance.md"
SETS = {
    "helpdesk": (str(HERE.parent / "examples" / "helpdesk" / "messages.csv"), None),
    "sentiment-reviews": ("sentiment-reviews/train.csv", "sentiment-reviews/test.csv"),
    "extraction-snips": ("extraction-snips/train.jsonl", "extraction-snips/test.jsonl"),
    "translation-en-fr": ("translation-en-fr/train.jsonl", "translation-en-fr/test.jsonl"),
    "api-torchhub": ("api-torchhub/train.json", "api-torchhub/test.json"),
}
TOKENS, DEV_ROWS, LOOKS, REPEATS = 6_000, 32, 4, 3
RATES, PARTS = (2e-4, 5e-4, 1e-3, 2e-3), (0.5, 1.0)  # of the peer
STEP_ROWS, WARMUP = 4, 0.0  # of the peer: its first step of a warm-up has the rate 0, and there are few steps
WAYS: dict[str, tuple[float, float | None, bool]] = {  # ours: rate, share of the layers, penalty
    "all-layers": (1e-3, None, True),
    "top-half": (2e-3, 0.5, True),
    "all-layers-plain": (1e-3, None, False),
    "top-half-plain": (2e-3, 0.5, False),
}
UNITS = ("seconds", "cpu_seconds")
WANTED = {"P15": 5.0, "P13": 10.0}
PEER, OURS = "HF Trainer + PEFT, tuned", "rung"
Record = dict[str, Any]


class Bench:
    """One data set: what has run, and how to run the rest."""

    def __init__(self, name: str, about: Record) -> None:
        import work

        self.name, self.dtype, self.tokens = name, about["dtype"], about["wanted_tokens"]
        self.folder = FOLDER / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model = work.model_folder()

    def ours(self, job: str, kind: str, **more: Any) -> Record:
        s = {"kind": kind, "base": BASE, "dtype": self.dtype, "folder": str(self.folder), **more}
        return self.kept(job, Runner(job, "curves.py", s, "rung"))

    def rows(self) -> Record:
        train, test = SETS[self.name]
        return self.ours(
            "rows",
            "rows",
            data=str((DATA / train).resolve()),
            test=str(DATA / test) if test else None,
            tokens=self.tokens,
            dev_rows=DEV_ROWS,
        )

    def train(self, way: str, part: float, repeat: str = "") -> str:
        """Ours on a part of the rows; a repeat leaves no adapters. Returns its job."""
        rate, layers, keep = WAYS[way]
        return self.tuned(f"ours-{way}-{part:g}", part, rate, layers, keep, repeat)

    def tuned(
        self, job: str, part: float, rate: float, layers: float | None, keep: bool, repeat: str = ""
    ) -> str:
        left = None if repeat else str(self.folder / "adapters" / job)
        more = {"learning_rate": rate, "top_layers": layers, "keep": keep, "looks": LOOKS, "adapters": left}
        self.ours(repeat + job, "train", rows=self.part(part), **more)
        return job

    def peer(self, job: str, part: float, rate: float, adapters: bool = True, trainer: str = "hf") -> Record:
        s = LORA | {
            "model": self.model,
            "data": str(self.folder / "train.jsonl"),
            "rows": self.part(part),
            "warmup_rows": 8,
            "dtype": self.dtype,
            "learning_rate": rate,
            "batch": PEER_BATCH,
            "batching": "length",
            "step_rows": STEP_ROWS,
            "warmup": WARMUP,
            "trainer": trainer,
            "looks": LOOKS,
            "adapters": str(self.folder / "adapters" / job) if adapters else None,
        }
        return self.kept(job, Runner(job, "peers/hf_curve.py", s))

    def part(self, part: float) -> int:
        """So many rows: the first ones, in a random order that all share."""
        return max(STEP_ROWS, round(part * self.rows()["rows"]))

    def score(self, jobs: list[str], last: bool, labels: bool = False) -> None:
        """Score adapters that `jobs` left and that are not scored yet; `last`: only what they end with."""
        file = self.folder / "scores.json"
        found: Record = json.loads(file.read_text()) if file.exists() else {}
        labels = labels and bool(self.rows()["labels"])
        wanted = {} if "base" in found else {"base": ""}
        for job in jobs:
            points = self.read(job)["points"]
            for point in points[-1:] if last else points:
                key = _key(job, point)
                if key not in found or (labels and "accuracy" not in found[key]):
                    wanted[key] = str(self.folder / "adapters" / key)
        if not wanted:
            return
        s = {"kind": "score", "base": BASE, "dtype": "fp32", "folder": str(self.folder), "labels": labels}
        scored = Runner("score", "curves.py", {**s, "adapters": wanted}, "rung").run()["scores"]
        _write(file, found | scored)

    def read(self, job: str) -> Record:
        found: Record = json.loads((self.folder / f"{job}.json").read_text())
        return found

    def scores(self) -> Record:
        found: Record = json.loads((self.folder / "scores.json").read_text())
        return found

    def kept(self, job: str, runner: Runner) -> Record:
        """The result of a job; it runs where that is not there."""
        file = self.folder / f"{job}.json"
        if not file.exists():
            begun = time.monotonic()
            shutil.rmtree(self.folder / "adapters" / job, ignore_errors=True)  # of a run that was stopped
            _write(file, runner.run())
            print(f"{self.name}, {job}: {time.monotonic() - begun:.0f} s", flush=True)
        return self.read(job)


def peers() -> dict[str, tuple[float, float]]:
    """The peer's settings: part of the rows, and rate."""
    return {f"peer-{rate:g}-{part:g}": (part, rate) for rate in RATES for part in PARTS}


def run(bench: Bench) -> None:
    """All runs of one data set."""
    bench.rows()
    for job, setting in peers().items():
        bench.peer(job, *setting)
    bench.score([*peers()], last=True)
    scores = bench.scores()
    winner = min(peers(), key=lambda job: scores[_key(job, bench.read(job)["points"][-1])]["loss"])
    bench.score([winner], last=False, labels=True)
    ours(bench, 0.5)
    part = 1.0 if compare(bench)["ours"]["job"] is None else 0.25
    ours(bench, part)
    won = bench.ours("race", "race", rows=bench.part(1.0), keep=False)["won"]
    bench.score([bench.tuned("race-training", 1.0, won["rate"], won["share"], False)], last=False)
    first = compare(bench)["ours"]["job"] or f"ours-{next(iter(WAYS))}-{part:g}"
    bench.score([first], last=False, labels=True)
    way, _, size = first.removeprefix("ours-").rpartition("-")
    for repeat in range(REPEATS):
        bench.train(way, float(size), f"repeat-{repeat}-")
        bench.peer(f"repeat-{repeat}-{winner}", *peers()[winner], adapters=False)
    bench.peer("trl", *peers()[winner], trainer="trl")
    bench.score(["trl"], last=True)
    shutil.rmtree(bench.folder / "adapters", ignore_errors=True)


def ours(bench: Bench, part: float) -> None:
    """All ways on a part of the rows; all looks are scored only of those that ended as good as the peer."""
    jobs = [bench.train(way, part) for way in WAYS]
    bench.score(jobs, last=True)
    goal, scores = compare(bench)["goal"], bench.scores()
    ends = {job: scores[_key(job, bench.read(job)["points"][-1])]["loss"] for job in jobs}
    bench.score([job for job in jobs if ends[job] <= goal], last=False)


def compare(bench: Bench) -> Record:
    """The goal, when each run reached it, and the ratios, from what has run."""
    scores = bench.scores()
    theirs = {job: curve(bench, scores, job) for job in peers()}
    winner, goal = min(
        ((job, point) for job, points in theirs.items() for point in points if "loss" in point),
        key=lambda one: one[1]["loss"],
    )
    mine = {file.stem: curve(bench, scores, file.stem) for file in sorted(bench.folder.glob("ours-*.json"))}
    when = {job: at for job, points in mine.items() if (at := reached(points, goal["loss"])) is not None}
    first = min(when, key=lambda job: when[job]["cpu_seconds"], default=None)
    peer = {"job": winner, **goal, **repeated(bench, winner, goal["step"])}
    ours: Record = {"job": first}
    if first is not None:
        ours |= {**when[first], **repeated(bench, first, when[first]["step"])}
    default = min(  # the best with the penalty, as a climb trains
        (at for job, at in when.items() if "plain" not in job), key=lambda at: at["cpu_seconds"], default=None
    )
    sweep = {unit: round(sum(points[-1][unit] for points in theirs.values()), 2) for unit in UNITS}
    raced, won = race_until(bench, scores, goal["loss"])
    return {
        "goal": goal["loss"],
        "base": scores["base"]["loss"],
        "peer": peer,
        "ours": ours,
        "default": default,
        "sweep": {"peer": sweep, "ours": raced, "won": won},
        "curves": theirs | mine,
        "ratios": {
            "P15": ratios({u: peer[u] for u in UNITS}, {u: ours.get(u) for u in UNITS}),
            "P13": ratios(sweep, raced),
        },
    }


def race_until(bench: Bench, scores: Record, goal: float) -> tuple[Record, Record | None]:
    """Seconds of the race and of its winner's training until the goal, None where that is not reached."""
    if not (bench.folder / "race-training.json").exists():
        return dict.fromkeys(UNITS), None
    race, after = bench.read("race"), reached(curve(bench, scores, "race-training"), goal)
    return {
        unit: round(race["points"][-1][unit] + after[unit], 2) if after else None for unit in UNITS
    }, race["won"]


def ratios(theirs: Record, mine: Record) -> Record:
    """Theirs over ours, by unit; None where ours did not reach the goal."""
    return {unit: round(theirs[unit] / mine[unit], 2) if mine[unit] else None for unit in theirs}


def curve(bench: Bench, scores: Record, job: str) -> list[Record]:
    """The looks of a run, with the loss on dev where it was measured."""
    return [{**point, **scores.get(_key(job, point), {})} for point in bench.read(job)["points"]]


def reached(points: list[Record], goal: float) -> Record | None:
    """The first look whose loss is the goal or less."""
    return next((point for point in points if point.get("loss", goal + 1) <= goal), None)


def repeated(bench: Bench, job: str, step: int) -> Record:
    """Median seconds until `step` of the repeats of a run; nothing before there are some."""
    found = [
        next(point for point in bench.read(file.stem)["points"] if point["step"] == step)
        for file in sorted(bench.folder.glob(f"repeat-*-{job}.json"))
    ]
    if not found:
        return {}
    times = {unit: median(point[unit] for point in found) for unit in UNITS}
    return {**times, "all_seconds": [point["seconds"] for point in found]}


def collect() -> None:
    """Write results/time_to_score.json from the data sets that have run to the end, and draw it."""
    sets = {}
    for name in SETS:
        if not (FOLDER / name / "trl.json").exists():
            continue
        about = json.loads((FOLDER / name / "bench.json").read_text())
        bench = Bench(name, about)
        trl, peer = bench.read("trl"), bench.read(next(iter(peers())))
        one = compare(bench)
        one["curves"]["trl"] = curve(bench, bench.scores(), "trl")
        one["starts"] = {
            job: bench.read(job)["time_to_first_step"] for job in (one["peer"]["job"], "race", "trl")
        }
        one["versions"] = {**peer["versions"], **trl["versions"], **bench.read("race")["versions"]}
        one["race"] = bench.read("race")["ran"]
        sets[name] = {**about, **{k: v for k, v in bench.rows().items() if k != "choices"}, **one}
    record = {
        "title": "Time to a score on dev",
        "date": date.today().isoformat(),
        "machine": machine(),
        "base": BASE,
        "peer": {"name": PEER, "rates": RATES, "parts": PARTS, "step_rows": STEP_ROWS, "warmup": WARMUP},
        "targets": WANTED,
        "sets": sets,
    }
    _write(FILE, record)
    draw()


def draw() -> None:
    """The table in docs/performance.md, from the record."""
    from render import fill

    record = json.loads(FILE.read_text())
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), "time_to_score", table(record)), encoding="utf-8")


def table(record: Record) -> str:
    """One row for each data set, and how many reach the targets."""
    m, peer = record["machine"], record["peer"]
    lines = [
        f"**{record['title']}.** {record['date']}, {m['processor']}. The peer ({PEER}) with learning rates "
        f"{', '.join(f'{rate:g}' for rate in peer['rates'])} on half of the rows and on all, "
        f"{peer['step_rows']} rows a step.",
        "",
        "| data | rows, tokens | loss on dev: base, goal | peer's best setting | its seconds | rung's "
        "| ratio (CPU time) | rung's setting, loss there | eight settings: peer, s | race and training, s "
        "| ratio (CPU time) |",
        "|---" * 11 + "|",
    ]
    for name, one in record["sets"].items():
        peer, ours, sweep, found = one["peer"], one["ours"], one["sweep"], one["ratios"]
        setting = f"{ours['job'].removeprefix('ours-')}, {ours['loss']:.3f}" if ours["job"] else "not reached"
        cells = [
            name,
            f"{one['rows']}, {one['tokens']:,}",
            f"{one['base']:.3f}, {one['goal']:.3f}{_accuracy(peer, ours)}",
            f"{peer['job'].removeprefix('peer-')}, step {peer['step']}",
            f"{peer['seconds']:.1f}",
            f"{ours['seconds']:.1f}" if ours["job"] else "-",
            _times(found["P15"]),
            setting,
            f"{sweep['peer']['seconds']:.0f}",
            f"{sweep['ours']['seconds']:.0f}" if sweep["ours"]["seconds"] else "not reached",
            _times(found["P13"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    for code, bound in record["targets"].items():
        values = [one["ratios"][code]["seconds"] for one in record["sets"].values()]
        enough = sum(value is not None and value >= bound for value in values)
        what = "to the peer's best score" if code == "P15" else "of a sweep of eight"
        lines.append(f"- {what}: at least {bound:g} times as fast on {enough} of {len(values)} data sets")
    return "\n".join(lines)


def _times(found: Record) -> str:
    wall, cpu = found["seconds"], found["cpu_seconds"]
    return "-" if wall is None else f"{wall:.1f}x ({cpu:.1f}x)"


def _accuracy(peer: Record, ours: Record) -> str:
    """Where the task has labels: the share of right ones at both points."""
    if "accuracy" not in peer:
        return ""
    mine = f", rung {ours['accuracy']:.2f}" if "accuracy" in ours else ""
    return f" (right labels: peer {peer['accuracy']:.2f}{mine})"


def _key(job: str, point: Record) -> str:
    return f"{job}/step-{point['step']}"


def _write(file: Path, value: Record) -> None:
    half = file.with_suffix(".half")
    half.write_text(json.dumps(value, indent=1) + "\n")
    half.rename(file)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["run", "collect", "draw"])
    parser.add_argument("data", nargs="?", choices=[*SETS])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="bf16", choices=["bf16", "fp32"], help="of both trainings")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="of the train rows")
    given = parser.parse_args()
    if given.what != "run":
        (collect if given.what == "collect" else draw)()
        return
    if given.data is None:
        parser.error("run needs a data set")
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    about = {"threads": given.threads, "dtype": given.dtype, "wanted_tokens": given.tokens}
    bench = Bench(given.data, about)
    file = bench.folder / "bench.json"
    if file.exists() and json.loads(file.read_text()) != about:
        raise SystemExit(f"{bench.folder} holds a run with other settings; remove it first")
    _write(file, about)
    run(bench)


if __name__ == "__main__":
    main()
