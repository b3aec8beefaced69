"""The memory of tuning as the product does it: what a climb quoted, what it measured, and the bounds.

A climb of its own process tunes the default base by LoRA and by full fine-tuning on the first rows of the
sentiment reviews, in bf16. Peaks are of the resident set of that process while a rung ran, to its last
answer; a second process that has imported the same and loaded a base of a few thousand weights says how
much of that is the interpreter with its libraries.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from common import BASE, RESULTS, Target, machine
from work import DATA

RUNGS = ("lora", "full")
BOUNDS = {"lora": 1.3, "full": 3.0}  # GB above the interpreter with its libraries
NEAR = 1.1  # times: how far quote and peak may be apart
EMPTY = """
import sys
from pathlib import Path
import rung.api, rung.cli, rung.cli.climb, rung.ladder.climb, rung.ladder.tuning, rung.ladder.quote, rung.cost
from rung.compute.load import load
load("tiny")
print(rung.cost.resident())
"""
CLIMB = "import sys; from rung.cli import main; sys.argv[0] = 'rung'; main()"


def libraries() -> int:
    """Bytes of a process that has loaded what a climb loads, but no base of any size."""
    done = subprocess.run([sys.executable, "-c", EMPTY], capture_output=True, text=True, check=True)
    return int(done.stdout)


def climb(rows: int, folder: Path) -> dict[str, dict[str, Any]]:
    """The results of both rungs of a climb on the first `rows` of the file."""
    data, run = folder / "reviews.csv", folder / "run"
    with (DATA / "sentiment-reviews" / "train.csv").open(encoding="utf-8") as file:
        data.write_text("".join(islice(file, rows + 1)), encoding="utf-8")
    asked = ["--rungs", ",".join(RUNGS), "--base", BASE, "--precision", "bf16"]
    asked += ["--budget", "12m", "--epochs", "1", "--output", str(run)]
    subprocess.run([sys.executable, "-c", CLIMB, "climb", str(data), *asked], check=True)
    (found,) = run.glob("**/results") if not (run / "results").is_dir() else (run / "results",)
    return {name: json.loads((found / f"{name}.json").read_text()) for name in RUNGS}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100)
    rows = parser.parse_args().rows
    empty = libraries()
    with tempfile.TemporaryDirectory() as folder:
        results = climb(rows, Path(folder))
    found, targets = {}, []
    for name, result in results.items():
        peak, quote = result["cost"]["peak_memory_bytes"], result["quote"]["memory_bytes"]
        found[name] = {"peak": peak, "quote": quote, "above libraries": peak - empty}
        above, apart = (peak - empty) / 1e9, max(peak / quote, quote / peak)
        targets.append(
            Target(f"{name}: GB above the interpreter with its libraries", above, BOUNDS[name], True)
        )
        targets.append(Target(f"{name}: quote and peak, the larger over the smaller", apart, NEAR, True))
    record = {
        "title": "Memory of tuning the default base, bf16",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine(),
        "rows": rows,
        "libraries": empty,
        "bytes": found,
        "targets": [{**vars(target), "reached": target.reached} for target in targets],
    }
    (RESULTS / "memory_peaks.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for target in targets:
        print(f"{target.label}: {target.value:.3g} (target <= {target.bound})")


if __name__ == "__main__":
    main()
