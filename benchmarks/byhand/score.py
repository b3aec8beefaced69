"""Prompts written by hand, next to the ladder's best prompting rung, on the same test rows.

python benchmarks/byhand/score.py ../shared/data             # all data sets
python benchmarks/byhand/score.py ../shared/data helpdesk    # one; the others' records are kept

A prompt is a text file, `<data set>-<number>.txt`, as an engineer writes it in ten minutes after a look at
the train rows: a plain text to be continued, or chat turns marked `### system`, `### user`, `### assistant`.
`{text}` is the row's question. The base writes the answer, greedily, up to a line break (plain text) or its
end of turn (chat), and it is read and graded as a rung's is. Writes benchmarks/results/byhand.json.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rung import machine
from rung.config import make_settings
from rung.data.plain_layout import PlainLayout
from rung.data.split import sample
from rung.evaluation.judging import Evaluation, judge
from rung.evaluation.run import Speaker, write
from rung.ladder.case import title
from rung.ladder.classical.texts import last_question
from rung.ladder.context import Context
from rung.ladder.plan import most_of
from rung.ladder.prepare import Prepared, prepare
from rung.ladder.rungs import RUNGS
from rung.ladder.understood import understand_data
from rung.ladder.verdict import compare
from rung.ladder.watch import Silent
from rung.records import Example, Measure, Message, Result
from rung.run_folder import RunFolder

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RECORD = HERE.parent / "results" / "byhand.json"
FILES = {  # train and test below the data folder; helpdesk is split by rung
    "sentiment-reviews": ("train.csv", "test.csv"),
    "extraction-snips": ("train.jsonl", "test.jsonl"),
    "translation-en-fr": ("train.jsonl", "test.jsonl"),
    "api-torchhub": ("train.json", "test.json"),
    "helpdesk": ("messages.csv", None),
}
TEST_ROWS, DEV_ROWS = 120, 48
_TURN = re.compile(r"^### (system|user|assistant)\n", re.MULTILINE)


def prepared(name: str, data: Path) -> Prepared:
    """The data set on the default base, with samples of its dev and test rows."""
    train, test = FILES[name]
    folder = ROOT / "examples" / name if name == "helpdesk" else data / name
    asked: dict[str, Any] = {"threads": 1}  # so that another process on the machine does not stop the clock
    if test:
        asked["test"] = str(folder / test)
    settings = make_settings(asked)
    found = prepare(understand_data(folder / train, settings), settings)
    split = found.split
    dev, rows = sample(split.dev, DEV_ROWS, 0), sample(split.test, TEST_ROWS, 0)
    return replace(found, split=replace(split, dev=dev, test=rows))


def by_hand(found: Prepared, prompt: str) -> Evaluation:
    """The test rows, answered after a prompt that was written by hand."""
    base, test = found.base, found.split.test
    parts = _TURN.split(prompt)
    speaker = found.speaker
    if len(parts) == 1:
        speaker = Speaker(base, PlainLayout(base.tokenizer, "Text", "Label"))
        ids = [
            list(base.tokenizer(prompt.strip().replace("{text}", _asked(row)))["input_ids"]) for row in test
        ]
    else:
        turns = [Message(role, text.strip()) for role, text in zip(parts[1::2], parts[2::2], strict=True)]  # type: ignore[arg-type]
        ids = [
            speaker.renderer.prompt_ids(
                [replace(turn, content=turn.content.replace("{text}", _asked(row))) for turn in turns]
            )
            for row in test
        ]
    return judge(found.task, test, write(speaker, test, ids, found.max_new_tokens))


def _asked(row: Example) -> str:
    return last_question(row).strip()


def ladder(found: Prepared) -> dict[str, tuple[str, Evaluation, dict[str, Any]]]:
    """Rung -> its title, its answers to the test rows, and what it chose on dev."""
    answered = {}
    for name in ("zero-shot", "few-shot"):
        with tempfile.TemporaryDirectory() as folder:
            context = Context(
                settings=found.settings,
                task=found.task,
                split=found.split,
                folder=RunFolder(Path(folder)),
                watcher=Silent(),
                load=lambda: found,
                size=most_of(found.settings, found.split),
                base_name=found.base.name,
            )
            start = time.perf_counter()
            outcome = RUNGS[name].run(context, None)
            chosen = time.perf_counter()
            completions = outcome.responder.answer(found.split.test)
            seconds = {"choosing_seconds": chosen - start, "answering_seconds": time.perf_counter() - chosen}
        shown = Result(name, "prompt", "ok", 0, "", "", choices=outcome.choices, kind="prompt")
        choices = {one.name: {"chosen": one.chosen, "tried": dict(one.tried)} for one in outcome.choices}
        about = {"choices": choices, **{key: round(value, 1) for key, value in seconds.items()}}
        answered[name] = (title(shown), judge(found.task, found.split.test, completions), about)
    return answered


def score(name: str, data: Path) -> dict[str, Any]:
    """The record of one data set."""
    found = prepared(name, data)
    rungs = ladder(found)
    best = max(rungs, key=lambda rung: _value(rungs[rung][1].primary))
    prompts = {}
    for file in sorted(HERE.glob(f"{name}-*.txt")):
        hand = by_hand(found, file.read_text(encoding="utf-8"))
        answers = {"hand": hand.answers, "ladder": rungs[best][1].answers}
        against = compare("hand", "ladder", answers, found.split.test, found.task, 0)
        assert against is not None
        low = against.difference.low
        prompts[file.name] = {
            **_measure(hand.primary),
            "minus_ladder": _measure(against.difference),
            "beats_the_ladder": low is not None and low > 0,
        }
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine.describe(),
        "base": found.base.name,
        "precision": found.device.precision,
        "metric": found.task.primary,
        "test_rows": len(found.split.test),
        "dev_rows": len(found.split.dev),
        "best": best,
        "ladder": {
            rung: {"title": shown, **_measure(one.primary), **about}
            for rung, (shown, one, about) in rungs.items()
        },
        "by_hand": prompts,
    }


def _value(measure: Measure) -> float:
    return float("-inf") if measure.value is None else measure.value


def _measure(measure: Measure) -> dict[str, float | None]:
    numbers = {"value": measure.value, "low": measure.low, "high": measure.high}
    return {key: None if value is None else round(value, 4) for key, value in numbers.items()}


def main(data: Path, names: list[str]) -> None:
    """Score the data sets, and keep the records of the others."""
    records = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    for name in names or FILES:
        records[name] = found = score(name, data)
        RECORD.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        for rung, one in found["ladder"].items():
            print(f"{name}: {rung} ({one['title']}) {one['value']} ({one['low']} to {one['high']})")
        for file, one in found["by_hand"].items():
            print(
                f"{name}: {file} {one['value']} ({one['low']} to {one['high']})",
                one["minus_ladder"],
                flush=True,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
