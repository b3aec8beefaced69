"""Prompt or fine-tune, and how: the whole answer by `rung climb`, against lm_eval and TRL in a chain.

    python benchmarks/whole_decision.py run [DATA] [--rows 1000] [--threads 1]    what has run is not rerun
    python benchmarks/whole_decision.py collect    writes results/whole_decision.json, and draws it
    python benchmarks/whole_decision.py draw       the table of docs/performance.md, from the record

Four rungs on the same rows (a fifth of them test rows): zero-shot, few-shot, LoRA, full fine-tuning; an epoch
over the train rows, and the answer to every test row. The chain does what a careful user would: labels by
likelihood with lm-evaluation-harness, TRL tuned as in table 1, the chat template everywhere, each step a
process. rung's climb is one command; it also times itself, chooses shots and rules for labels on dev, keeps
the best checkpoint and measures what was forgotten, and all of that counts. Wall time, starts of
processes included.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from common import BASE, HERE, LORA, PEER_BATCH, PYTHONS, RESULTS, machine

DATA = Path(os.environ.get("RUNG_DATA", HERE.parents[1] / "shared" / "data"))
FOLDER = HERE / ".work" / "whole_decision"
FILE = RESULTS / "whole_decision.json"
PAGE = HERE.parent / "docs" / "performance.md"
SETS = {
    "sentiment-reviews": DATA / "sentiment-reviews" / "train.csv",
    "helpdesk": HERE.parent / "examples" / "helpdesk" / "messages.csv",
}
RUNGS = ("zero-shot", "few-shot", "lora", "full")
TEST, SHOTS, STEP_ROWS, EVAL_BATCH = 0.2, 8, 16, 8
FULL_RATE = 2e-5
TASK = "decision"  # the name of the task for lm_eval
Record = dict[str, Any]
Row = dict[str, str]


class Decision:
    """One data set: its files, and the steps of both sides."""

    def __init__(self, name: str, rows: int, dtype: str, epochs: float) -> None:
        import work

        self.name, self.dtype, self.epochs = name, dtype, epochs
        self.folder = FOLDER / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model = work.model_folder()
        with SETS[name].open(encoding="utf-8", newline="") as file:
            found = list(csv.DictReader(file))
        random.Random(0).shuffle(found)
        found = found[:rows]
        self.test, self.train = found[: round(TEST * len(found))], found[round(TEST * len(found)) :]
        self.labels = sorted({row["label"] for row in found})

    def write(self) -> None:
        """The same rows for both: CSV for rung, prompts and a task for the chain."""
        for part, rows in (("train", self.train), ("test", self.test)):
            with (self.folder / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, ["text", "label"], extrasaction="ignore")
                writer.writeheader()
                writer.writerows(rows)
            lines = [json.dumps(self.asked(row)) for row in rows]
            (self.folder / f"{part}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        task = {
            "task": TASK,
            "dataset_path": "json",
            "dataset_kwargs": {
                "data_files": {part: str(self.folder / f"{part}.jsonl") for part in ("train", "test")}
            },
            "training_split": "train",
            "fewshot_split": "train",
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{question}}",
            "doc_to_target": "{{label}}",
            "doc_to_choice": self.labels,
            "target_delimiter": "",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }
        (self.folder / "tasks").mkdir(exist_ok=True)
        (self.folder / "tasks" / f"{TASK}.yaml").write_text(json.dumps(task, indent=1))  # JSON is YAML too

    def asked(self, row: Row) -> Record:
        """A row as a chat, and as the fields of the task."""
        question = f"Answer with one of: {', '.join(self.labels)}.\n\n{row['text']}"
        return {
            "question": question,
            "label": row["label"],
            "prompt": [{"role": "user", "content": question}],
            "completion": [{"role": "assistant", "content": row["label"]}],
        }

    def steps(self) -> Iterator[tuple[str, list[str]]]:
        """The commands of both sides, in the order in which they run."""
        climb = ["climb", str(self.folder / "train.csv"), "--test", str(self.folder / "test.csv")]
        climb += ["--rungs", ",".join(RUNGS), "--epochs", f"{self.epochs:g}", "--precision", self.dtype]
        climb += ["--threads", os.environ["OMP_NUM_THREADS"], "--max-test", str(len(self.test))]
        climb += ["--base", BASE, "--output", str(self.folder / "climb")]
        yield "rung", [str(Path(sys.executable).with_name("rung")), *climb]
        yield "zero-shot", self.scored("zero-shot", self.model, 0)
        yield "few-shot", self.scored("few-shot", self.model, SHOTS)
        for method in ("lora", "full"):
            yield f"{method}, training", self.trained(method)
            left = self.folder / method
            peft = left if method == "lora" else None
            yield method, self.scored(method, self.model if peft else str(left), 0, peft)

    def scored(self, step: str, model: str, shots: int, peft: Path | None = None) -> list[str]:
        about = f"pretrained={model},dtype={'bfloat16' if self.dtype == 'bf16' else 'float32'}"
        about += f",peft={peft}" if peft else ""
        command = [str(PYTHONS["peers"]), "-m", "lm_eval", "run", "--model", "hf", "--model_args", about]
        command += ["--tasks", TASK, "--include_path", str(self.folder / "tasks"), "--device", "cpu"]
        command += ["--batch_size", str(EVAL_BATCH), "--num_fewshot", str(shots), "--apply_chat_template"]
        return [*command, "--output_path", str(self.folder / "scores" / f"{step}.json")]

    def trained(self, method: str) -> list[str]:
        s = LORA | {
            "model": self.model,
            "data": str(self.folder / "train.jsonl"),
            "dtype": self.dtype,
            "method": method,
            "learning_rate": LORA["learning_rate"] if method == "lora" else FULL_RATE,
            "epochs": self.epochs,
            "batch": PEER_BATCH,
            "step_rows": STEP_ROWS,
            "warmup": 0.06,
            "left": str(self.folder / method),
        }
        file = self.folder / f"{method}.settings.json"
        file.write_text(json.dumps(s))
        return [str(PYTHONS["peers"]), str(HERE / "peers" / "trl_decision.py"), str(file)]

    def accuracy(self, step: str) -> float | None:
        """The share of right answers that lm_eval found in a step; None for steps that measure nothing."""
        files = sorted((self.folder / "scores").glob(f"{step}*.json"))
        if not files:
            return None
        found: float = json.loads(files[-1].read_text())["results"][TASK]["acc,none"]
        return round(found, 4)

    def climbed(self) -> Record:
        """What each rung of the climb came to."""
        found = {}
        for rung in RUNGS:
            result = json.loads((self.folder / "climb" / "results" / f"{rung}.json").read_text())
            primary = result.get("primary") or {}
            found[rung] = {
                "status": result["status"],
                "metric": primary.get("name"),
                "value": primary.get("value"),
                "seconds": result["cost"].get("seconds"),
            }
        return found


def run(decision: Decision) -> None:
    """Every step that has not run; a step that fails is kept with the end of its screen."""
    decision.write()
    for step, command in decision.steps():
        file = decision.folder / f"{_plain(step)}.step.json"
        if file.exists():
            continue
        if step == "rung":  # a climb that was stopped would continue
            shutil.rmtree(decision.folder / "climb", ignore_errors=True)
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | QUIET)
        seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        record: Record = {"step": step, "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)}
        if done.returncode:
            print(done.stdout[-3000:], done.stderr[-3000:], file=sys.stderr)
            raise SystemExit(f"{step} ended with {done.returncode}")
        record |= {"rungs": decision.climbed()} if step == "rung" else {"accuracy": decision.accuracy(step)}
        file.write_text(json.dumps(record) + "\n")
        print(decision.name, record, flush=True)


QUIET = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def collect() -> None:
    """Write results/whole_decision.json from what has run, and draw it."""
    sets = {}
    for name in SETS:
        steps = [json.loads(file.read_text()) for file in sorted((FOLDER / name).glob("*.step.json"))]
        found = {one.pop("step"): one for one in steps}
        if len(found) < 3 + len(RUNGS):
            continue
        ours = found.pop("rung")
        chain = {unit: round(sum(one[unit] for one in found.values()), 1) for unit in UNITS}
        about = json.loads((FOLDER / name / "about.json").read_text())
        ratio = {unit: round(chain[unit] / ours[unit], 2) for unit in UNITS}
        sets[name] = {**about, "rung": ours, "chain": {**chain, "steps": found}, "ratio": ratio}
    record = {
        "title": "A whole decision",
        "date": date.today().isoformat(),
        "machine": machine(),
        "base": BASE,
        "versions": _versions(),
        "sets": sets,
    }
    FILE.write_text(json.dumps(record, indent=1) + "\n")
    draw()


UNITS = ("seconds", "cpu_seconds")


def _versions() -> dict[str, str]:
    names = ("torch", "transformers", "peft", "trl", "lm_eval")
    code = f"from importlib.metadata import version; print(*map(version, {names!r}))"
    done = subprocess.run([PYTHONS["peers"], "-c", code], capture_output=True, text=True, check=True)
    return dict(zip(names, done.stdout.split(), strict=True))


def draw() -> None:
    """The table in docs/performance.md, from the record."""
    from render import fill

    record = json.loads(FILE.read_text())
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), "whole_decision", table(record)), encoding="utf-8")


def table(record: Record) -> str:
    """Of each data set: time and score of every rung on both sides, and the time of all."""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines = [
        f"**{record['title']}.** {record['date']}, {record['machine']['processor']}; {versions}. Seconds "
        f"and the share of right test answers; {SHOTS} shots in the chain, as many as dev chose in a climb.",
        "",
        "| data | train and test rows | | " + " | ".join(RUNGS) + " | all | ratio (CPU time) |",
        "|---" * (5 + len(RUNGS)) + "|",
    ]
    for name, one in record["sets"].items():
        steps, ours, ratio = one["chain"]["steps"], one["rung"], one["ratio"]
        rows = f"{one['train_rows']}, {one['test_rows']}"
        cells = [f"{one_of(ours['rungs'][rung], 'value')}" for rung in RUNGS]
        times = f"{ratio['seconds']:.1f}x ({ratio['cpu_seconds']:.1f}x)"
        lines.append(f"| {name} | {rows} | rung | {' | '.join(cells)} | {ours['seconds']:.0f} s | {times} |")
        cells = []
        for rung in RUNGS:
            training = steps.get(f"{rung}, training", {"seconds": 0.0})["seconds"]
            both = {"seconds": steps[rung]["seconds"] + training, "value": steps[rung]["accuracy"]}
            cells.append(one_of(both, "value"))
        lines.append(f"| | | lm_eval, TRL | {' | '.join(cells)} | {one['chain']['seconds']:.0f} s | |")
    return "\n".join(lines)


def one_of(found: Record, key: str) -> str:
    """A cell: seconds, and the score where there is one."""
    score = "-" if found[key] is None else f"{100 * found[key]:.1f}%"
    return f"{found['seconds']:.0f} s, {score}" if found["seconds"] is not None else score


def _plain(step: str) -> str:
    return step.replace(", ", "-")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["run", "collect", "draw"])
    parser.add_argument("data", nargs="?", choices=[*SETS], default="sentiment-reviews")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="bf16", choices=["bf16", "fp32"])
    given = parser.parse_args()
    if given.what != "run":
        (collect if given.what == "collect" else draw)()
        return
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    decision = Decision(given.data, given.rows, given.dtype, given.epochs)
    about = {
        "train_rows": len(decision.train),
        "test_rows": len(decision.test),
        "epochs": given.epochs,
        "threads": given.threads,
        "dtype": given.dtype,
    }
    file = decision.folder / "about.json"
    if file.exists() and json.loads(file.read_text()) != about:
        raise SystemExit(f"{decision.folder} holds a run with other settings; remove it first")
    file.write_text(json.dumps(about) + "\n")
    run(decision)


if __name__ == "__main__":
    main()
