"""What keeps a tuned model from forgetting, and what that costs: a penalty, and a weaker change.

    python benchmarks/remedies.py run        measures adapters that benchmarks/defaults.py has trained
    python benchmarks/remedies.py collect    writes results/remedies.json, docs/remedies.svg and the table

Of each data set the LoRA trained without a penalty and the one with it, at the same learning rate, the same
rows and the same number of steps. Each is measured with its change at several strengths.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import date
from statistics import fmean, stdev
from typing import Any

import defaults
from common import HERE, RESULTS, machine
from defaults import SETS, Job

FOLDER = HERE / ".work" / "remedies"
PAGE = HERE.parent / "docs" / "forgetting.md"
PAIRS = {"1e-3": ("plain", "centre"), "2e-3": ("plain, 2e-3", "2e-3")}  # rate -> without, with the penalty
STRENGTHS = (1.0, 0.75, 0.5, 0.25)
BOUND = 0.1  # nats a token that are asked for
MARK = "<!-- remedies -->"
Record = dict[str, Any]


def run() -> None:
    """Measure what is missing; one file for each adapter."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    settings = {setting.name: setting for setting in defaults.SETTINGS}
    for data in SETS:
        for names in PAIRS.values():
            for name in names:
                job = Job(0, data, settings[name])
                file = FOLDER / f"{data}-{name}.json".replace(" ", "_").replace(",", "")
                if job.file.exists() and not file.exists():
                    rows = measure(job)
                    half = file.with_suffix(".half")
                    half.write_text(json.dumps({"data": data, "setting": asdict(job.setting), "at": rows}))
                    half.rename(file)
                    print(data, name, [(one["strength"], one["kl"], one["loss"]) for one in rows], flush=True)


def measure(job: Job) -> list[Record]:
    """Loss of each dev row, drift, and accuracy where there are labels, by strength."""
    from rung.evaluation import forgetting
    from rung.methods.origin import Home
    from rung.methods.peft_format import load_adapter
    from rung.train.loss import row_losses

    data = defaults.of_name(job.data)
    base = data.prepared.base
    folder = defaults.FOLDER / "adapters" / job.file.stem
    attached = load_adapter(folder, base.model, Home(base.name, base.fingerprint, "", ""))[0]
    state, found = attached.state(), []
    try:
        for strength in STRENGTHS:
            attached.load_scaled(state, strength)
            kl, same = forgetting.drift(base, attached, data.texts)
            rows = [data.prepared.rendered[one.id] for one in data.dev]
            losses = row_losses(base.model, rows)
            found.append(
                {
                    "strength": strength,
                    "loss": round(fmean(losses), 4),
                    "losses": [round(one, 3) for one in losses],
                    "kl": round(kl.value or 0.0, 4),
                    "agreement": round(same.value or 0.0, 4),
                    **defaults.label_scores(data),
                }
            )
    finally:
        attached.detach()
    return found


def collect() -> None:
    """Write results/remedies.json, and draw it."""
    trained = {(one["data"], one["setting"]): one for one in defaults.read() if one["round"] == 0}
    models = [json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))]
    for one in models:
        about = trained[one["data"], one["setting"]["name"]]
        one |= {key: about[key] for key in ("cpu_seconds", "steps", "rows", "tokens")}
    result = {
        "title": "Remedies against forgetting",
        "date": date.today().isoformat(),
        "machine": machine(),
        "models": models,
    }
    (RESULTS / "remedies.json").write_text(json.dumps(result) + "\n")
    draw()


def draw() -> None:
    """The table in docs/forgetting.md and docs/remedies.svg, from the record."""
    record = json.loads((RESULTS / "remedies.json").read_text())
    page = PAGE.read_text()
    before, _, rest = page.partition(MARK)
    _, _, after = rest.partition(MARK)
    PAGE.write_text(f"{before}{MARK}\n{table(record)}\n{MARK}{after}")
    picture(record)


def pairs(record: Record) -> list[tuple[str, str, Record, Record]]:
    """Data set, rate, and the two models."""
    found = {(one["data"], one["setting"]["name"]): one for one in record["models"]}
    return [
        (data, rate, found[data, plain], found[data, kept])
        for data in SETS
        for rate, (plain, kept) in PAIRS.items()
        if (data, plain) in found and (data, kept) in found
    ]


def table(record: Record) -> str:
    """Without and with the penalty, and with the change as weak as the bound asks for."""
    m = record["machine"]
    lines = [
        f"LoRA at all layers, rank 16 ({record['date']}, one thread of {m['processor']}, fp32). Loss on "
        f"{len(record['models'][0]['at'][0]['losses'])} dev rows in nats a row / forgotten in nats a token; "
        "the difference of the losses with its standard error over rows:",
        "",
        "| data | rate | plain | with the penalty | forgets | loss, with minus plain | CPU time "
        f"| with the penalty, weakest of {len(STRENGTHS)} strengths within one standard error |",
        "|---" * 8 + "|",
    ]
    for data, rate, plain, kept in pairs(record):
        a, b = plain["at"][0], kept["at"][0]
        each = [x - y for x, y in zip(b["losses"], a["losses"], strict=True)]
        error = stdev(each) / len(each) ** 0.5
        weak = weakest(kept["at"])
        lines.append(
            f"| {data} | {rate} | {a['loss']:.3f} / {a['kl']:.2f} | {b['loss']:.3f} / {b['kl']:.2f} "
            f"| {b['kl'] / a['kl']:.2f}x | {fmean(each):+.3f} ± {error:.3f} "
            f"| {kept['cpu_seconds'] / plain['cpu_seconds']:.2f}x "
            f"| {weak['strength']:.2f}: {weak['loss']:.3f} / {weak['kl']:.2f} |"
        )
    return "\n".join(lines)


def weakest(at: list[Record]) -> Record:
    """The weakest change whose loss is within one standard error of the best, as `rung.ladder.strength`."""
    from rung.ladder.strength import Tried, choose

    tried = [Tried(one["strength"], tuple(one["losses"]), one["kl"]) for one in at]
    taken = choose(tried, None)
    return next(one for one in at if taken is not None and one["strength"] == taken.strength)


def picture(record: Record) -> None:
    """Loss on dev against what was forgotten: a line for each model, a point for each strength."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    sets = list(dict.fromkeys(one["data"] for one in record["models"]))
    figure, panels = plt.subplots(1, len(sets), figsize=(3.3 * len(sets), 3.2), squeeze=False)
    for panel, data in zip(panels[0], sets, strict=True):
        for _, rate, *models in (one for one in pairs(record) if one[0] == data):
            for model, color in zip(models, ("#c2410c", "#1d4ed8"), strict=True):
                kept = model["setting"]["weight"] > 0
                style = "-" if rate == "1e-3" else "--"
                panel.plot(
                    [one["kl"] for one in model["at"]],
                    [one["loss"] for one in model["at"]],
                    style,
                    marker="o",
                    markersize=3,
                    color=color,
                    label=f"{'with the penalty' if kept else 'plain'}, {rate}",
                )
        panel.axvline(BOUND, color="#888888", linewidth=0.8)
        panel.set_xscale("log")
        panel.set_title(data, fontsize=9)
        panel.set_xlabel("forgotten, nats a token", fontsize=8)
    panels[0][0].set_ylabel("loss on dev, nats a row", fontsize=8)
    panels[0][0].legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(PAGE.with_name("remedies.svg"), metadata={"Date": None})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["run", "collect", "draw"])
    given = parser.parse_args()
    {"run": run, "collect": collect, "draw": draw}[given.what]()
