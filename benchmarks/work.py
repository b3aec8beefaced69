"""The workloads, as tokens: rung's reader and templates render once, so that everyone trains on the same ids.

Each is a JSONL file under benchmarks/.work, a row a line: {"ids": [...], "mask": [...]}, the mask true on
the tokens to be learned; rows to be scored have {"ids": prompt, "choices": [ids, ids]} and rows to be
continued {"ids": prompt}. Data is looked for in $RUNG_DATA, else in ../shared/data.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from common import BASE, HERE
from transformers import AutoTokenizer

from rung.bases.catalog import folder_of
from rung.data.formats import Loaded, read_examples
from rung.data.templates import Renderer
from rung.evaluation.prompts import few_shot, pick_shots
from rung.evaluation.tasks import understand
from rung.records import Example, Message

FOLDER = HERE / ".work"
DATA = Path(os.environ.get("RUNG_DATA", HERE.parents[1] / "shared" / "data"))
SEED = 0
LONGEST = 512  # tokens a row of `broad`
MICRO_BATCH, EACH = 8, 128  # `memory`: rows of a micro-batch and about how many tokens each has
Row = dict[str, Any]


def model_folder() -> str:
    """The folder of the base. Stops where it has not been fetched."""
    folder = folder_of(BASE)
    if folder is None:
        skip(f"the base is not on this machine; run `rung bases get {BASE}`")
    return str(folder)


def renderer() -> Renderer:
    return Renderer(AutoTokenizer.from_pretrained(model_folder(), local_files_only=True))


def broad() -> Iterable[Row]:
    """512 instruction rows of at most 512 tokens, and 8 more to warm up."""
    return _drawn(_rows("instructions-broad/train.jsonl"), 512 + 8)


def memory() -> Iterable[Row]:
    """Rows of very nearly 128 tokens: 8 of them are a micro-batch of 1,024 tokens without padding."""
    rows = _rows("instructions-broad/train.jsonl")
    return sorted(rows, key=lambda row: abs(len(row["ids"]) - EACH))[: 8 * MICRO_BATCH]


def snips() -> Iterable[Row]:
    """Extraction rows that all begin with the same system line and the same 4 examples."""
    writer = renderer()
    examples = _drawn(_examples("extraction-snips/train.jsonl"), 264)
    shown = [replace(m, learn=False) for example in examples[:4] for m in _turns(example.messages)]
    for example in examples[4:]:
        system = [message for message in example.messages if message.role == "system"]
        yield _row(writer, Example(example.id, (*system, *shown, *_turns(example.messages)), example.row))


def sentiment() -> Iterable[Row]:
    """8-shot prompts of the test reviews, with the two labels as choices."""
    writer = renderer()
    task, loaded = understand(_loaded("sentiment-reviews/train.csv"))
    train = loaded.examples
    shots = pick_shots(task, train, 8, SEED)
    choices = [list(writer.completion_ids(label)) for label in task.labels]
    for example in _examples("sentiment-reviews/test.csv"):
        yield {"ids": writer.prompt_ids(few_shot(task, shots, example)), "choices": choices}


def reviews() -> Iterable[Row]:
    """Reviews with their label as the target: 512 to train on, 128 for dev loss."""
    return _drawn(_rows("sentiment-reviews/train.csv"), 512 + 128)


def prompts() -> Iterable[Row]:
    """Instructions of at most 256 tokens to be continued, and 8 more to warm up."""
    rows = [row["ids"][: row["mask"].index(True)] for row in _rows("instructions-broad/train.jsonl")]
    return ({"ids": ids} for ids in _drawn([ids for ids in rows if len(ids) <= 256], 64 + 8))


WORKLOADS: dict[str, Callable[[], Iterable[Row]]] = {
    "broad": broad,
    "memory": memory,
    "snips": snips,
    "sentiment": sentiment,
    "reviews": reviews,
    "prompts": prompts,
}


def build(name: str) -> str:
    """Write a workload and return its path. Stops with a reason where the data is not there."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.jsonl"
    text = "".join(json.dumps(row) + "\n" for row in WORKLOADS[name]())
    path.write_text(text, encoding="utf-8")
    return str(path)


def about(path: str, rows: int) -> dict[str, Any]:
    """What the first `rows` rows of a workload hold."""
    some = [json.loads(line) for line in Path(path).read_text().splitlines()[:rows]]
    lengths = sorted(len(row["ids"]) for row in some)
    return {
        "name": Path(path).stem,
        "rows": len(some),
        "tokens": sum(lengths),
        "target_tokens": sum(sum(row.get("mask", ())) for row in some),
        "shortest": lengths[0],
        "longest": lengths[-1],
    }


def skip(why: str) -> NoReturn:
    """End without a table and without an error."""
    print(f"skipped: {why}")
    raise SystemExit(0)


def _loaded(name: str) -> Loaded:
    path = DATA / name
    if not path.is_file():
        skip(f"{name} is not there (set RUNG_DATA to the folder of the data sets)")
    return read_examples(path)


def _examples(name: str) -> tuple[Example, ...]:
    return _loaded(name).examples


def _rows(name: str) -> list[Row]:
    """All rows of a file that can be learned from and are not too long."""
    writer = renderer()
    rows = [_row(writer, example) for example in _examples(name) if example.target.strip()]
    return [row for row in rows if len(row["ids"]) <= LONGEST]


def _row(writer: Renderer, example: Example) -> Row:
    rendered = writer.render(example)
    return {"ids": list(rendered.ids), "mask": list(rendered.mask)}


def _turns(messages: Iterable[Message]) -> list[Message]:
    return [message for message in messages if message.role != "system"]


def _drawn(items: Iterable[Any], count: int) -> list[Any]:
    return random.Random(SEED).sample(list(items), count)


if __name__ == "__main__":
    for name in sys.argv[1:] or WORKLOADS:
        print(json.dumps(about(build(name), 10**9)))
