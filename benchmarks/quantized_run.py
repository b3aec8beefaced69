"""One process of `quantized.py`: load a base in so many bits, train LoRA, say time, memory and dev loss."""

from __future__ import annotations

import time
from typing import Any

import ours
from peers import measure

from rung import device
from rung.compute.load import load
from rung.compute.quantized import bytes_of
from rung.train.loss import mean_loss
from rung.train.trainer import Trainer, TrainSettings


def train(base: Any, s: dict[str, Any]) -> dict[str, Any]:
    """Time of so many steps on all rows, without the first, and dev loss before and after."""
    rows = ours.rendered(measure.read_rows(s["data"], 0, s["rows"]))
    dev = ours.rendered(measure.read_rows(s["data"], 512, s["dev_rows"]))
    tokens = sum(len(row.ids) for row in rows)
    settings = TrainSettings(learning_rate=s["learning_rate"], epochs=1, step_tokens=tokens // s["steps"])
    attached = ours.attach(base, s)
    before = mean_loss(base.model, dev)
    trainer = Trainer(base.model, attached, rows, dev, settings)
    _, *times = trainer.steps()
    return {
        "unit": "tokens",
        "count": sum(step.tokens for step in times),
        "seconds": sum(step.seconds for step in times),
        "steps": len(times) + 1,
        "dev_loss": [before, mean_loss(base.model, dev)],
    }


def main() -> None:
    s = measure.settings()
    chosen = device.choose(s["dtype"], s["threads"])
    libraries = measure.Memory()  # what the interpreter and the libraries need counts for nobody
    begun = time.perf_counter()
    base = load(s["base"], dtype=chosen.dtype, device=str(chosen.device), bits=s["bits"])
    loading, load_seconds = libraries.above(), time.perf_counter() - begun
    with_base = measure.Memory(base.model.parameters())
    trained = train(base, s)
    measure.report(
        s,
        memory=with_base,
        packages=ours.PACKAGES,
        route=str(base.route),
        weight_bytes=bytes_of(base.model),
        load_seconds=load_seconds,
        load_peak=loading,
        resident_base=with_base.start - libraries.start,
        peak_rss=with_base.above() + with_base.start - libraries.start,
        **trained,
    )


if __name__ == "__main__":
    main()
