"""Words and the probe on helpdesk over five seeded splits: accuracy and seconds.

python benchmarks/seeds.py      # about 1 minute a seed; writes benchmarks/results/seeds.json
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import rung
from rung import machine

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "benchmarks" / "results" / "seeds.json"
RUNGS, SEEDS = ("words", "probe"), range(5)


def measured(seed: int, folder: Path) -> dict[str, Any]:
    """Accuracy and seconds of each rung on the split of `seed`."""
    data = ROOT / "examples" / "helpdesk" / "messages.csv"
    climbed = rung.climb(data, output=folder / str(seed), rungs=",".join(RUNGS), seed=seed)
    found = {}
    for result in climbed.results:
        assert result.primary is not None
        assert result.primary.value is not None
        found[result.rung] = {
            "accuracy": round(result.primary.value, 4),
            "test_rows": result.primary.n,
            "making_seconds": round(result.cost.making_seconds or 0.0, 1),
            "answer_seconds": round(result.cost.answer_seconds or 0.0, 1),
            "chosen": {choice.name: choice.chosen for choice in result.choices},
        }
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        seeds = {seed: measured(seed, Path(folder)) for seed in SEEDS}
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine.describe(),
        "seeds": seeds,
        "mean": {
            name: round(statistics.fmean(found[name]["accuracy"] for found in seeds.values()), 4)
            for name in RUNGS
        },
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record["mean"]))


if __name__ == "__main__":
    main()
