"""Results into docs/performance.md, each table between its markers, and docs/performance.svg.

The text around the markers is written by hand and left alone; a marker that is missing is added at the end.
"""

from __future__ import annotations

import json
from typing import Any

import matplotlib
import quotes
from common import HERE, RESULTS

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import NullFormatter

PAGE = HERE.parent / "docs" / "performance.md"
PICTURE = PAGE.with_suffix(".svg")
MIB = 2**20
OTHER_WORK = ", rows of table 5"  # names end with it in the ablation
OWN = {"rows", "warmup_rows", "steps", "epochs", "base", "kind"}  # the same for everybody: said once
Record = dict[str, Any]


def load() -> dict[str, Record]:
    """Result files of speed and memory, by name."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    timed = {name: one for name, one in found.items() if "gflops_bf16" in one.get("machine", {})}
    return {name: one for name, one in timed.items() if not isinstance(one.get("runs"), list)}


def table(record: Record) -> str:
    """One result as Markdown: rates, bounds, gate, versions and settings."""
    lines = [
        f"**{record['title']}.** {_work(record['work'])}",
        "",
        f"| | {record['unit']}, median | least to most | rung / this | peak memory | first step after |",
        "|---|---|---|---|---|---|",
    ]
    for name, runs in record["runs"].items():
        one = record["summary"].get(name)
        if one is None:
            lines.append(f"| {name} | failed: {runs[-1]['error'].splitlines()[-1]} | | | | |")
            continue
        mine = record["summary"].get(_same_work(name))
        times = f"{mine['median'] / one['median']:.2f}x" if mine else ""
        peak = sorted(run["peak_rss_above_weights"] for run in runs)[len(runs) // 2] / MIB
        first = sorted(run["time_to_first_step"] for run in runs)[len(runs) // 2]
        rate, spread = _number(one["median"]), f"{_number(one['least'])} to {_number(one['most'])}"
        lines.append(f"| {name} | {rate} | {spread} | {times} | {peak:,.0f} MiB | {first:.1f} s |")
    lines += ["", *(_target(one) for one in record["targets"])]
    lines += [_gate(record["gate"]), "", "Settings:", *_settings(record["runs"])]
    return "\n".join(lines)


def shares(record: Record) -> str:
    """Where the time of each profiled run goes."""
    runs = record["seconds"]
    lines = ["| | " + " | ".join(runs) + " |", "|---" * (len(runs) + 1) + "|"]
    for kind in next(iter(runs.values())):
        cells = (f"{seconds[kind] / sum(seconds.values()):.0%}" for seconds in runs.values())
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    whole = (f"{sum(seconds.values()):.1f} s" for seconds in runs.values())
    lines.append(f"| all | {' | '.join(whole)} |")
    return "\n".join([*lines, "", f"Steps on {_work(record['work'])}"])


def busy(record: Record) -> str:
    """Rates next to busy processes, and the bounds."""
    lines = ["| real tokens/s, median | alone | one busy process | two |", "|---|---|---|---|"]
    for arm, rates in record["summary"].items():
        cells = ("not measured" if rate is None else _number(rate) for rate in rates.values())
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *map(_target, record["targets"])])


def peaks(record: Record) -> str:
    """Memory of tuning: what was quoted, what was measured, and the bounds."""
    lines = ["| | quoted | measured | above the interpreter with its libraries |", "|---|---|---|---|"]
    for name, sizes in record["bytes"].items():
        cells = (f"{sizes[key] / 1e9:.2f} GB" for key in ("quote", "peak", "above libraries"))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([f"**{record['title']}.**", "", *lines, "", *map(_target, record["targets"])])


def machine(records: dict[str, Record]) -> str:
    """Where and when the tables were measured."""
    lines = []
    for name, record in records.items():
        m = record["machine"]
        lines.append(
            f"- {name}, {record['date']}: {m['processor']}, {m['cores']} cores, {m['threads']} threads, "
            f"torch {m['torch']}; products of 1024x576x1536 at {m['gflops_bf16']:.0f} GFLOP/s in bf16 and "
            f"{m['gflops_fp32']:.0f} in fp32{_repeats(record)}"
        )
    return "\n".join(lines)


def targets(records: dict[str, Record]) -> str:
    """All bounds on one page."""
    lines = ["| table | measured | target | reached |", "|---|---|---|---|"]
    for record in records.values():
        for one in record["targets"]:
            value = "not measured" if one["value"] is None else f"{one['value']:.2f}"
            sign = "<=" if one["at_most"] else ">="
            reached = {True: "yes", False: "no", None: "-"}[one["reached"]]
            lines.append(f"| {one['label']} | {value} | {sign} {one['bound']} | {reached} |")
    return "\n".join(lines)


def picture(records: dict[str, Record]) -> None:
    """How many times as fast as each peer rung is, on a log axis."""
    bars = []
    for name, record in records.items():
        if name == "table_04":  # memory, not speed
            continue
        for peer, value in record["summary"].items():
            mine = record["summary"].get(_same_work(peer))
            if mine and not peer.startswith("rung"):
                bars.append((f"{name.removeprefix('table_')}  {peer}", mine["median"] / value["median"]))
    if not bars:
        return
    labels, values = zip(*reversed(bars), strict=True)
    figure, axes = plt.subplots(figsize=(9, 0.32 * len(bars) + 1.2), layout="constrained")
    drawn = axes.barh(labels, values, color="#3b6ea5")
    axes.bar_label(drawn, [f"{value:.1f}x" for value in values], padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}x")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("times as fast as this peer (table number, peer)")
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.1)
    figure.savefig(PICTURE, metadata={"Date": None})
    plt.close(figure)


def fill(page: str, name: str, text: str) -> str:
    """`page` with `text` between the markers of `name`."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if begin not in page or end not in page:
        page = page.rstrip("\n") + f"\n\n{begin}\n{end}\n"
    before, rest = page.split(begin, 1)
    return before + begin + "\n" + text + "\n" + end + rest.split(end, 1)[1]


def main() -> None:
    everything = load()
    if not everything:
        raise SystemExit("there are no results yet")
    records = {name: record for name, record in everything.items() if {"runs", "summary"} <= record.keys()}
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Performance\n"
    if PICTURE.name not in page:
        page = page.rstrip("\n") + f"\n\n![times as fast as each peer]({PICTURE.name})\n"
    page = fill(page, "targets", targets(records))
    for name, record in records.items():
        page = fill(page, name, table(record))
    if "profiles" in everything:
        page = fill(page, "profiles", shares(everything["profiles"]))
    if "memory_peaks" in everything:
        page = fill(page, "memory_peaks", peaks(everything["memory_peaks"]))
    if "busy" in everything:
        page = fill(page, "busy", busy(everything["busy"]))
    if quotes.FILE.exists():
        page = fill(page, "quotes", quotes.table(json.loads(quotes.FILE.read_text(encoding="utf-8"))))
    page = fill(page, "machine", machine(everything))
    PAGE.write_text(page, encoding="utf-8")
    picture(records)


def _repeats(record: Record) -> str:
    return f"; {max(map(len, record['runs'].values()))} repeats in turn" if "runs" in record else ""


def _same_work(name: str) -> str:
    """The run of ours that did the same work as the runner called `name`."""
    return f"rung{OTHER_WORK}" if name.endswith(OTHER_WORK) else "rung"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _work(work: Record) -> str:
    said = f"{work['rows']} rows, {work['tokens']:,} tokens of {work['shortest']} to {work['longest']} a row"
    learned = f", {work['target_tokens']:,} of them learned" if work["target_tokens"] else ""
    known = {"name", "rows", "tokens", "target_tokens", "shortest", "longest"}
    rest = "".join(f"; {key.replace('_', ' ')} {value}" for key, value in work.items() if key not in known)
    return f"`{work['name']}`: {said}{learned}{rest}."


def _target(one: Record) -> str:
    value = "not measured" if one["value"] is None else f"{one['value']:.2f}"
    return f"- {one['label']}: {value} (target {'<=' if one['at_most'] else '>='} {one['bound']})"


def _gate(gate: Record) -> str:
    """The exactness that was checked before, as one line."""
    parts = []
    for key, value in gate.items():
        if isinstance(value, dict) and "bound" in value:
            off = f"loss {value['loss']:.1e}, gradients {value['gradients']:.1e}"
            parts.append(f"{key}: {off} (at most {value['bound']:.1e})")
    if "worst" in gate:
        parts.append(f"at most {gate['worst']:.1e} off (bound {gate['bound']:g})")
    if "same" in gate:
        parts.append(f"{gate['same']} of {gate['rows']} rows the same")
    return f"- Exactness, {gate['what']}, {gate['rows']} rows: {'; '.join(parts)}."


def _settings(runs: dict[str, list[Record]]) -> list[str]:
    """Each runner's versions and settings, as it reported them."""
    lines = []
    for name, some in runs.items():
        run = next((run for run in some if "error" not in run), None)
        if run is None:
            continue
        versions = ", ".join(f"{key} {value}" for key, value in run["versions"].items())
        chosen = {
            key: value for key, value in run["settings"].items() if key not in OWN and value is not None
        }
        shown = ", ".join(f"{key} {_short(value)}" for key, value in chosen.items())
        lines.append(f"- {name}: {versions}; {shown}.")
    return lines


def _short(value: Any) -> str:
    return f"{value[0]} to {value[-1]}" if isinstance(value, list) and len(value) > 3 else str(value)


if __name__ == "__main__":
    main()
