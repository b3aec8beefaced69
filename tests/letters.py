"""A task that two layers can learn, and climbs of it that take seconds: which letter does the word hold?"""

from __future__ import annotations

import csv
import hashlib
import json
import random
from pathlib import Path
from typing import Any

from rung.ladder.watch import Silent

# One thread and fp32: the same weights give the same bytes, and the plan depends on no clock.
FAST: dict[str, Any] = {
    "base": "tiny",
    "threads": 1,
    "precision": "fp32",
    "budget": "none",
    "epochs": 6,
    "learning_rate": 0.02,
    "batch_tokens": 200,
    "shots": "2",
    "rank": 8,
}
FOUR = FAST | {"rungs": "zero-shot,few-shot,lora,full"}


def rows(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(word, label): five other letters around an "a" or a "b", which is the label."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        label = draw.choice("ab")
        word = [draw.choice("mnrst") for _ in range(5)]
        word.insert(draw.randrange(6), label)
        found.append(("".join(word), label))
    return found


def write_csv(path: Path, count: int = 200, seed: int = 0) -> Path:
    """The rows as a table with the columns text and label."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows(count, seed)])
    return path


def write_jsonl(path: Path, values: list[Any]) -> Path:
    """One JSON value a line."""
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


def flags(**settings: Any) -> list[str]:
    """Settings as command-line flags."""
    return [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", str(value))]


def digest(path: Path) -> str:
    """sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Stopping(Silent):
    """Presses Ctrl-C in the middle of a rung's training."""

    def __init__(self, rung: str, step: int) -> None:
        self.rung, self.at, self.now = rung, step, ""

    def begin(self, rung: str, phase: str) -> None:
        self.now = rung if phase == "training" else ""

    def step(self, done: int, total: int, loss: float, tokens_per_second: float, seconds_left: float) -> None:
        if self.now == self.rung and done >= self.at:
            raise KeyboardInterrupt
