"""rung against an earlier rung: the row "rung" of tables 1 to 9, before and after, in one run, in turn.

    git worktree add ../before COMMIT
    python benchmarks/versions.py ../before --repeats 3

Both use this environment and this machine. Losses, scores and written tokens must be the same, or as close as
rounding leaves them; table 10 is table 1 over the machine's rate of products, which is the same for both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import work
from common import BASE, HERE, RESULTS, Runner, alternate, machine, rung, summary, training

NAMES = ("before", "after")


def cases(rows: int) -> dict[str, dict[str, Any]]:
    """Settings of each table's own row, by what it is called in the result."""
    model, broad = work.model_folder(), work.build("broad")
    answers = {"model": model, "base": BASE, "dtype": "bf16", "rows": rows}
    score = {"kind": "score", "data": work.build("sentiment"), "warmup_rows": 4}
    write = {"kind": "generate", "data": work.build("prompts"), "warmup_rows": 8, "new_tokens": 64}
    return {
        "1, 2: LoRA, bf16": training(model, broad, rows),
        "3: LoRA, fp32": training(model, broad, rows // 2, dtype="fp32"),
        "5: LoRA, shared beginnings": training(model, work.build("snips"), rows),
        "6: LoRA in the top 8 layers": training(model, broad, rows, epochs=3, top_layers=8),
        "7: full": training(model, broad, rows, method="full", learning_rate=2e-5),
        "8: label scoring": answers | score,
        "9: generation": answers | write | {"stop_ids": []},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path, help="a checkout of the earlier version")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, default=32)
    o = parser.parse_args()
    trees = dict(zip(NAMES, (o.before.resolve(), HERE.parent), strict=True))
    record: dict[str, Any] = {
        "title": "rung against an earlier rung",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine(),
        "commits": {name: _commit(tree) for name, tree in trees.items()},
        "cases": {},
    }
    for case, settings in cases(o.rows).items():
        print(case, flush=True)
        record["cases"][case] = _case(settings, trees, o.repeats)
        (RESULTS / "versions.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(f"  after / before: {record['cases'][case]['ratio']:.3f}", flush=True)


def _case(settings: dict[str, Any], trees: dict[str, Path], repeats: int) -> dict[str, Any]:
    """Medians, their ratio, and how far apart the outputs are."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = {name: Path(folder) / f"{name}.json" for name in NAMES}
        runners: list[Runner] = [
            replace(
                rung(name, settings, outputs=str(outputs[name])),
                script=str(trees[name] / "benchmarks" / "ours.py"),
                source=str(trees[name] / "src"),
            )
            for name in NAMES
        ]
        runs: dict[str, list[Any]] = {}
        for runs in alternate(runners, repeats):  # noqa: B007  the last one is complete
            pass
        found = summary(runs)
        values = {
            name: json.loads(path.read_text()) if path.exists() else runs[name][0]["losses"]
            for name, path in outputs.items()
        }
    rates = {name: [run["count"] / run["seconds"] for run in runs[name]] for name in NAMES}
    pairs = [after / before for before, after in zip(*(rates[name] for name in NAMES), strict=True)]
    return {
        "ratio": median(pairs),
        "pairs": pairs,
        "summary": found,
        "unit": runs["after"][0]["unit"],
        "peak_rss_above_weights": {
            name: median(run["peak_rss_above_weights"] for run in runs[name]) for name in NAMES
        },
        "equal": values["before"] == values["after"],
        "apart": _apart(*(values[name] for name in NAMES)),
    }


def _apart(one: Any, two: Any) -> float | None:
    """The largest difference between two nests of numbers, as a share; None where their shapes differ."""
    if isinstance(one, list) and isinstance(two, list):
        if len(one) != len(two):
            return None
        parts = [_apart(a, b) for a, b in zip(one, two, strict=True)]
        return None if None in parts else max((part for part in parts if part is not None), default=0.0)
    return abs(one - two) / max(abs(one), 1e-9)


def _commit(tree: Path) -> str:
    found = subprocess.run(
        ["git", "-C", str(tree), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
