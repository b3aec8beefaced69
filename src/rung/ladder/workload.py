"""How much there is to compute: mean numbers of tokens, from the rendered rows."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from rung.data.pairs import size
from rung.data.prefix import common_length
from rung.evaluation.prompts import few_shot, pick_shots, zero_shot
from rung.ladder.forecast import Workload
from rung.ladder.forms import can_keep
from rung.ladder.label_rows import pairs_of
from rung.ladder.prepare import Prepared
from rung.records import Example

_SAMPLE = 16
_READ = 0.4  # of the tree of labels: what the search reads for a row; 5 of 15 nodes, 91 of 227 measured


def shots_that_fit(prepared: Prepared) -> dict[int, tuple[Example, ...]]:
    """k -> the examples shown, for every k asked for that leaves room for the longest row and its answer."""
    renderer = prepared.speaker.renderer
    if prepared.split.text_alone:
        return {}
    some = prepared.split.train[:_SAMPLE]
    longest = max(row.answer_start for row in prepared.rendered.values())
    fitting: dict[int, tuple[Example, ...]] = {}
    for k in sorted(set(prepared.settings.shots)):
        if not 1 <= k <= len(prepared.split.train):
            continue
        shots = pick_shots(prepared.task, prepared.split.train, k, prepared.settings.seed)
        tokens = common_length(
            [renderer.prompt_ids(few_shot(prepared.task, shots, example)) for example in some]
        )
        if tokens + longest + prepared.max_new_tokens <= prepared.max_length:
            fitting[k] = shots
    return fitting


def measure_workload(prepared: Prepared, general_tokens: int) -> Workload:
    """Count tokens on the rendered train rows and a few prompts."""
    renderer, task = prepared.speaker.renderer, prepared.task
    train, asking = prepared.split.train, prepared.split.asking
    rows, asked = ([prepared.rendered[example.id] for example in part] for part in (train, asking))
    some = asking[:_SAMPLE]
    prompts = [renderer.prompt_ids(zero_shot(task, example)) for example in some]
    prefix = common_length(prompts)
    shots = {
        k: common_length([renderer.prompt_ids(few_shot(task, shown, example)) for example in some])
        for k, shown in shots_that_fit(prepared).items()
    }
    return Workload(
        row_tokens=fmean(len(row.ids) for row in rows),
        target_tokens=fmean(row.answer_length for row in asked),
        tail_tokens=fmean(len(prompt) for prompt in prompts) - prefix,
        prefix_tokens=prefix,
        longest_answer=prepared.max_new_tokens,
        label_tokens=_label_tokens([renderer.completion_ids(label) for label in task.labels]),
        shots=shots,
        general_tokens=general_tokens,
        pair_tokens=_pair_tokens(prepared),
        constrained=can_keep(prepared),
        text_tokens=sum(len(text.ids) for text in prepared.texts) / max(1, len(train)),
        longest_prompt=max(prepared.rendered[example.id].answer_start for example in prepared.split.test),
    )


def _pair_tokens(prepared: Prepared) -> float:
    train = [example for example in prepared.split.train if example.id in prepared.others]
    return fmean(map(size, pairs_of(prepared, train))) if train else 0.0


def _label_tokens(labels: Sequence[Sequence[int]]) -> int:
    """Tokens read to find the best label of a row: a share of the tree of labels, without their ends."""
    if not labels:
        return 0
    inner = {tuple(label[:end]) for label in labels for end in range(1, len(label))}
    return max(1, round(_READ * len(inner)))
