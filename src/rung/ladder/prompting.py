"""The prompting rungs, at their best: every choice is made on dev, the chosen way answers test once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rung.errors import UsageError
from rung.evaluation.metrics import METRICS
from rung.evaluation.prompts import few_shot, zero_shot
from rung.evaluation.run import Evaluation, Prompt, complete, judge, pick_labels
from rung.ladder.prepare import Prepared
from rung.ladder.rungs import Rung
from rung.ladder.watch import Watcher
from rung.ladder.workload import shots_that_fit
from rung.records import Choice, Completion, Example

GENERATE = "writing"
_Build = Callable[[Example], Prompt]


@dataclass(frozen=True, slots=True)
class Prompted:
    """What a prompting rung found."""

    evaluation: Evaluation
    choices: tuple[Choice, ...]


def prompt(
    prepared: Prepared, rung: Rung, dev: Sequence[Example], test: Sequence[Example], watcher: Watcher
) -> Prompted:
    """Choose on `dev` how to ask, then answer `test` that way."""
    ways = _ways(prepared, rung)
    scores: dict[str, dict[str, float | None]] = {}
    for name, build in ways.items():
        watcher.begin(rung.name, f"choosing on dev: {name}" if len(ways) > 1 else "choosing on dev")
        answers = _answers(prepared, dev, build, watcher)
        scores[name] = {
            how: judge(prepared.task, dev, completions).primary.value for how, completions in answers.items()
        }
    sign = 1 if METRICS[prepared.task.primary].higher_is_better else -1
    best = {name: max(by.values(), key=lambda value: _worth(value, sign)) for name, by in scores.items()}
    way = max(best, key=lambda name: _worth(best[name], sign))
    how = max(scores[way], key=lambda name: _worth(scores[way][name], sign))
    watcher.begin(rung.name, "answering test rows")
    completions = _answers(prepared, test, ways[way], watcher, only=how)[how]
    choices = []
    if len(ways) > 1:
        label = "k" if rung.shots else "prompt"
        choices.append(
            Choice(label, way.removeprefix("k = "), {n.removeprefix("k = "): v for n, v in best.items()})
        )
    elif rung.shots:
        choices.append(Choice("k", way.removeprefix("k = ")))
    if len(scores[way]) > 1:
        choices.append(Choice("answer by", how, scores[way]))
    return Prompted(judge(prepared.task, test, completions, prepared.settings.seed), tuple(choices))


def _ways(prepared: Prepared, rung: Rung) -> dict[str, _Build]:
    """Name -> how to build the prompt of a row. Raises `UsageError` where no number of shots can be shown."""
    task = prepared.task
    if rung.shots:
        fitting = shots_that_fit(prepared)
        if not fitting:
            asked = ", ".join(map(str, prepared.settings.shots))
            rows, tokens = len(prepared.split.train), prepared.max_length
            raise UsageError(
                f"no number of shots asked for ({asked}) can be shown",
                why=f"There are {rows} train rows to show, and a prompt has at most {tokens} tokens",
                fix="Give smaller numbers with --shots",
            )
        return {f"k = {k}": _with_shots(prepared, shots) for k, shots in fitting.items()}
    ways: dict[str, _Build] = {"with instruction": lambda example: zero_shot(task, example)}
    if not task.labels:
        ways["the row as it is"] = lambda example: example.prompt
    return ways


def _with_shots(prepared: Prepared, shots: Sequence[Example]) -> _Build:
    return lambda example: few_shot(prepared.task, shots, example)


def _answers(
    prepared: Prepared,
    examples: Sequence[Example],
    build: _Build,
    watcher: Watcher,
    only: str | None = None,
) -> Mapping[str, list[Completion]]:
    """The answers by every way of answering the task allows, or by the one called `only`."""
    prompts = [build(example) for example in examples]
    answers: dict[str, list[Completion]] = {}
    if only in (None, GENERATE):
        answers[GENERATE] = complete(
            prepared.speaker, examples, prompts, prepared.max_new_tokens, watcher.rows
        )
    if prepared.task.labels and only != GENERATE:
        answers |= pick_labels(prepared.speaker, prepared.task, examples, prompts, watcher.rows)
    return answers


def _worth(value: float | None, sign: int) -> float:
    """The more the better; nothing measured comes last."""
    return float("-inf") if value is None else sign * value
