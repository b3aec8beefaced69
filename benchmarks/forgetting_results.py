"""What `forgetting.py` measured, as one record: rank correlations, bands of KL, a table and a picture.

Spearman's rank correlation is taken over tuned models, without the base, which is 0 in everything; its 95%
interval is a bootstrap over models. A loss of ability is positive: base minus tuned, or tuned minus base
where lower is better.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import forgetting as bench
import matplotlib
import numpy as np
from common import HERE, RESULTS
from numpy.typing import NDArray
from render import fill
from scipy.stats import rankdata, spearmanr
from sklearn.isotonic import IsotonicRegression

from rung import machine
from rung.evaluation.general_suite import KINDS, items

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import NullFormatter

matplotlib.rcParams["svg.hashsalt"] = "forgetting"  # the same numbers give the same file

FILE = RESULTS / "forgetting.json"
PAGE = HERE.parent / "docs" / "forgetting.md"
PICTURE = PAGE.with_suffix(".svg")
DRAWS, SEED = 4000, 0
SETS = ("minimal_pairs", "arc_easy", "siqa", "piqa", "copa", "lambada")
CHOICES = SETS[:-1]  # have margins
MEASURES = {  # ours
    "kl": "KL, nats/token",
    "disagreement": "1 - top-1 agreement",
    "own_margin": "own suite, fall of the margin",
    "own_accuracy": "own suite, fall of accuracy",
}
LOSSES = {  # of ability on public sets
    "accuracy": "accuracy, mean of six sets",
    "margin": "margins, mean of five sets",
    "nats": "LAMBADA, nats",
    "bits": "wikitext, bits per byte",
    "combined": "combined rank",
}
POINTS = (0.1, 0.3, 0.5, 1.0, 2.0, 3.0)  # nats/token at which losses are read off
FALLS = {  # losses that have a unit: factor, name, digits
    "accuracy": (100, "accuracy, points", 0),
    "margin": (1, "margins, SD", 2),
    "nats": (1, "LAMBADA, nats", 2),
    "bits": (1, "wikitext, bits per byte", 2),
}
Record = dict[str, Any]
Floats = NDArray[np.float64]


def row_of(base: Record, tuned: Record, parts: int, known: Sequence[str]) -> Record:
    """The numbers of one model. Public sets: the first `parts` parts; own suite: the items `known`."""
    model, drift = tuned["model"], tuned["drift"]
    row: Record = {"name": model["name"], "data": model["data"], "method": model["method"]}
    row |= {"strength": model["strength"], "setting": model["setting"], "training": tuned["training"]}
    row |= {"kl": drift["kl"], "agreement": drift["agreement"], "disagreement": 1 - drift["agreement"]}
    if "other texts" in tuned:
        row["kl_other_texts"] = tuned["other texts"]["kl"]
    before, after = (_values(one, parts) for one in (base, tuned))
    row["sets"] = {key: [float(before[key].mean()), float(after[key].mean())] for key in before}
    fall = {key: before[key].mean() - after[key].mean() for key in before}
    row["accuracy"] = float(np.mean([fall[name] for name in SETS]))
    spread = {name: before[f"{name}_margin"].std(ddof=1) for name in CHOICES}
    row["margin"] = float(np.mean([fall[f"{name}_margin"] / spread[name] for name in CHOICES]))
    row |= {"nats": float(-fall["lambada_nats"]), "bits": float(-fall["wikitext"])}
    return row | _own(base, tuned, known) | {"halves": _halves(before, after)}


def _values(record: Record, parts: int) -> dict[str, Floats]:
    """A value for each item of the first parts, by set."""
    some = [record[f"part {number}"] for number in range(parts)]
    return {key: np.concatenate([one[key] for one in some]) for key in some[0]}


def _halves(before: Mapping[str, Floats], after: Mapping[str, Floats]) -> list[float]:
    """The fall of accuracy on even and on odd items."""
    return [float(np.mean([(before[s] - after[s])[at::2].mean() for s in SETS])) for at in (0, 1)]


def _own(base: Record, tuned: Record, known: Sequence[str]) -> Record:
    """rung's own suite: falls of accuracy and of the mean margin, and shares that are right by kind."""
    kind_of = {item.id: item.kind for item in items()}
    was, now = ({one[0]: one for one in record["own"]} for record in (base, tuned))
    right = {
        kind: [float(np.mean([one[i][1] for i in known if kind_of[i] == kind])) for one in (was, now)]
        for kind in KINDS
    }
    every = [float(np.mean([one[i][1] for i in known])) for one in (was, now)]
    margins = [now[i][3] - was[i][3] for i in known if was[i][3] is not None]
    return {"own": right, "own_accuracy": every[0] - every[1], "own_margin": -float(np.mean(margins))}


def combined(rows: Sequence[Record]) -> Floats:
    """For each model the mean of its ranks by accuracy, LAMBADA's nats and wikitext's bits."""
    return np.mean([rankdata([row[key] for row in rows]) for key in ("accuracy", "nats", "bits")], axis=0)


def correlations(rows: Sequence[Record]) -> Record:
    """Spearman of each of our measures with each loss: value, interval; and which measure is best."""
    draws = np.random.default_rng(SEED).integers(0, len(rows), (DRAWS, len(rows)))
    found: Record = {}
    for loss in LOSSES:
        y = np.array([row[loss] for row in rows])
        drawn = {}
        for key in MEASURES:
            x = np.array([row[key] for row in rows])
            drawn[key] = _spearmans(x[draws], y[draws])
            low, high = np.nanquantile(drawn[key], (0.025, 0.975))
            found.setdefault(key, {})[loss] = {
                "value": float(_spearmans(x[None], y[None])[0]),
                "low": low,
                "high": high,
            }
        for key in MEASURES:  # how often it is at least as good as KL
            found[key][loss]["beats_kl"] = float(np.mean(drawn[key] > drawn["kl"]))
    return found


def _spearmans(x: Floats, y: Floats) -> Floats:
    """Spearman's correlation of each row of `x` (draws, models) with that of `y`."""
    a, b = (rankdata(one, axis=1) for one in (x, y))
    a, b = (one - one.mean(1, keepdims=True) for one in (a, b))
    with np.errstate(invalid="ignore"):  # a draw of one model alone has no correlation
        return np.asarray((a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1)))


def noise(rows: Sequence[Record]) -> Record:
    """How far the fall of accuracy repeats on other items: Spearman of two halves of the items, what follows
    for all of them (Spearman and Brown), and the highest correlation that an exact measure could show."""
    halves = np.array([row["halves"] for row in rows])
    between = float(spearmanr(halves[:, 0], halves[:, 1]).statistic)
    whole = 2 * between / (1 + between)
    return {"halves": between, "all items": whole, "ceiling": max(whole, 0.0) ** 0.5}


def readings(rows: Sequence[Record]) -> list[Record]:
    """What a KL corresponds to: a curve that never falls, fitted to the models (isotonic regression).

    It is read off at those of `POINTS` that are inside the range, with 95% intervals of the bootstrap over
    models.
    """
    kl = np.array([row["kl"] for row in rows])
    draws = np.random.default_rng(SEED).integers(0, len(rows), (DRAWS // 10, len(rows)))
    points = [point for point in POINTS if kl.min() <= point <= kl.max()]
    found: list[Record] = [{"kl": point} for point in points]
    for key in FALLS:
        y = np.array([row[key] for row in rows])
        value = _curve(kl, y, points)
        low, high = np.quantile([_curve(kl[at], y[at], points) for at in draws], (0.025, 0.975), axis=0)
        for i, one in enumerate(found):
            one[key] = [float(value[i]), float(low[i]), float(high[i])]
    return found


def _curve(kl: Floats, y: Floats, points: Sequence[float]) -> Floats:
    fitted = IsotonicRegression(out_of_bounds="clip").fit(np.log(kl), y)
    return np.asarray(fitted.predict(np.log(points)))


def collect() -> None:
    """Write results/forgetting.json from the models whose first stage is done."""
    base = bench.read(bench.BASE_FILE)
    done = [record for one in bench.MODELS if "first" in (record := bench.read(bench.file_of(one)))["stages"]]
    if not done:
        raise SystemExit("nothing is measured yet: python benchmarks/forgetting.py run")
    parts = next(part for part in range(9) if any(f"part {part}" not in one for one in (base, *done)))
    known = [one[0] for one in base["own"] if all(one[0] in _ids(record) for record in done)]
    rows = [row_of(base, record, parts, known) for record in done]
    for row, rank in zip(rows, combined(rows), strict=True):
        row["combined"] = float(rank)
    record = {
        "title": "The measure of forgetting against general ability",
        "date": max(one["date"] for one in (base, *done)),
        "collected": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine.describe() | {"threads": 1},
        "base": bench.defaults.BASE,
        "precision": "fp32",
        "items": {name: len(_values(base, parts)[name]) for name in (*SETS, "wikitext")},
        "own_items": len(known),
        "texts": done[0]["drift"]["texts"],
        "listed": len(bench.MODELS),
        "spearman": correlations(rows),
        "noise": noise(rows),
        "texts_agree": _texts_agree(rows),
        "readings": readings(rows),
        "cpu_seconds": _seconds(done),
        "models": sorted(rows, key=lambda row: row["kl"]),
    }
    FILE.write_text(json.dumps(_rounded(record), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(f"{len(rows)} of {len(bench.MODELS)} models")
    print(table(record))


def _ids(record: Record) -> set[str]:
    return {one[0] for one in record["own"]}


def _texts_agree(rows: Sequence[Record]) -> Record | None:
    """Spearman of KL on the first texts with KL on the others, over the models that have both."""
    both = [row for row in rows if "kl_other_texts" in row]
    if len(both) < 3:
        return None
    pairs = np.array([[row["kl"], row["kl_other_texts"]] for row in both])
    return {"models": len(both), "spearman": float(spearmanr(pairs).statistic)}


def _seconds(done: Sequence[Record]) -> dict[str, float]:
    """Mean CPU seconds of what is measured of a model."""
    keys = dict.fromkeys(key for one in done for key in one["cpu_seconds"])
    return {
        key: float(np.mean([one["cpu_seconds"][key] for one in done if key in one["cpu_seconds"]]))
        for key in keys
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(float(value), 4) if isinstance(value, float) else value


def table(record: Record) -> str:
    """Spearman's correlations as Markdown."""
    lines = [f"| Spearman | {' | '.join(LOSSES.values())} |", "|---" * (len(LOSSES) + 1) + "|"]
    for key, title in MEASURES.items():
        cells = (
            f"{one['value']:.2f} ({one['low']:.2f} to {one['high']:.2f})"
            for one in (record["spearman"][key][loss] for loss in LOSSES)
        )
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def readings_table(record: Record) -> str:
    head = ["KL, nats/token", *(title for _, title, _ in FALLS.values())]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for one in record["readings"]:
        cells = [f"{one['kl']:g}"]
        for key, (times, _, digits) in FALLS.items():
            value, low, high = (number * times for number in one[key])
            cells.append(f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def models_table(record: Record) -> str:
    """All models, the one that forgot least first."""
    head = ["model", "steps", "KL", "agreement", "accuracy, points", "margins, SD", "LAMBADA, nats"]
    head += ["wikitext, bits/byte", "own suite: accuracy, points", "own suite: margin, nats"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in record["models"]:
        cells = [row["name"], str(row["training"].get("steps", "")), f"{row['kl']:.3f}"]
        cells += [f"{row['agreement']:.2f}", f"{-100 * row['accuracy']:+.1f}", f"{-row['margin']:+.2f}"]
        cells += [f"{row['nats']:+.2f}", f"{row['bits']:+.2f}"]
        cells += [f"{-100 * row['own_accuracy']:+.1f}", f"{-row['own_margin']:+.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def facts(record: Record) -> str:
    """What was measured, where and when, in a few sentences."""
    sets = ", ".join(f"{count} of {name}" for name, count in record["items"].items())
    noise, m = record["noise"], record["machine"]
    lines = [
        f"{len(record['models'])} tuned models of {record['listed']} on the list; base `{record['base']}`, "
        f"fp32. KL and agreement on {record['texts']} texts. Public items: {sets} (wikitext: windows). Own "
        f"suite: {record['own_items']} items. Measured on {record['date']} ({m['processor']}, one thread).",
        "",
        f"The fall of accuracy on one half of the items has a rank correlation of {noise['halves']:.2f} with "
        f"that on the other half, which means {noise['all items']:.2f} for all items. So even an exact "
        f"measure of forgetting could not be expected to reach more than {noise['ceiling']:.2f} in that "
        "column.",
    ]
    if record["texts_agree"]:
        agree = record["texts_agree"]
        lines += [
            "",
            f"KL on the other general texts: {agree['spearman']:.2f} over {agree['models']} models.",
        ]
    return "\n".join(lines)


def picture(record: Record) -> None:
    """KL against each loss, a point a model, with the fitted curve."""
    figure, every = plt.subplots(1, 4, figsize=(13, 3.9), layout="constrained")
    groups = dict.fromkeys(_group(row) for row in record["models"])
    for axes, (key, (times, title, _)) in zip(every, FALLS.items(), strict=True):
        for group in groups:
            some = [row for row in record["models"] if _group(row) == group]
            axes.scatter([r["kl"] for r in some], [times * r[key] for r in some], s=22, label=group, zorder=3)
        kl = np.array([row["kl"] for row in record["models"]])
        grid = np.geomspace(kl.min(), kl.max(), 200)
        y = np.array([row[key] for row in record["models"]])
        axes.plot(grid, times * _curve(kl, y, grid), color="black", linewidth=0.8, alpha=0.6)
        axes.axhline(0, color="grey", linewidth=0.6)
        rho = record["spearman"]["kl"][key]["value"]
        axes.set(xscale="log", xlabel="KL(base || tuned), nats/token", title=f"Spearman {rho:.2f}")
        axes.set_ylabel(f"lost: {title}")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.spines[["top", "right"]].set_visible(False)
    every[0].legend(frameon=False, fontsize=7)
    figure.savefig(PICTURE, metadata={"Date": None})
    plt.close(figure)


def _group(row: Record) -> str:
    """How a model is drawn."""
    if row["method"] != "lora":
        return "full" if row["method"] == "full" else "other methods"
    if row["strength"] < 1:
        return "LoRA, weakened"
    return "LoRA with the KL penalty" if row["training"].get("kl_penalty") else "LoRA without"


def draw() -> None:
    """Put the record into docs/forgetting.md, between its markers, and draw docs/forgetting.svg."""
    record = json.loads(FILE.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Forgetting\n"
    parts = {
        "facts": facts(record),
        "correlations": table(record),
        "readings": readings_table(record),
        "models": models_table(record),
    }
    for name, text in parts.items():
        page = fill(page, name, text)
    PAGE.write_text(page, encoding="utf-8")
    picture(record)
