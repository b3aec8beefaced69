"""Every method on the same data sets in the same time: quality, cost, and what the base forgot.

    python benchmarks/methods.py run [--budget 2m] [--data helpdesk ...]    run what is missing
    python benchmarks/methods.py collect    writes results/methods.json from what has run, and draws it
    python benchmarks/methods.py draw       the table and the plot of docs/methods.md, from the record

A run is a climb with one rung, so its time covers all that a user waits for: timing, training, choices on dev
and answers to test rows. The budget is the same for every method; what does not fit says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

from common import HERE, RESULTS, machine

DATA = Path(os.environ.get("RUNG_DATA", HERE.parents[1] / "shared" / "data"))
FOLDER = HERE / ".work" / "methods"
PAGE = HERE.parent / "docs" / "methods.md"
MARK = "<!-- methods at equal time -->"
SETS = {
    "helpdesk": [str(HERE.parent / "examples" / "helpdesk" / "messages.csv")],
    "sentiment-reviews": ["sentiment-reviews/train.csv", "--test", "sentiment-reviews/test.csv"],
    "extraction-snips": ["extraction-snips/train.jsonl", "--test", "extraction-snips/test.jsonl"],
}
RUNGS = (
    *("words", "probe", "head", "head-lora", "prompt", "prefix", "bitfit", "ia3", "lora"),
    *("dora", "bottleneck", "freeze", "full"),
)
LABELS = ("words", "probe", "head", "head-lora")  # for tasks with labels
Record = dict[str, Any]


def run(budget: str, names: list[str]) -> None:
    """Climb with one rung after the other; one whose result is there is not run again."""
    for data in names or SETS:
        train, *test = SETS[data]
        paths = [str(DATA / train), *(str(DATA / one) if "/" in one else one for one in test)]
        for rung in RUNGS:
            folder = FOLDER / data / rung
            if (data == "extraction-snips" and rung in LABELS) or (folder / "verdict.json").exists():
                continue
            folder.parent.mkdir(parents=True, exist_ok=True)
            options = ["--rungs", rung, "--budget", budget, "--threads", "1", "--max-test", "200"]
            command = [Path(sys.executable).with_name("rung"), "climb", *paths, *options, "--output", folder]
            with folder.with_suffix(".log").open("w") as screen:
                done = subprocess.run(command, stdout=screen, stderr=subprocess.STDOUT)
            print(data, rung, done.returncode, flush=True)


def collect(budget: str) -> Record:
    """What has run, as one record."""
    rows = []
    for data in SETS:
        for rung in RUNGS:
            file = FOLDER / data / rung / "results" / f"{rung}.json"
            if file.exists():
                rows.append({"data": data, **_row(json.loads(file.read_text()))})
    return {
        "title": "Every method at equal time",
        "date": date.today().isoformat(),
        "machine": machine(),
        "budget": budget,
        "runs": rows,
    }


def _row(result: Record) -> Record:
    cost, primary = result["cost"], result.get("primary") or {}
    drift = next((one for one in result["forgetting"] if one["name"].startswith("kl")), {})
    applied = result.get("applied") or {}
    return {
        "rung": result["rung"],
        "status": result["status"],
        "reason": result.get("reason", ""),
        "metric": primary.get("name"),
        **{name: primary.get(name) for name in ("value", "low", "high", "n")},
        **{
            name: cost.get(name)
            for name in ("seconds", "train_seconds", "peak_memory_bytes", "adapter_bytes", "train_tokens")
        },
        "answer_ms": 1000 * cost["answer_seconds"] / cost["answers"] if cost.get("answers") else None,
        "forgotten": drift.get("value"),
        "rows": applied.get("rows"),
        "epochs": applied.get("epochs"),
    }


def draw() -> None:
    """The table of docs/methods.md between its markers, and docs/methods.svg, from the record."""
    record = json.loads((RESULTS / "methods.json").read_text())
    before, _, rest = PAGE.read_text().partition(MARK)
    _, _, after = rest.partition(MARK)
    PAGE.write_text(f"{before}{MARK}\n{table(record)}\n{MARK}{after}")
    picture(record)


def table(record: Record) -> str:
    """One row for each run."""
    lines = [
        f"One climb with this rung alone, `--budget {record['budget']}`, one thread of "
        f"{record['machine']['processor']}, {record['date']}; at most 200 test rows.",
        "",
        "| data | rung | score (95% interval) | seconds | of them training | peak memory | file | forgot, "
        "nats a token | ms an answer |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in record["runs"]:
        if one["value"] is None:
            lines.append(f"| {one['data']} | {one['rung']} | {one['status']}: {one['reason']} |" + " |" * 6)
            continue
        score = f"{_points(one, 'value')} ({_points(one, 'low')} to {_points(one, 'high')})"
        score += "" if one["status"] == "ok" else f", {one['status']}"
        cells = [
            f"{one['seconds']:.0f}",
            f"{one['train_seconds']:.0f}" if one["train_seconds"] else "",
            f"{one['peak_memory_bytes'] / 1e9:.2f} GB" if one["peak_memory_bytes"] else "",
            _size(one["adapter_bytes"]),
            f"{one['forgotten']:.3f}" if one["forgotten"] is not None else "",
            f"{one['answer_ms']:.0f}" if one["answer_ms"] is not None else "",
        ]
        lines.append(f"| {one['data']} | {one['rung']} | {score} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _points(one: Record, name: str) -> str:
    return f"{100 * one[name]:.1f}"


def _size(number: float | None) -> str:
    if not number:
        return ""
    return f"{number / 1e6:.1f} MB" if number >= 1e6 else f"{number / 1e3:.0f} kB"


def picture(record: Record) -> None:
    """Score against what was forgotten, a panel for each data set."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    sets = list(dict.fromkeys(one["data"] for one in record["runs"]))
    figure, panels = plt.subplots(1, len(sets), figsize=(4 * len(sets), 3.6), squeeze=False)
    for panel, data in zip(panels[0], sets, strict=True):
        for one in record["runs"]:
            if one["data"] != data or one["value"] is None:
                continue
            at = (one["forgotten"] or 0.0, 100 * one["value"])
            spread = [[at[1] - 100 * one["low"]], [100 * one["high"] - at[1]]]
            panel.errorbar(*at, yerr=spread, fmt="o", ms=4, lw=0.8, color="#1d4ed8")
            panel.annotate(one["rung"], at, fontsize=7, xytext=(4, 3), textcoords="offset points")
        panel.set_xscale("symlog", linthresh=0.01)
        panel.set_title(data, fontsize=9)
        panel.set_xlabel("forgotten, nats a token", fontsize=8)
    panels[0][0].set_ylabel("score on test rows", fontsize=8)
    figure.tight_layout()
    figure.savefig(PAGE.with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["run", "collect", "draw"])
    parser.add_argument("--budget", default="2m")
    parser.add_argument("--data", nargs="*", default=[])
    given = parser.parse_args()
    if given.what == "run":
        run(given.budget, given.data)
    elif given.what == "collect":
        (RESULTS / "methods.json").write_text(json.dumps(collect(given.budget), indent=1) + "\n")
        draw()
    else:
        draw()
