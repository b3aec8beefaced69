"""Training next to processes that keep the cores busy: tokens per second with none, one and two of them.

"before" leaves OpenMP as it is and computes with a fixed number of threads, as rung did; "now" is rung with
its defaults. Both take turns, each in a process of its own, on the real base. Takes about six minutes. After
each process results/busy.json holds what was measured, and the same command continues from there.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from statistics import median
from typing import Any

import work
from common import BASE, RESULTS, Runner, Target, machine

FILE = RESULTS / "busy.json"
BUSY = (0, 1, 2)
QUIET = 0.15  # cores; what others may use while a phase runs "alone"
FREE = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


def runner(data: str, arm: str, **more: Any) -> Runner:
    before = arm == "before"
    s = {"base": BASE, "data": data, "rows": 64, "dtype": "bf16", "before": before, **more}
    s.setdefault("threads", os.cpu_count() if before else None)
    return Runner(arm, "busy_run.py", s, "rung")


def gate(data: str) -> dict[str, Any]:
    """In fp32 with the same number of threads, both must show the same losses, bit by bit."""
    runs = [
        runner(data, arm, dtype="fp32", threads=os.cpu_count(), gate_steps=4).run()
        for arm in ("before", "now")
    ]
    before, now = (run["losses"] for run in runs)
    if before != now:
        raise SystemExit(f"the losses differ: {before} and {now}")
    return {"fp32_losses": now, "equal": True}


def rates(runs: list[dict[str, Any]], arm: str, busy: int) -> list[float]:
    """Tokens per second of every phase of a kind; "alone" counts only where the machine was quiet."""
    return [
        phase["rate"]
        for run in runs
        if run["arm"] == arm
        for phase in run["phases"]
        if phase["busy"] == busy and (busy or phase["others_cores"] is None or phase["others_cores"] <= QUIET)
    ]


def summary(runs: list[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Median tokens per second by arm and number of busy processes."""
    found: dict[str, dict[str, float | None]] = {}
    for arm in ("before", "now"):
        some = {str(busy): rates(runs, arm, busy) for busy in BUSY}
        found[arm] = {busy: median(values) if values else None for busy, values in some.items()}
    return found


def targets(found: dict[str, dict[str, float | None]]) -> list[Target]:
    def share(arm: str, busy: int, of: str) -> float | None:
        part, whole = found[arm][str(busy)], found[of]["0"]
        return part / whole if part is not None and whole else None

    return [
        Target("alone, against before", share("now", 0, "before"), 1.0),
        Target("next to one busy process, against alone", share("now", 1, "now"), 0.6),
        Target("next to two busy processes, against alone", share("now", 2, "now"), 0.4),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each phase")
    parser.add_argument("--again", action="store_true", help="forget what an earlier run has measured")
    o = parser.parse_args()
    for name in FREE:  # what a user's shell says nothing about
        os.environ.pop(name, None)
    data = work.build("broad")
    old = json.loads(FILE.read_text()) if FILE.exists() and not o.again else {}
    record: dict[str, Any] = {
        "title": "LoRA r16 on all linear layers next to busy processes, bf16",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "unit": "real tokens/s",
        "machine": machine(),
        "gate": old.get("gate") or gate(data),
        "work": work.about(data, 64),
        "turns": old.get("turns", []),
    }
    while len(record["turns"]) < 2 * o.repeats:
        turn = len(record["turns"])
        arm = ("before", "now")[(turn + turn // 2) % 2]  # before now, now before, before now
        run = runner(data, arm, busy=list(BUSY), seconds=o.seconds).run()
        record["turns"].append({"arm": arm, **run})
        record["summary"] = summary(record["turns"])
        record["targets"] = [{**vars(t), "reached": t.reached} for t in targets(record["summary"])]
        RESULTS.mkdir(exist_ok=True)
        FILE.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        shown = ", ".join(f"{p['busy']} busy: {p['rate']:.0f} tokens/s" for p in run["phases"])
        print(f"  {turn + 1}/{2 * o.repeats} {arm}: {shown}", flush=True)
    for target in targets(record["summary"]):
        value = "missing: the machine was not quiet" if target.value is None else f"{target.value:.2f}"
        print(f"{target.label}: {value} (target >= {target.bound})")


if __name__ == "__main__":
    main()
