"""Quotes against what rungs took: seconds and peak memory of every rung of climbs, and whether ranges hold.

python benchmarks/quotes.py RUN [RUN ...]    # folders of climbs; what is kept of other climbs stays
python benchmarks/quotes.py                  # the committed climbs

Writes results/quotes.json, which `render.py` puts into docs/performance.md, and docs/quotes.svg. A climb is
kept under the name of its folder, without a path. Rungs that failed or were left out have nothing to compare.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
from common import HERE, RESULTS

matplotlib.use("Agg")
from matplotlib import pyplot as plt

matplotlib.rcParams["svg.hashsalt"] = "quotes"  # the same numbers give the same file

KEPT, FILE, PICTURE = RESULTS / "climbs", RESULTS / "quotes.json", HERE.parent / "docs" / "quotes.svg"
NEAR = {"seconds": 0.25, "memory": 0.10}  # how near to its quote a rung should end
SINCE = {"memory": "2026-11-30T17:35", "prompt": "2026-11-25T16:57"}  # the formulas of older quotes are gone
UNITS = {"seconds": 1.0, "memory": 1e9}
KINDS = ("classical", "probe", "prompt", "tune")
Record = dict[str, Any]


def collect(run: Path) -> list[Record]:
    """The rungs of a climb that were quoted and ended. Raises SystemExit where `run` is no climb."""
    if not (run / "run.json").is_file():
        raise SystemExit(f"{run} is not the folder of a climb: it has no run.json")
    info = json.loads((run / "run.json").read_text(encoding="utf-8"))
    found = []
    for path in sorted((run / "results").glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        quote, cost = result.get("quote") or {}, result["cost"]
        if (
            result["status"] not in ("ok", "unfinished")
            or not quote.get("seconds")
            or not cost.get("seconds")
        ):
            continue
        found.append(
            {
                "climb": run.resolve().name,
                "started": info.get("started", ""),
                "base": result.get("base", ""),
                "rung": result["rung"],
                "kind": result.get("kind", ""),
                "status": result["status"],
                "seconds": _pair(quote, "seconds", ("low", "high"), cost["seconds"]),
                "memory": _pair(
                    quote, "memory_bytes", ("memory_low", "memory_high"), cost.get("peak_memory_bytes")
                ),
            }
        )
    return found


def _pair(quote: Record, name: str, ends: tuple[str, str], measured: float | None) -> Record | None:
    """What was quoted, the range of it, and what was measured; None where one is missing."""
    if not quote.get(name) or not measured:
        return None
    low, high = (quote.get(end) for end in ends)
    return {"quoted": quote[name], "low": low, "high": high, "measured": measured}


def merged(old: Sequence[Record], new: Sequence[Record]) -> list[Record]:
    """Both, in order; a climb that is in `new` takes the place of the one kept under its name."""
    climbs = {one["climb"] for one in new}
    every = [*(one for one in old if one["climb"] not in climbs), *new]
    return sorted(every, key=lambda one: (one["climb"], one["rung"]))


def current(rungs: Sequence[Record], what: str, kind: str = "") -> list[Record]:
    """The pairs of `what` of rungs of a kind (all if empty), by the formulas that quotes have now."""
    found = []
    for one in rungs:
        since = max(SINCE.get(what, ""), SINCE.get(one["kind"], "") if what == "seconds" else "")
        if one[what] and kind in ("", one["kind"]) and one["started"] >= since:
            found.append(one[what])
    return found


def summary(pairs: Sequence[Record], near: float) -> Record:
    """Shares inside the range and near the quote, the middle width of the ranges, and the ratios.

    A width is (high - low) / quoted, a ratio is measured / quoted. Without pairs there is no number.
    """
    ratios = sorted(pair["measured"] / pair["quoted"] for pair in pairs)
    ranged = [pair for pair in pairs if pair["low"] is not None and pair["high"] is not None]
    inside = [pair["low"] <= pair["measured"] <= pair["high"] for pair in ranged]
    widths = [(pair["high"] - pair["low"]) / pair["quoted"] for pair in ranged]
    return {
        "rungs": len(pairs),
        "inside": sum(inside) / len(inside) if inside else None,
        "near": sum(abs(ratio - 1) <= near for ratio in ratios) / len(ratios) if ratios else None,
        "width": median(widths) if widths else None,
        "ratio": median(ratios) if ratios else None,
        "least": ratios[0] if ratios else None,
        "most": ratios[-1] if ratios else None,
    }


def summaries(rungs: Sequence[Record]) -> dict[str, dict[str, Record]]:
    """By what is quoted, then by kind of rung, those that have any."""
    return {
        what: {kind: summary(pairs, near) for kind in KINDS if (pairs := current(rungs, what, kind))}
        for what, near in NEAR.items()
    }


def table(record: Record) -> str:
    """The summaries as Markdown."""
    head = ["", "rungs", "inside the range", "near the quote", "width of the range", "measured / quoted"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for what, kinds in record["summary"].items():
        for kind, one in kinds.items():
            spread = f"{one['ratio']:.2f} ({one['least']:.2f} to {one['most']:.2f})"
            cells = [f"{what}, {kind}", str(one["rungs"]), _share(one["inside"]), _share(one["near"])]
            cells += ["-" if one["width"] is None else f"{one['width']:.2f}", spread]
            lines.append(f"| {' | '.join(cells)} |")
    near = ", ".join(f"{share:.0%} for {what}" for what, share in record["near"].items())
    note = f"Near is within {near}. A width is that of the whole range, as a share of the quote."
    return "\n".join([*lines, "", note])


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def picture(record: Record) -> None:
    """Quoted against measured, with the ranges; on log axes where numbers differ by more than ten times."""
    figure, both = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    for axes, (what, unit) in zip(both, UNITS.items(), strict=True):
        ends: list[float] = []
        for kind in KINDS:
            pairs = current(record["rungs"], what, kind)
            if pairs:
                ends += _drawn(axes, pairs, unit, kind)
        if ends:
            axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color="black", linewidth=0.8)
            scale = "log" if max(ends) > 10 * min(ends) else "linear"
            axes.set(xscale=scale, yscale=scale)
            axes.legend(frameon=False, fontsize=8)
        name = "seconds" if what == "seconds" else "peak memory, GB"
        axes.set(xlabel=f"{name}: quoted, with its range", ylabel="measured")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURE, metadata={"Date": None})
    plt.close(figure)


def _drawn(axes: Any, pairs: Sequence[Record], unit: float, label: str) -> list[float]:
    """Draw the pairs of one kind; returns all numbers that were drawn."""

    def of(name: str, absent: Callable[[Record], float]) -> list[float]:
        return [(pair[name] if pair[name] is not None else absent(pair)) / unit for pair in pairs]

    quoted, measured = of("quoted", float), of("measured", float)
    low, high = (of(end, lambda pair: pair["quoted"]) for end in ("low", "high"))
    dots = axes.scatter(quoted, measured, s=18, label=label, zorder=3)
    axes.hlines(measured, low, high, color=dots.get_facecolor(), linewidth=1, alpha=0.5)
    return [*quoted, *measured]


def main(runs: Sequence[Path]) -> None:
    old = json.loads(FILE.read_text(encoding="utf-8"))["rungs"] if FILE.exists() else []
    rungs = merged(old, [one for run in runs for one in collect(run)])
    record = {
        "title": "Quotes against measurements",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "near": NEAR,
        "since": SINCE,
        "summary": summaries(rungs),
        "rungs": rungs,
    }
    FILE.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    picture(record)
    print(table(record))


if __name__ == "__main__":
    main([Path(one) for one in sys.argv[1:]] or sorted(path for path in KEPT.iterdir() if path.is_dir()))
