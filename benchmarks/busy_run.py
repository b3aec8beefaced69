"""One process of `busy.py`: LoRA steps through the trainer, with busy processes next to it or none."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from importlib import import_module
from typing import Any

from peers import measure

WORK = [sys.executable, "-c", "while True: pass"]
STEP_TOKENS = 512  # small steps, so that slow ones can be counted too


class Pace:
    """The trainer's listener: when each step ended, tokens so far, losses, threads."""

    def __init__(self) -> None:
        self.trainer: Any = None
        self.steps: list[tuple[float, int, float, int]] = []

    def step(self, done: int, total: int, loss: float, tokens_per_second: float, seconds_left: float) -> None:
        import torch

        now, tokens = time.perf_counter(), self.trainer.progress.tokens
        self.steps.append((now, tokens, loss, torch.get_num_threads()))


def train(base: Any, attached: Any, rows: list[Any], seconds: float | None, steps: int = 10**6) -> Pace:
    """Steps until the time is up, or so many."""
    from rung.train.trainer import Trainer, TrainSettings

    pace = Pace()
    tokens = sum(len(row.ids) for row in rows)
    settings = TrainSettings(
        learning_rate=5e-4,
        epochs=steps * STEP_TOKENS / tokens if seconds is None else 200,
        step_tokens=STEP_TOKENS,
        evaluations=0,
        limit_seconds=seconds,
    )
    pace.trainer = Trainer(base.model, attached, rows, rows[:1], settings, listener=pace)
    pace.trainer.run()
    return pace


def others(before: Any, now: Any) -> float | None:
    from rung.threads import taken

    return round(taken(before, now), 2) if before and now else None


def phase(base: Any, attached: Any, rows: list[Any], busy: int, seconds: float) -> dict[str, Any]:
    """Tokens per second with `busy` processes next to it, from the moment they begin."""
    from rung import threads

    with ExitStack() as stack:
        for _ in range(busy):
            process = subprocess.Popen(WORK)
            stack.callback(process.wait)
            stack.callback(process.kill)
        before, start = threads.look(), time.perf_counter()
        pace = train(base, attached, rows, seconds)
        used = others(before, threads.look())
    end, tokens, *_ = pace.steps[-1]
    return {
        "busy": busy,
        "rate": tokens / (end - start),
        "tokens": tokens,
        "others_cores": used,
        "threads": [count for *_, count in pace.steps],
    }


def main() -> None:
    s = measure.settings()
    import_module("torch" if s["before"] else "rung")  # the first of the two decides how threads wait
    import ours

    from rung import device, machine
    from rung.compute.load import load

    chosen = device.choose(s["dtype"], s["threads"])
    base = load(s["base"], dtype=chosen.dtype, device=str(chosen.device))
    rows = ours.rendered(measure.read_rows(s["data"], 0, s["rows"]))
    attached = ours.attach(base, {"method": "lora"})
    memory = measure.Memory(base.model.parameters())
    if "gate_steps" in s:
        steps = train(base, attached, rows, None, s["gate_steps"]).steps
        more: dict[str, Any] = {"losses": [loss for _, _, loss, _ in steps]}
    else:
        train(base, attached, rows, 1.0)
        more = {"phases": [phase(base, attached, rows, busy, s["seconds"]) for busy in s["busy"]]}
    measure.report(
        s,
        unit="tokens",
        count=1,
        seconds=1,
        memory=memory,
        packages=ours.PACKAGES,
        machine=machine.describe(),
        **more,
    )


if __name__ == "__main__":
    main()
