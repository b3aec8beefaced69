"""LoRA over a base held in full, in 8 and in 4 bits: memory, speed and dev loss, on the real base.

First the gate: over 4 and 8 bits, loss and gradients in fp32 must be those over ordinary layers with the
same, already rounded, weights. Then single steps on one thread, the arms taking turns in one process: tokens
per second of processor time, which other processes hardly change. Then runs, each a process of its own, in
turn: memory, wall time and dev loss. Takes about ten minutes for each number format on an idle machine;
results/quantized.json keeps those that were measured, and ``--repeats 0`` measures steps alone.
"""

from __future__ import annotations

import argparse
import json
import time
from statistics import median
from typing import Any

import gates
import ours
import torch
import work
from common import BASE, LORA, RESULTS, Run, Runner, alternate, machine
from peers import measure

from rung import device
from rung.compute.load import load
from rung.compute.names import replace
from rung.compute.quantized import QuantizedLinear
from rung.train.loss import pack_loss
from rung.train.trainer import Trainer, TrainSettings

FILE = RESULTS / "quantized.json"
ARMS: dict[str, int | None] = {"full": None, "8 bits": 8, "4 bits": 4}
BOUND = 1e-5
STEPS = 12
STEP_TOKENS = 1024
MIB = 2**20


def gate(data: str) -> dict[str, Any]:
    """Loss and gradients of four rows on the path from codes against the path from weights, in fp32."""
    rows = ours.rendered(measure.read_rows(data, 0, 4))
    found: dict[str, Any] = {"what": "loss and gradients of one step, fp32", "bound": BOUND}
    for bits in (8, 4):
        both = []
        for opened in (False, True):
            base = load(BASE, bits=bits)  # type: ignore[arg-type]
            if opened:
                for name, one in list(base.model.named_modules()):
                    if isinstance(one, QuantizedLinear):
                        replace(base.model, name, one.opened())
            attached = ours.attach(base, LORA)
            with torch.no_grad():
                for i, parameter in enumerate(attached.parameters()):
                    draw = torch.Generator().manual_seed(i)
                    parameter += 0.02 * torch.randn(parameter.shape, generator=draw)
            attached.updated()
            loss = pack_loss(base.model, rows)
            loss.backward()
            gradient = torch.cat([p.grad.flatten() for p in attached.parameters()])
            both.append((float(loss.detach()), gradient))
        (loss, mine), (wanted, theirs) = both
        found[f"{bits} bits"] = {
            "loss": abs(loss - wanted) / wanted,
            "gradient": float((mine - theirs).norm() / theirs.norm()),
        }
    errors = [error for bits in (8, 4) for error in found[f"{bits} bits"].values()]
    return gates.passed({**found, "passed": max(errors) <= BOUND})


def steps(data: str, dtype: str, rounds: int) -> dict[str, Any]:
    """Tokens per second of processor time of each of `rounds` steps; all arms take the same steps."""
    chosen = device.choose(dtype, 1)  # type: ignore[arg-type]
    rows = ours.rendered(measure.read_rows(data, 0, 64))
    settings = TrainSettings(learning_rate=2e-3, epochs=rounds + 1, step_tokens=STEP_TOKENS)
    taking = {}
    for arm, bits in ARMS.items():
        base = load(BASE, dtype=chosen.dtype, bits=bits)  # type: ignore[arg-type]
        trainer = Trainer(base.model, ours.attach(base, LORA), rows, rows[:1], settings)
        taking[arm] = trainer.steps(time.process_time)
    rates: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for turn in range(rounds + 1):
        for arm, some in taking.items():
            step = next(some)
            if turn:  # the first warms up
                rates[arm].append(step.tokens / step.seconds)
    middle = {arm: round(median(some), 2) for arm, some in rates.items()}
    print(f"tokens per processor second: {middle}", flush=True)
    return {"unit": "tokens per second of processor time, one thread", "median": middle, "each": rates}


def summary(runs: dict[str, list[Run]]) -> dict[str, dict[str, Any]]:
    """Medians of each arm; dev losses are the same in every run of an arm up to rounding."""
    values = {
        "tokens_per_second": lambda run: run["count"] / run["seconds"],
        "weights_mib": lambda run: run["weight_bytes"] / MIB,
        "load_peak_mib": lambda run: run["load_peak"] / MIB,
        "load_seconds": lambda run: run["load_seconds"],
        "base_mib": lambda run: run["resident_base"] / MIB,
        "training_peak_mib": lambda run: run["peak_rss"] / MIB,
        "dev_loss_at_start": lambda run: run["dev_loss"][0],
        "dev_loss_at_end": lambda run: run["dev_loss"][1],
    }
    return {
        arm: {name: round(median(map(of, some)), 4) for name, of in values.items()}
        for arm, some in runs.items()
        if some
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=192)
    parser.add_argument("--dtype", choices=["bf16", "fp32"], default="bf16", help="of all but the codes")
    parser.add_argument("--threads", type=int)
    o = parser.parse_args()
    data = work.build("reviews")
    record: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    record["gate"] = gate(data)
    s = {**LORA, "base": BASE, "data": data, "rows": o.rows, "dev_rows": 64, "dtype": o.dtype}
    s |= {"steps": STEPS, "learning_rate": 2e-3}  # that of a climb, since the steps are few
    arms = [
        Runner(arm, "quantized_run.py", {**s, "threads": o.threads, "bits": bits}, "rung")
        for arm, bits in ARMS.items()
    ]
    facts = machine()
    record.setdefault(o.dtype, {})["steps"] = steps(data, o.dtype, o.rounds)
    record[o.dtype] |= {"date": time.strftime("%Y-%m-%d", time.gmtime()), "machine": facts}
    RESULTS.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for runs in alternate(arms, o.repeats):
        record[o.dtype] |= {
            "title": f"LoRA r16 on all linear layers over a base held in full, in 8 and in 4 bits, {o.dtype}",
            "unit": "MiB above interpreter and libraries; tokens/s; nats per target token",
            "work": work.about(data, o.rows),
            "summary": summary(runs),
            "runs": runs,
        }
        FILE.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for arm, one in record[o.dtype].get("summary", {}).items():
        print(f"{arm}: {', '.join(f'{name} {value:.4g}' for name, value in one.items())}")


if __name__ == "__main__":
    main()
