"""Base and adapter side by side on the same rows: what `rung evaluate` measures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rung import device as devices
from rung.bases.load import load
from rung.config import load_settings
from rung.data.formats import read_examples
from rung.data.split import sample
from rung.data.templates import Renderer
from rung.errors import DataError
from rung.evaluation.run import Speaker, complete, judge
from rung.evaluation.tasks import understand
from rung.ladder.verdict import compare
from rung.ladder.watch import Silent, Watcher
from rung.methods.peft_bridge import load_adapter
from rung.records import Answer, Comparison, Example, Measure, Task


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What was measured on the rows of a file."""

    task: Task
    rows: int
    base: tuple[Measure, ...]  # the primary metric first
    adapter: tuple[Measure, ...] | None
    difference: Comparison | None  # adapter minus base, in the primary metric
    answers: tuple[tuple[Example, Answer, Answer | None], ...]  # row, base's answer, adapter's answer


def evaluate(
    file: str | Path,
    adapter: str | Path | None = None,
    config: str | Path | None = None,
    watcher: Watcher | None = None,
    **settings: Any,
) -> Evaluated:
    """Let the base, and the adapter on top of it, answer the rows of `file` as they are, and grade both.

    The task is inferred from the file unless ``settings["task"]`` says it. Raises the errors of
    `rung.errors`.
    """
    watcher = watcher or Silent()
    s, _ = load_settings(Path(config) if config else None, settings)
    task, loaded = understand(read_examples(Path(file), s.columns), s.task, s.metric)
    examples = sample([one for one in loaded.examples if one.target.strip()], s.max_test, s.seed)
    if not examples:
        raise DataError("every target is empty", where=loaded.name, fix="Write the wanted answer in each row")
    device = devices.choose(s.precision, s.threads)
    base = load(s.base, dtype=device.dtype, device=str(device.device))
    speaker = Speaker(base, Renderer(base.tokenizer))
    longest = max(len(speaker.renderer.completion_ids(example.target)) for example in examples)
    limit = s.max_new_tokens or int(longest * 1.25) + 4
    prompts = [example.prompt for example in examples]

    def ask(who: str) -> tuple[tuple[Measure, ...], tuple[Answer, ...]]:
        watcher.begin(who, "answering")
        graded = judge(task, examples, complete(speaker, examples, prompts, limit, watcher.rows), s.seed)
        return graded.metrics, graded.answers

    if adapter is not None:
        lora = load_adapter(Path(adapter), base.model, base.fingerprint, speaker.renderer.fingerprint)
        tuned, after = ask("adapter")
        lora.detach()
    plain, before = ask("base")
    if adapter is None:
        return Evaluated(
            task,
            len(examples),
            plain,
            None,
            None,
            tuple((e, a, None) for e, a in zip(examples, before, strict=True)),
        )
    difference = compare("adapter", "base", {"adapter": after, "base": before}, examples, task, s.seed)
    rows = tuple(zip(examples, before, after, strict=True))
    return Evaluated(task, len(examples), plain, tuned, difference, rows)
