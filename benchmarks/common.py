"""What every table shares: the machine's facts, runners taken in turn, medians, the result file.

A runner is one program under measurement: ours or a peer's. Each run is a process of its own, and runners
take turns (A, B, C, A, B, C, ...), so that a slow minute of the machine hits all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
BASE = "smollm2-135m-instruct"
PYTHONS = {
    "rung": Path(sys.executable),
    "peers": HERE / ".venv" / "bin" / "python",
    "litgpt": HERE / ".venv-litgpt" / "bin" / "python",
}
STEP_ROWS = 32  # rows of an optimizer step
PEER_BATCH = 2  # rows of a tuned peer's micro-batch: of 1, 2, 4 and 8 the fastest for HF Trainer here
LORA_FLOPS = 500e6  # floating-point operations per token of LoRA training of the base
LORA = {"method": "lora", "rank": 16, "alpha": 32.0, "learning_rate": 5e-4}
Run = dict[str, Any]
Facts = dict[str, Any]  # about the machine
Found = dict[str, dict[str, float]]  # median, least and most by runner's name


@dataclass(frozen=True)
class Runner:
    """A program that reads a settings file and prints one line of JSON."""

    name: str
    script: str  # under benchmarks/
    settings: dict[str, Any] = field(default_factory=dict)
    venv: str = "peers"  # a key of `PYTHONS`
    source: str = ""  # of another version of rung, in place of the installed one

    def run(self, timeout: float = 1800) -> Run:
        """One measured process. Raises RuntimeError with the end of its error output."""
        python = PYTHONS[self.venv]
        if not python.exists():
            raise RuntimeError(f"the environment {self.venv!r} is not there: run `make bench`")
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(self.settings, file)
            file.flush()
            command = [str(python), str(HERE / self.script), file.name]
            quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": "ignore"}
            if self.source:
                quiet["PYTHONPATH"] = self.source
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout, env={**os.environ, **quiet}
            )
        lines = done.stdout.strip().splitlines()
        if done.returncode or not lines:
            raise RuntimeError(f"{self.name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        result: Run = json.loads(lines[-1])
        return result


def training(model: str, data: str, rows: int, *, dtype: str = "bf16", **more: Any) -> dict[str, Any]:
    """What all training runs of a table have in common: steps of 32 rows, after one of 8 to warm up."""
    steps = max(1, rows // STEP_ROWS)
    work = {"model": model, "base": BASE, "data": data, "rows": rows, "warmup_rows": 8, "steps": steps}
    return {**work, "dtype": dtype, **LORA, **more}


def rung(name: str, s: dict[str, Any], **more: Any) -> Runner:
    """rung in its own environment."""
    return Runner(name, "ours.py", {"kind": "train", **s, **more}, "rung")


def hf(name: str, s: dict[str, Any], **more: Any) -> Runner:
    """HF Trainer (+ PEFT), tuned."""
    return Runner(name, "peers/hf_trainer.py", {"batch": PEER_BATCH, "batching": "length", **s, **more})


def trl(name: str, s: dict[str, Any], *, tuned: bool, **more: Any) -> Runner:
    """TRL's SFTTrainer + PEFT."""
    return Runner(
        name, "peers/trl_sft.py", {"batch": PEER_BATCH if tuned else 8, "tuned": tuned, **s, **more}
    )


def litgpt(name: str, s: dict[str, Any], **more: Any) -> Runner:
    """LitGPT's LoRA, in an environment of its own."""
    return Runner(name, "peers/litgpt_lora.py", {"batch": PEER_BATCH, **s, **more}, "litgpt")


def options(rows: int, repeats: int = 3) -> argparse.Namespace:
    """The command line of every table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--rows", type=int, default=rows)
    return parser.parse_args()


def alternate(runners: Sequence[Runner], repeats: int) -> Iterator[dict[str, list[Run]]]:
    """Run all in turn, `repeats` times over; after each time, the runs so far by runner's name.

    A peer that fails is kept as ``{"error": ...}`` and not tried again; a failure of ours is raised.
    """
    runs: dict[str, list[Run]] = {runner.name: [] for runner in runners}
    for repeat in range(repeats):
        for runner in runners:
            if any("error" in run for run in runs[runner.name]):
                continue
            begun = time.monotonic()
            try:
                run = runner.run()
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                if runner.venv == "rung":
                    raise
                run = {"error": str(error)}
            runs[runner.name].append(run)
            rate = f"{run['count'] / run['seconds']:.2f} {run['unit']}/s" if "error" not in run else "failed"
            print(
                f"  {repeat + 1}/{repeats} {runner.name}: {rate} ({time.monotonic() - begun:.0f} s)",
                flush=True,
            )
            if "error" in run:
                print(run["error"], file=sys.stderr)
        yield runs


def summary(runs: dict[str, list[Run]], value: Callable[[Run], float] | None = None) -> Found:
    """Median, least and most of a value (items per second unless said) of every runner that ran."""
    of = value or (lambda run: run["count"] / run["seconds"])
    out = {}
    for name, some in runs.items():
        values = [of(run) for run in some if "error" not in run]
        if values:
            out[name] = {"median": median(values), "least": min(values), "most": max(values)}
    return out


def ratio(found: Found, a: str | None, b: str | None) -> float | None:
    """Median of `a` over median of `b`; None where one did not run."""
    return found[a]["median"] / found[b]["median"] if a in found and b in found else None


def fastest(found: Found) -> str | None:
    """The peer with the highest median; None where none ran. Names that begin with rung are ours."""
    peers = {name: one["median"] for name, one in found.items() if not name.startswith("rung")}
    return max(peers, key=lambda name: peers[name]) if peers else None


def machine() -> Facts:
    """CPU, cores, threads, versions, and GFLOP/s of the matrix product that training lives on."""
    import torch
    import transformers

    from rung import machine as this_one

    return {
        **this_one.describe(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "gflops_bf16": gemm_rate("bfloat16"),
        "gflops_fp32": gemm_rate("float32"),
    }


def gemm_rate(dtype: str, seconds: float = 2.0) -> float:
    """GFLOP/s of (1024, 576) x (576, 1536), median over `seconds`; flags of torch untouched."""
    import torch
    from torch.nn.functional import linear

    kind = getattr(torch, dtype)
    x, w = torch.randn(1024, 576).to(kind), torch.randn(1536, 576).to(kind)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        linear(x, w)
        times.append(time.perf_counter() - start)
    return 2 * 1024 * 576 * 1536 / median(times) / 1e9


@dataclass(frozen=True)
class Target:
    """What a table must show: a measured number, and the bound it must reach."""

    label: str
    value: float | None  # None where a run it needs is missing
    bound: float
    at_most: bool = False

    @property
    def reached(self) -> bool | None:
        if self.value is None:
            return None
        return self.value <= self.bound if self.at_most else self.value >= self.bound


def against_fastest(found: Found, label: str, bound: float) -> Target:
    """Ours over the fastest peer, whose name takes the place of ``{}`` in the label."""
    best = fastest(found)
    return Target(label.format(best), ratio(found, "rung", best), bound)


def measure(
    table: str,
    title: str,
    unit: str,
    runners: Sequence[Runner],
    repeats: int,
    *,
    gate: dict[str, Any],
    work: dict[str, Any],
    targets: Callable[[Found, Facts], Sequence[Target]] = lambda found, facts: (),
    value: Callable[[Run], float] | None = None,
) -> None:
    """Take the runners in turn and write results/<table>.json: every raw run with its versions and settings.

    `targets` makes the bounds of medians and facts about the machine, none unless given; `value` is what of a
    run is compared (default: items per second). The file is written after every turn, so a run cut short
    leaves what it has.
    """
    RESULTS.mkdir(exist_ok=True)
    facts = machine()
    for runs in alternate(runners, repeats):
        found = summary(runs, value)
        bounds = targets(found, facts)
        record = {
            "title": title,
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "unit": unit,
            "machine": facts,
            "gate": gate,
            "work": work,
            "summary": found,
            "targets": [{**vars(target), "reached": target.reached} for target in bounds],
            "runs": runs,
        }
        (RESULTS / f"{table}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for name, one in found.items():
        print(f"{name}: {one['median']:.4g} {unit} ({one['least']:.4g} to {one['most']:.4g})")
    for target in bounds:
        shown = "missing" if target.value is None else f"{target.value:.3g}"
        print(f"{target.label}: {shown} (target {'<=' if target.at_most else '>='} {target.bound})")
