"""General ability on public data, before or after tuning: one number a set, from the model's own likelihoods.

python benchmarks/suites.py --base smollm2-135m-instruct               # prints one line of JSON
python benchmarks/suites.py --base smollm2-135m-instruct --limit 20    # fewer items of each set

The sets lie in general-suite, in $RUNG_DATA or ../shared/data. All texts are read without the chat template,
after the token that begins a text (`rung.generate.continuations.start_of_text`):

    minimal_pairs  BLiMP: the grammatical sentence of two is likelier, by the sum over all its tokens
    arc_easy       the answer of four after `query` and "Answer:", by the sum
    siqa           the answer of two after context, question and "Answer:", by the mean over tokens; the texts
                   are scored and not the letters that the file has as choices
    piqa           the solution of two after `query` and "Answer:", by the mean over tokens
    copa           the ending of two after `query`, by the sum
    lambada        greedy decoding writes all of the continuation; `lambada_nats` is its mean loss in nats
    wikitext       bits per byte, mean over windows of 512 tokens; lower is better

A question's text and rule were chosen on the untuned default base, for distance from chance. Of the first
120 items of each set (250 of siqa) it got right: arc_easy 0.57 by the sum, 0.50 by the mean, 0.44 as an
answer in a chat; siqa 0.57 by the mean, 0.54 by the sum, 0.49 by letters; piqa 0.65 by both; copa 0.64 by the
sum, 0.63 by the mean. `<set>_margin` is the mean margin of the right choice over the best wrong one, in nats
by that rule; it moves before choices do.

Which items are used: the first so many (`ITEMS`) after a shuffle with seed 0; of minimal_pairs the same
number of each paradigm. A set can be read in parts: `SETS` takes a slice of its items.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from work import DATA, skip

from rung import device
from rung.bases.base import Base
from rung.compute.load import load
from rung.data.templates import Renderer
from rung.evaluation.general_suite import compare, score
from rung.evaluation.run import Speaker
from rung.generate.continuations import continuations, start_of_text, text_row

FOLDER = DATA / "general-suite"
SEED = 0
WINDOW = 512  # tokens of a window of wikitext, the one before the text included
ITEMS = {
    "minimal_pairs": 201,  # 3 of each of 67 paradigms
    "arc_easy": 200,
    "siqa": 200,
    "piqa": 140,
    "copa": 100,
    "lambada": 100,
    "wikitext": 10,  # windows
}
WINDOW_ITEMS = 16  # a window of wikitext costs about as much as so many items
Item = dict[str, Any]
Row = tuple[list[int], list[int]]
Found = dict[str, float]
Values = dict[str, NDArray[np.float64]]  # a value for each item; their mean is the number of the set


def minimal_pairs(base: Base, some: slice) -> Values:
    """Pairs of sentences: is the grammatical one likelier?"""
    groups = defaultdict(list)
    for item in _mixed("minimal_pairs"):
        groups[item["paradigm"]].append(item)
    rounds = zip(*groups.values(), strict=False)  # one of each paradigm, then the next
    items = [item for one in rounds for item in one][some]
    found = continuations(base, [text_row(base, item[name]) for item in items for name in ("good", "bad")])
    return _right("minimal_pairs", found.logs.reshape(-1, 2), [0] * len(items))


def arc_easy(base: Base, some: slice) -> Values:
    items = _mixed("arc_easy")[some]
    return _choices("arc_easy", base, items, lambda item: item["query"] + "\nAnswer:")


def siqa(base: Base, some: slice) -> Values:
    items = _mixed("siqa")[some]
    asked = []
    for item in items:
        query, texts = item["query"].split("\nChoices:\n")
        choices = re.findall(r"^[A-Z]\. (.*)$", texts, re.MULTILINE)
        asked.append({**item, "query": query, "choices": choices})
    return _choices("siqa", base, asked, lambda item: item["query"] + "\nAnswer:", per_token=True)


def piqa(base: Base, some: slice) -> Values:
    items = _mixed("piqa")[some]
    return _choices("piqa", base, items, lambda item: item["query"].rstrip() + "\nAnswer:", per_token=True)


def copa(base: Base, some: slice) -> Values:
    return _choices("copa", base, _mixed("copa")[some], lambda item: item["query"])


def lambada(base: Base, some: slice) -> Values:
    """Continuations of a few words: would greedy decoding write them, and their loss."""
    items = _mixed("lambada")[some]
    found = continuations(base, [_row(base, item["context"], item["continuation"]) for item in items])
    return {"lambada": found.greedy.astype(np.float64), "lambada_nats": -found.logs}


def wikitext(base: Base, some: slice) -> Values:
    """Bits per byte of windows, each read on its own."""
    text = (FOLDER / "wikitext.txt").read_text(encoding="utf-8")
    tokenizer: Any = base.tokenizer
    read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids, spans = read["input_ids"], read["offset_mapping"]
    size = min(WINDOW, base.context) - 1
    starts = random.Random(SEED).sample(range(0, len(ids) - size + 1, size), ITEMS["wikitext"])[some]
    found = continuations(base, [([start_of_text(base)], ids[at : at + size]) for at in starts])
    parts = [text[spans[at][0] : spans[at + size - 1][1]] for at in starts]
    return {"wikitext": -found.logs / math.log(2) / [len(part.encode()) for part in parts]}


SETS: dict[str, Callable[[Base, slice], Values]] = {
    "minimal_pairs": minimal_pairs,
    "arc_easy": arc_easy,
    "siqa": siqa,
    "piqa": piqa,
    "copa": copa,
    "lambada": lambada,
    "wikitext": wikitext,
}


def items_of(limit: int | None) -> dict[str, int]:
    """How many items of each set are used: `ITEMS`, and at most `limit` (windows: a sixteenth of it)."""
    if limit is None:
        return dict(ITEMS)
    most = dict.fromkeys(ITEMS, limit) | {"wikitext": max(1, limit // WINDOW_ITEMS)}
    return {name: min(count, most[name]) for name, count in ITEMS.items()}


def score_public(speaker: Speaker, limit: int | None = None) -> Found:
    """All sets, with the adapter that is on. Shares of items that are right, unless the name says otherwise.

    `limit`: see `items_of`. Stops where the data is not there.
    """
    if not FOLDER.is_dir():
        skip("general-suite is not there (set RUNG_DATA to the folder of the data sets)")
    found: Found = {}
    for name, count in items_of(limit).items():
        values = SETS[name](speaker.base, slice(count))
        found |= {key: float(value.mean()) for key, value in values.items()}
    return found


def score_own(speaker: Speaker, limit: int | None = None) -> Found:
    """rung's own suite: shares of items that are right, in all and by kind."""
    scored = score(speaker.engine, speaker.renderer, limit)
    suite = compare(scored, scored)
    return {part.kind: part.before for part in (suite.overall, *suite.kinds)}


def _mixed(name: str) -> list[Item]:
    """All items of a set, always in the same mixed order."""
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    items = [json.loads(line) for line in lines]
    random.Random(SEED).shuffle(items)
    return items


def _row(base: Base, context: str, continuation: str) -> Row:
    """A continuation after its context and a space, cut where the context's own tokens end."""
    tokenizer: Any = base.tokenizer
    start, before = text_row(base, context)
    whole = text_row(base, f"{context} {continuation}")[1]
    if whole[: len(before)] != before:  # the space or the first word went into the last token
        return start + before, list(tokenizer(f" {continuation}", add_special_tokens=False)["input_ids"])
    return start + before, whole[len(before) :]


def _choices(
    name: str, base: Base, items: Sequence[Item], prompt: Callable[[Item], str], per_token: bool = False
) -> Values:
    """Items that all have as many choices: is the right one the likeliest after its prompt?"""
    rows = [_row(base, prompt(item), choice) for item in items for choice in item["choices"]]
    found = continuations(base, rows)
    scores = found.per_token if per_token else found.logs
    return _right(name, scores.reshape(len(items), -1), [item["gold"] for item in items])


def _right(name: str, scores: Any, gold: Iterable[int]) -> Values:
    """Of rows of `scores` (items, choices): whether the right choice is highest, and its margin."""
    margins = np.array(
        [row[right] - np.delete(row, right).max() for row, right in zip(scores, gold, strict=True)]
    )
    return {name: (margins > 0).astype(np.float64), f"{name}_margin": margins}


def main() -> None:
    parser = argparse.ArgumentParser(description="General ability of a base: public sets and rung's own.")
    parser.add_argument("--base", required=True)
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--limit", type=int, default=None, help="items of each set, at most")
    asked = parser.parse_args()
    chosen = device.choose(asked.precision)
    base = load(asked.base, dtype=chosen.dtype, device=str(chosen.device))
    speaker = Speaker(base, Renderer(base.tokenizer))
    line: dict[str, Any] = {"base": base.name, "device": chosen.why, "items": items_of(asked.limit)}
    for name, run in (("public", score_public), ("own", score_own)):
        started, cpu = time.perf_counter(), time.process_time()
        found = run(speaker, asked.limit)
        line[name] = {key: round(value, 4) for key, value in found.items()}
        line[f"{name}_seconds"] = round(time.perf_counter() - started, 1)
        line[f"{name}_cpu_seconds"] = round(time.process_time() - cpu, 1)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
