"""Answers in the task's form against free ones: extraction-snips, the default base, no examples shown.

    python benchmarks/constrained.py FOLDER [--rows 24] [--out benchmarks/results/constrained.json]

FOLDER holds train.jsonl and test.jsonl of the set. Both ways answer the same prompts; the measures are
those of a climb. A token of each way is timed in alternating rounds, since a loaded machine is slower for
whole minutes: the ratio is that of the fastest rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from rung.config import make_settings
from rung.evaluation.metrics import grade, measures
from rung.evaluation.prompts import zero_shot
from rung.evaluation.run import write
from rung.evaluation.tasks import grammars
from rung.ladder.prepare import prepare
from rung.ladder.understood import understand_data

ROUNDS = 3
STEPS = 12  # tokens of a timed round, of every row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--base", default="smollm2-135m-instruct")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    settings = make_settings({"base": given.base, "test": str(given.folder / "test.jsonl"), "threads": 1})
    prepared = prepare(understand_data(given.folder / "train.jsonl", settings), settings)
    task, speaker, rows = prepared.task, prepared.speaker, prepared.split.test[: given.rows]
    ids = speaker.renderer.prompts(rows, [zero_shot(task, row) for row in rows])
    forms = {"free": None, "in the form": grammars(task, rows)}
    start = time.perf_counter()
    write(speaker, rows[:1], ids[:1], 2, grammars=grammars(task, rows[:1]))  # reads the vocabulary once
    result: dict[str, object] = {
        "base": given.base,
        "rows": len(rows),
        "start_seconds": time.perf_counter() - start,
    }
    tokens = {name: [] for name in forms}
    for _ in range(ROUNDS):
        for name, kept in forms.items():
            start = time.perf_counter()
            read = write(speaker, rows, ids, 1, grammars=kept)
            before = time.perf_counter()
            some = write(speaker, rows, ids, 1 + STEPS, grammars=kept)
            longer = time.perf_counter() - before
            steps = sum(one.tokens for one in some) - sum(one.tokens for one in read)
            tokens[name].append((longer - (before - start)) / steps)
    result["seconds_a_token"] = tokens
    result["cost_ratio"] = min(tokens["in the form"]) / min(tokens["free"])
    for name, kept in forms.items():
        start = time.perf_counter()
        answers = write(speaker, rows, ids, prepared.max_new_tokens, grammars=kept)
        seconds = time.perf_counter() - start
        scores = [grade(task, row, one) for row, one in zip(rows, answers, strict=True)]
        found = measures(task, rows, scores, [one.text for one in answers], settings.seed)
        result[name] = {
            "seconds": seconds,
            "tokens": sum(one.tokens for one in answers),
            "truncated": sum(one.truncated for one in answers),
            "metrics": {one.name: [one.value, one.low, one.high] for one in found},
            "first": answers[0].text,
        }
    text = json.dumps(result, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
