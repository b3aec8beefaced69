"""Climbs on public data: run them, and write docs/results.md from the committed result files.

python benchmarks/climbs.py run ../shared/data     # three climbs of 15 minutes; needs the data
python benchmarks/climbs.py render                 # docs/results.md from benchmarks/results/climbs
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from rung.report.view import View, load_view

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "benchmarks" / "results" / "climbs"
PAGE = ROOT / "docs" / "results.md"
CLIMBS = {
    "sentiment-reviews": ("train.csv", "test.csv"),
    "extraction-snips": ("train.jsonl", "test.jsonl"),
    "translation-en-fr": ("train.jsonl", "test.jsonl"),
}
BUDGET = "15m"


def run(data: Path) -> None:
    """Climb each data set and keep its records (no rows, no weights)."""
    for name, (train, test) in CLIMBS.items():
        folder = ROOT / "runs" / name
        command = ["climb", str(data / name / train), "--test", str(data / name / test)]
        options = ["--budget", BUDGET, "--output", str(folder)]
        subprocess.run([Path(sys.executable).with_name("rung"), *command, *options], check=True)
        keep(name, folder)


def keep(name: str, folder: Path) -> None:
    """Copy a run's records to where they are committed."""
    target = KEPT / name
    shutil.rmtree(target, ignore_errors=True)
    (target / "results").mkdir(parents=True)
    for file in ("run.json", "verdict.json", "plan.json"):
        shutil.copy(folder / file, target / file)
    for file in (folder / "results").glob("*.json"):
        shutil.copy(file, target / "results" / file.name)


def render() -> None:
    """Write docs/results.md."""
    parts = [
        "# Results",
        "Written by `python benchmarks/climbs.py render` from `benchmarks/results/climbs`. Each table is one "
        f"climb with `--budget {BUDGET}`; intervals are 95%, on rows held out until the end. Times are wall "
        "clock on the machine named, which did other work at the same time; read them as upper bounds.",
    ]
    parts += [_section(name, load_view(KEPT / name)) for name in CLIMBS if (KEPT / name).is_dir()]
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _section(name: str, view: View) -> str:
    info = view.info
    rows = [
        f"| {rung.name} | {rung.quality} | {rung.train} | {rung.total} | {rung.forgot} |"
        if rung.ok
        else f"| {rung.name} | {rung.quality}: {rung.notes[0]} | - | - | - |"
        for rung in view.rungs
    ]
    plan = view.info.notes
    machine = f"{info.machine.get('processor', '')}, {info.machine.get('cores', '?')} cores"
    facts = f"{info.started[:10]} · {machine} · {info.applied.get('precision', '')} · base {info.base}"
    metric = f"{view.metric}, {view.metric_unit}"
    head = f"| rung | {metric} (95% interval) | training | in all | forgot, nats/token |"
    return "\n".join(
        [
            f"## {name}",
            f"{info.task.why} {facts}.",
            "",
            head,
            "|---|---|---|---|---|",
            *rows,
            "",
            f"**{view.sentence}**",
            "",
            *[f"- {note}" for note in plan],
        ]
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        run(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["keep"]:
        keep(sys.argv[2], Path(sys.argv[3]))
    render()
