"""rung under measurement, in its own environment and through the parts that the product itself calls.

Settings: kind (train | score | generate), base, data, rows, warmup_rows, dtype (bf16 | fp32) and
  train: method (lora | full), rank, alpha, learning_rate, steps, epochs, top_layers, and train, other values
         for TrainSettings;
  score: outputs;  generate: new_tokens, stop_ids, outputs, and adapters (folders; row i is written by adapter
         i modulo their number) with how (together | in turn | first: all rows by the first one);
  without: names of mechanisms to switch off (`MECHANISMS`), for the ablation and for "no sharing".
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peers import measure
from torch.nn.functional import scaled_dot_product_attention

from rung import device
from rung.bases.base import Base
from rung.compute import blocks, body, head, passes
from rung.compute.load import load
from rung.data import prefix
from rung.generate.choose import log_likelihoods
from rung.generate.engine import Engine
from rung.methods import METHODS
from rung.methods.origin import Home
from rung.methods.peft_format import load_adapter
from rung.methods.slots import slots_of
from rung.records import Rendered
from rung.train import loss
from rung.train import trainer as training
from rung.train.trainer import Outcome, Trainer, TrainSettings

PACKAGES = ("rung", "torch", "transformers")
ALL_AT_ONCE = 10**9  # tokens: one optimizer step


def _fused_layers() -> None:
    body.why_not = lambda model: "switched off"


def _fused_head() -> None:
    head.is_plain = lambda model: False


def _target_rows() -> None:
    few = loss.targets

    def every(tree: Any, rows: Any) -> Any:
        found = few(tree, rows)
        for place in range(len(tree.ids)):
            found.setdefault((place, 0), 0)  # computed, and weighs nothing
        return found

    loss.targets = every


def _shared_prefixes() -> None:
    passes.build = partial(passes.build, shortest=ALL_AT_ONCE)
    apart = training.plan
    training.plan = lambda lengths, ids=None, **rest: apart(lengths, None, **rest)


def _batched_attention() -> None:
    _shared_prefixes()

    def alone(self: Any, q: Any, k: Any, v: Any, scale: float, past: Any = None) -> Any:
        parts = (part.split([stop - start for start, stop in self._spans], 2) for part in (q, k, v))
        flash = partial(scaled_dot_product_attention, is_causal=True, scale=scale, enable_gqa=True)
        return torch.cat([flash(*one) for one in zip(*parts, strict=True)], 2)

    prefix.LONGEST = ALL_AT_ONCE
    blocks.Blocks.attend = alone


def _kept_memory() -> None:
    device.keep_freed_memory = lambda: False


# Mechanism -> what switches it off in this process. The place to add one, and the only one.
MECHANISMS: dict[str, Callable[[], None]] = {
    "fused layers": _fused_layers,
    "fused head": _fused_head,
    "target rows": _target_rows,
    "shared prefixes": _shared_prefixes,
    "batched attention and shared prefixes": _batched_attention,
    "kept memory": _kept_memory,
}


class Steps:
    """The trainer's listener: the loss of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def step(self, done: int, total: int, loss: float, tokens_per_second: float, seconds_left: float) -> None:
        self.losses.append(loss)


def rendered(rows: list[dict[str, Any]]) -> list[Rendered]:
    """Rows of a workload as rung's records."""
    return [Rendered(str(i), tuple(row["ids"]), tuple(row["mask"])) for i, row in enumerate(rows)]


def switch_off(names: Sequence[str]) -> None:
    """Switch mechanisms off. Stops at a name that is not known."""
    for name in names:
        if name not in MECHANISMS:
            raise SystemExit(f"this rung cannot switch off {name!r}; known: {', '.join(MECHANISMS)}")
        MECHANISMS[name]()


def attach(base: Base, s: dict[str, Any]) -> Any:
    """The method on the model."""
    asked: dict[str, Any] = {"rank": s.get("rank", 16), "alpha": s.get("alpha", 32.0)}
    if s.get("top_layers"):
        asked["top_layers"] = s["top_layers"]
    method = METHODS[s["method"]]
    return method.attach(base.model, method.make(method.takes(asked)))


def trainer(
    base: Base, attached: Any, rows: list[Rendered], s: dict[str, Any], steps: int, listener: Any
) -> Trainer:
    """A trainer that takes `steps` steps an epoch and measures dev loss only before the first."""
    tokens = sum(len(row.ids) for row in rows)
    settings = TrainSettings(
        learning_rate=s["learning_rate"],
        epochs=s.get("epochs", 1),
        step_tokens=tokens // steps if steps > 1 else ALL_AT_ONCE,
        evaluations=0,
        **s.get("train", {}),
    )
    return Trainer(base.model, attached, rows, rows[:1], settings, listener=listener)


def train(base: Base, s: dict[str, Any]) -> dict[str, Any]:
    """Warm up with one small step, then the measured epochs."""
    rows, warm = map(rendered, measure.training_rows(s))
    memory = measure.Memory(base.model.parameters())
    attached = attach(base, s)
    trainer(base, attached, warm, {**s, "epochs": 1}, 1, None).run()
    first, steps = measure.age(), Steps()
    outcome: Outcome = trainer(base, attached, rows, s, s["steps"], steps).run()
    wanted = s["steps"] * s.get("epochs", 1)
    if outcome.steps != wanted:
        raise SystemExit(f"{outcome.steps} steps were taken, not {wanted}")
    return {
        "unit": "tokens",
        "count": outcome.tokens,
        "seconds": outcome.seconds,
        "memory": memory,
        "losses": steps.losses,
        "time_to_first_step": first,
        "trainable": sum(p.numel() for p in attached.parameters()),
        "notes": outcome.notes,
    }


def score(base: Base, s: dict[str, Any]) -> dict[str, Any]:
    """Label scoring; the choices are those of the first row, as in the product."""
    rows = measure.read_rows(s["data"], 0, s["rows"])
    prompts, choices = [row["ids"] for row in rows], rows[0]["choices"]
    memory = measure.Memory(base.model.parameters())
    log_likelihoods(base, prompts[: s["warmup_rows"]], choices)
    first, start = measure.age(), time.perf_counter()
    scores = log_likelihoods(base, prompts, choices)
    seconds = time.perf_counter() - start
    keep(s, scores.tolist())
    return {
        "unit": "rows",
        "count": len(rows),
        "seconds": seconds,
        "memory": memory,
        "time_to_first_step": first,
    }


def generate(base: Base, s: dict[str, Any]) -> dict[str, Any]:
    """Greedy generation of `new_tokens` tokens, or until one of `stop_ids`."""
    prompts = [row["ids"] for row in measure.read_rows(s["data"], 0, s["rows"])]
    warm = [row["ids"] for row in measure.read_rows(s["data"], s["rows"], s["warmup_rows"])]
    for place, folder in enumerate(s.get("adapters", ())):
        load_adapter(Path(folder), base.model, Home(base.name, base.fingerprint, "", ""), str(place))
    memory = measure.Memory(base.model.parameters())
    write = partial(_write, Engine(base), s, stop_ids=s["stop_ids"])
    write(warm, max_new_tokens=4)
    first, start = measure.age(), time.perf_counter()
    written = write(prompts, max_new_tokens=s["new_tokens"])
    seconds = time.perf_counter() - start
    keep(s, [list(one.ids) for one in written])
    return {
        "unit": "tokens",
        "count": sum(len(one.ids) for one in written),
        "seconds": seconds,
        "memory": memory,
        "time_to_first_step": first,
    }


def _write(engine: Engine, s: dict[str, Any], prompts: list[Any], **how: Any) -> list[Any]:
    """What follows each prompt, by its own adapter where there are some."""
    adapters = len(s.get("adapters", ()))
    if not adapters or s["how"] == "first":
        slots_of(engine.base.model).use("0" if adapters else None)
        return engine.generate(prompts, **how)
    slots = [str(i % adapters) for i in range(len(prompts))]
    if s["how"] == "together":
        return engine.generate(prompts, slots=slots, **how)
    found: list[Any] = [None] * len(prompts)
    for place in range(adapters):
        slots_of(engine.base.model).use(str(place))
        found[place::adapters] = engine.generate(prompts[place::adapters], **how)
    return found


def keep(s: dict[str, Any], outputs: Any) -> None:
    """Write what came out where the settings say, for the exactness gate."""
    if s.get("outputs"):
        Path(s["outputs"]).write_text(json.dumps(outputs))


KINDS: dict[str, Callable[[Base, dict[str, Any]], dict[str, Any]]] = {
    "train": train,
    "score": score,
    "generate": generate,
}


def open_base(s: dict[str, Any]) -> Base:
    """The base on the device and in the number format asked for, as a climb opens it."""
    chosen = device.choose(s["dtype"])
    return load(s["base"], dtype=chosen.dtype, device=str(chosen.device))


def main() -> None:
    s = measure.settings()
    switch_off(s.get("without", ()))
    base = open_base(s)
    measure.report(s, packages=PACKAGES, **KINDS[s["kind"]](base, s))


if __name__ == "__main__":
    sys.exit(main())
