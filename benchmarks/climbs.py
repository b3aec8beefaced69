"""Climbs on public data and on helpdesk: run them, and write docs/results.md from the committed records.

python benchmarks/climbs.py run ../shared/data             # those that are not kept, 15 minutes each
python benchmarks/climbs.py run ../shared/data helpdesk    # only the ones named
python benchmarks/climbs.py render                         # docs/results.md from benchmarks/results/climbs

Climbs run one after the other; one that has been kept is not run again.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from render import fill

from rung import numbers
from rung.numbers import ABSENT
from rung.report.tables import others
from rung.report.view import Rung, View, load_view

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "benchmarks" / "results" / "climbs"
PAGE, TASKS = ROOT / "docs" / "results.md", ROOT / "docs" / "tasks"
BROAD = ["--base", "gemma-3-270m", "--test", "../instructions-eval/ifeval.jsonl", "--max-test", "100"]
CLIMBS = {  # the file, and options; paths are those of the data set, or of the example of this name
    "helpdesk": ["messages.csv"],
    "sentiment-reviews": ["train.csv", "--test", "test.csv"],
    "extraction-snips": ["train.jsonl", "--test", "test.jsonl"],
    "translation-en-fr": ["train.jsonl", "--test", "test.jsonl"],
    "api-torchhub": ["train.json", "--test", "test.json", "--apis", "apis.jsonl"],
    "api-kubectl": ["train.jsonl", "--test", "test.jsonl"],
    "knowledge-authors": ["train.jsonl", "--task", "knowledge"],
    "instructions-broad": ["train.jsonl", *BROAD],
    "handbook": ["docs", "--test", "questions.jsonl"],
    "tools": ["requests.jsonl"],
    "preferences": ["pairs.jsonl"],
}
BUDGET = "15m"
LESSONS = {  # what tuning brought, read from the tables
    "helpdesk": (
        "Tuning comes up to the probe and forgets 0.04 nats a token; no prompt comes near. "
        "The probe costs less."
    ),
    "sentiment-reviews": (
        "Tuning brings 14 and 28 points over the two prompts and 5 over a probe, and forgets "
        "0.03 nats a token."
    ),
    "extraction-snips": (
        "Tuning brings 8 points over the best prompt, twice the whole objects right, and a "
        "third of the made-up values; it forgets 0.03 nats a token."
    ),
    "translation-en-fr": (
        "Tuning brings 6 points over the plain prompt, and nothing over similar examples in "
        "the prompt or the nearest row: 1,245 rows teach the form of an answer, not French."
    ),
    "api-torchhub": (
        "Tuning alone learns the form and not which of 94 APIs is meant: 2% of the calls are right. "
        "The same adapter asked with passages has 8%, so looking up helps it; examples from train in the "
        "prompt and the nearest row have 17%. No rung calls what does not exist."
    ),
    "api-kubectl": (
        "No rung writes a whole command right. Tuning finds the right function in 62% of the "
        "rows, few-shot in 29%, and the nearest row in 74%."
    ),
    "knowledge-authors": (
        "Tuning makes the right answer the likeliest of five in 95% of the rows (78% before), "
        "but no answer says all of it: the form is learned, the facts hardly."
    ),
}


def run(data: Path, names: list[str], budget: str, more: list[str]) -> None:
    """Climb each data set with the options `more`, and keep its records (no rows, no weights)."""
    for name in names or [name for name in CLIMBS if not (KEPT / name).exists()]:
        _climb(data, name, budget, more)


def _climb(data: Path, name: str, budget: str, more: list[str]) -> None:
    own = ROOT / "examples" / name
    source = own if own.is_dir() else data / name
    folder = ROOT / "runs" / name
    given = [str(source / one) if (source / one).exists() else one for one in CLIMBS[name]]
    command, options = ["climb", *given], ["--budget", budget, "--output", str(folder), *more]
    log = folder.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as screen:
        subprocess.run(
            [Path(sys.executable).with_name("rung"), *command, *options],
            check=True,
            stdout=screen,
            stderr=subprocess.STDOUT,
        )
    keep(name, folder)


def keep(name: str, folder: Path) -> None:
    """Copy a run's records to where they are committed, without the paths of this machine."""
    target = KEPT / name
    shutil.rmtree(target, ignore_errors=True)
    (target / "results").mkdir(parents=True)
    results = (folder / "results").glob("*.json")
    kept = ["run.json", "verdict.json", "plan.json", *(f"results/{one.name}" for one in results)]
    for file in kept:
        text = (folder / file).read_text(encoding="utf-8")
        text = text.replace(f"{folder.resolve().parent}/", "runs/").replace(f"{ROOT.parent}/", "../")
        (target / file).write_text(text, encoding="utf-8")


def render() -> None:
    """Write docs/results.md."""
    parts = [
        "# Results",
        "Written by `python benchmarks/climbs.py render` from the records in `benchmarks/results/climbs`. "
        "Each table is one climb with the budget named and every rung that applies. Those with one "
        "thread ran two at a time, next to other work. Intervals are 95%, on test rows that were held out. "
        "*Regret* is how far a rung is expected to fall behind the best one; in brackets the chance that it "
        "is within 1 point of it ([verdict.md](verdict.md)). Times are wall clock on the machine named.",
    ]
    parts += [_section(name, load_view(KEPT / name)) for name in CLIMBS if (KEPT / name).is_dir()]
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    for page in sorted(TASKS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"<!-- climb (\S+) -->", text):
            text = fill(text, f"climb {name}", _table(load_view(KEPT / name)))
        page.write_text(text, encoding="utf-8")


def _table(view: View) -> str:
    """A short table of a climb for the page of its task, with its other metrics."""
    rungs = [rung for rung in view.rungs if rung.ok]
    more = {name: dict(values) for name, values in others(view)}
    head = ["rung", _metric(view), *more, "to make", "1,000 answers", "forgot, nats/token"]
    table = [head, ["---"] * len(head)]
    for rung in rungs:
        values = [values.get(rung.name, ABSENT) for values in more.values()]
        table.append([rung.name, rung.quality, *values, rung.making, rung.thousand, rung.forgot])
    return "\n".join(f"| {' | '.join(row)} |" for row in table) + f"\n\n{_facts(view)}. {view.sentence}"


def _metric(view: View) -> str:
    return f"{', '.join(filter(None, (view.metric, view.metric_unit)))} (95% interval)"


def _section(name: str, view: View) -> str:
    info = view.info
    head = ["rung", _metric(view), "test rows", "regret (chance)", "to make", "1,000 answers"]
    head.append("forgot, nats/token")
    helps = view.verdict.helps if view.verdict else ()
    shared = (f"{', '.join(rung.name for rung in rungs)}: {note}" for note, rungs in view.notes.items())
    notes = [*info.notes, *shared]
    return "\n".join(
        [
            f"## {name}",
            f"{info.task.why} {_facts(view)}.",
            "",
            f"| {' | '.join(head)} |",
            "|---" * len(head) + "|",
            *map(_line, view.rungs),
            "",
            f"**{view.sentence}**",
            *(["", LESSONS[name]] if name in LESSONS else []),
            *(["", f"What would help most: {' '.join(helps)}"] if helps else []),
            "",
            *[f"- {note}" for note in dict.fromkeys(notes)],
        ]
    )


def _facts(view: View) -> str:
    """When and on what a climb ran."""
    info = view.info
    follow = str(info.machine.get("threads_follow", info.machine.get("threads", "?")))
    threads = follow.split(",")[0]  # of "at most 2, 1 at the lowest so far"
    machine = f"{info.machine.get('processor', '')}, {info.machine.get('cores', '?')} cores, {threads} thread"
    machine += "" if threads == "1" else "s"
    budget = numbers.seconds(float(info.applied.get("budget") or 0))
    precision = info.applied.get("precision", "")
    return f"{info.started[:10]} · budget {budget} · {machine} · {precision} · base {info.base}"


def _line(rung: Rung) -> str:
    regret = f"{rung.regret} ({rung.chance})" if rung.regret != ABSENT else ABSENT
    cells = [rung.quality, rung.rows, regret, rung.making, rung.thousand, rung.forgot]
    name = f"**{rung.name}**" if rung.recommended else rung.name
    return "| " + " | ".join([name, *cells]) + " |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["run", "keep", "render"])
    parser.add_argument("folder", nargs="?", help="of the data sets, or of a run to keep")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--budget", default=BUDGET)
    parser.add_argument("--threads", help="of each climb")
    given = parser.parse_args()
    if given.what == "run":
        run(
            Path(given.folder),
            given.names,
            given.budget,
            ["--threads", given.threads] if given.threads else [],
        )
    elif given.what == "keep":
        keep(given.names[0], Path(given.folder))
    render()
