"""Climbs on public data and on helpdesk: run them, and write docs/results.md from the committed records.

python benchmarks/climbs.py run ../shared/data             # all of `CLIMBS`, 15 minutes each
python benchmarks/climbs.py run ../shared/data helpdesk    # only the ones named
python benchmarks/climbs.py render                         # docs/results.md from benchmarks/results/climbs

Two climbs run at a time with one thread each; a climb that has been kept is not run again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rung.report.view import View, load_view

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "benchmarks" / "results" / "climbs"
PAGE = ROOT / "docs" / "results.md"
CLIMBS = {
    "helpdesk": ("messages.csv", ""),
    "sentiment-reviews": ("train.csv", "test.csv"),
    "extraction-snips": ("train.jsonl", "test.jsonl"),
    "translation-en-fr": ("train.jsonl", "test.jsonl"),
    "api-torchhub": ("train.json", "test.json"),
    "api-kubectl": ("train.jsonl", "test.jsonl"),
}
BUDGET = "15m"
AT_A_TIME = 2  # climbs; each has one thread


def run(data: Path, names: list[str]) -> None:
    """Climb each data set and keep its records (no rows, no weights)."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(
            pool.map(lambda name: _climb(data, name), names or [n for n in CLIMBS if not (KEPT / n).exists()])
        )


def _climb(data: Path, name: str) -> None:
    train, test = CLIMBS[name]
    source = ROOT / "examples" / name if name == "helpdesk" else data / name
    folder = ROOT / "runs" / name
    command = ["climb", str(source / train), *(["--test", str(source / test)] if test else [])]
    options = ["--budget", BUDGET, "--threads", "1", "--output", str(folder)]
    log = folder.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as screen:
        subprocess.run(
            [Path(sys.executable).with_name("rung"), *command, *options],
            check=True,
            stdout=screen,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
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
        run(Path(sys.argv[2]), sys.argv[3:])
    elif sys.argv[1:2] == ["keep"]:
        keep(sys.argv[2], Path(sys.argv[3]))
    render()
