"""Picking one of 77 labels against picking one of 6 of them: what a row costs, on the real base.

The prompts are those of zero-shot: the same helpdesk messages below an instruction that lists the labels.
Both arms go through `pick_labels`, as answers do, in turn in one process. First the gate: in
fp32 the search must pick what scoring every label picks. Writes results/labels.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import work
from common import BASE, HERE, RESULTS, Target, machine

from rung import device
from rung.bases.base import Base
from rung.compute.load import load
from rung.data.formats import read_examples
from rung.data.templates import Renderer
from rung.evaluation.label_rules import LabelRule, calibrated
from rung.evaluation.label_scores import pick_labels
from rung.evaluation.prompts import content_free, zero_shot
from rung.evaluation.run import Speaker
from rung.generate.branches import Branches, Tree
from rung.generate.choose import best_choices, log_likelihoods
from rung.records import Example, Task

MANY = """activate my card; age limit; apple pay or google pay; atm support; automatic top up; balance not
updated after bank transfer; balance not updated after cheque or cash deposit; beneficiary not
allowed; cancel transfer; card about to expire; card acceptance; card arrival; card delivery
estimate; card linking; card not working; card payment fee charged; card payment not recognised;
card payment wrong exchange rate; card swallowed; cash withdrawal charge; cash withdrawal not
recognised; change pin; compromised card; contactless not working; country support; declined
card payment; declined cash withdrawal; declined transfer; direct debit payment not recognised;
disposable card limits; edit personal details; exchange charge; exchange rate; exchange via app;
extra charge on statement; failed transfer; fiat currency support; get disposable virtual card;
get physical card; getting spare card; getting virtual card; lost or stolen card; lost or stolen
phone; order physical card; passcode forgotten; pending card payment; pending cash withdrawal;
pending top up; pending transfer; pin blocked; receiving money; refund not showing up; request
refund; reverted card payment; supported cards and currencies; terminate account; top up by bank
transfer charge; top up by card charge; top up by cash or cheque; top up failed; top up limits;
top up reverted; topping up by card; transaction charged twice; transfer fee charged; transfer
into account; transfer not received by recipient; transfer timing; unable to verify identity;
verify my identity; verify source of funds; verify top up; virtual card not working; visa or
mastercard; why verify identity; wrong amount of cash received; wrong exchange rate for cash
withdrawal"""
LABELS = tuple(" ".join(label.split()) for label in MANY.split(";"))
FEW = LABELS[::13]
BOUND = 3.0


@dataclass
class Arm:
    """Rows to be given one of some labels."""

    speaker: Speaker
    labels: tuple[str, ...]
    examples: Sequence[Example]

    def __post_init__(self) -> None:
        task = Task("classification", "", ("accuracy",), labels=self.labels)
        renderer = self.speaker.renderer
        prompts = [zero_shot(task, one) for one in self.examples]
        self.ids = renderer.prompts(self.examples, prompts)
        self.choices = [renderer.completion_ids(label) for label in self.labels]
        empty = [renderer.prompt_ids(prompt) for prompt in content_free(prompts[0])]
        self.rule = calibrated(log_likelihoods(self.speaker.base, empty, self.choices))

    def run(self, rule: LabelRule) -> dict[str, Any]:
        """Seconds, processor seconds, nodes and passes for all rows."""
        reads: list[int] = []
        real = Branches.read

        def read(self: Branches, rows: Any, nodes: Any) -> Any:
            reads.append(len(nodes))
            return real(self, rows, nodes)

        Branches.read = read  # type: ignore[method-assign]
        try:
            start, cpu = time.perf_counter(), time.process_time()
            pick_labels(self.speaker, self.labels, rule, self.examples, self.ids)
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        finally:
            Branches.read = real  # type: ignore[method-assign]
        return {"seconds": seconds, "cpu_seconds": cpu, "nodes": sum(reads), "passes": len(reads)}

    def gate(self) -> dict[str, Any]:
        """Whether the search picks what scoring all labels picks. Stops where it does not."""
        scores = log_likelihoods(self.speaker.base, self.ids, self.choices)
        lengths = [len(choice) for choice in self.choices]
        rules = [LabelRule(), self.rule, LabelRule(per_token=True)]
        offsets = np.stack([rule.added(len(lengths)) for rule in rules])
        factors = np.stack([rule.factors(lengths) for rule in rules])
        found = best_choices(self.speaker.base, self.ids, self.choices, offsets, factors)
        whole = np.stack([rule.applied(scores, lengths) for rule in rules])  # (rules, rows, labels)
        picked = np.take_along_axis(whole, found[..., None], -1)[..., 0]
        off = float((whole.max(-1) - picked).max())
        if off > 1e-3:
            raise SystemExit(f"the search picks a label that is {off} nats below the best one")
        return {"picks": int(found.size), "equal": int((found == whole.argmax(-1)).sum()), "nats_off": off}


def open_base(dtype: str, threads: int | None) -> Speaker:
    chosen = device.choose("bf16" if dtype == "bf16" else "fp32", threads)
    base: Base = load(BASE, dtype=chosen.dtype, device=str(chosen.device))
    return Speaker(base, Renderer(base.tokenizer))


def arms(speaker: Speaker, examples: Sequence[Example]) -> dict[str, Arm]:
    return {"6 labels": Arm(speaker, FEW, examples), "77 labels": Arm(speaker, LABELS, examples)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--gate-rows", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    o = parser.parse_args()
    work.model_folder()
    path = HERE.parent / "examples" / "helpdesk" / "messages.csv"
    examples = read_examples(path).examples[: o.rows]
    exact = arms(open_base("fp32", o.threads), examples[: o.gate_rows])
    gate = {name: arm.gate() for name, arm in exact.items()}
    print(gate, flush=True)
    found = arms(open_base("bf16", o.threads), examples)
    rules = {"likelihood": lambda arm: LabelRule(), "calibrated": lambda arm: arm.rule}
    runs: dict[str, list[dict[str, Any]]] = {f"{name}, {rule}": [] for rule in rules for name in found}
    for arm in found.values():
        arm.run(LabelRule())  # warm up
    for _ in range(o.repeats):
        for rule, of in rules.items():
            for name, arm in found.items():
                runs[f"{name}, {rule}"].append(arm.run(of(arm)))
    record = {
        "title": "Picking one of 77 labels against one of 6, bf16",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "unit": "seconds",
        "machine": machine(),
        "gate": gate,
        "work": {
            "rows": len(examples),
            **{
                f"{name}, {what}": value
                for name, arm in found.items()
                for what, value in {
                    "tokens": sum(map(len, arm.ids)),
                    "nodes": len(Tree.of(arm.choices).tokens),
                }.items()
            },
        },
        "runs": runs,
    }
    ratios = {
        rule: median(
            many["seconds"] / few["seconds"]
            for many, few in zip(runs[f"77 labels, {rule}"], runs[f"6 labels, {rule}"], strict=True)
        )
        for rule in rules
    }
    targets = [
        Target(f"77 labels against 6, {rule}", value, BOUND, at_most=True) for rule, value in ratios.items()
    ]
    record["targets"] = [{**vars(target), "reached": target.reached} for target in targets]
    (RESULTS / "labels.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for name, some in runs.items():
        last = some[-1]
        seconds = median(run["seconds"] for run in some)
        cpu = median(run["cpu_seconds"] for run in some)
        print(f"{name}: {seconds:.2f} s ({cpu:.2f} s cpu), {last['nodes']} nodes in {last['passes']} passes")
    for target in targets:
        print(f"{target.label}: {target.value:.2f} (target <= {target.bound})")


if __name__ == "__main__":
    main()
