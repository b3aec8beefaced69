"""Counting what there is to compute."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest

from rung.config import make_settings
from rung.evaluation.prompts import few_shot, zero_shot
from rung.ladder.prepare import Prepared
from rung.ladder.workload import measure_workload, shots_that_fit


def with_settings(prepared: Prepared, **changes: object) -> Prepared:
    return replace(prepared, settings=make_settings({"base": "tiny", **changes}))


def test_numbers_are_those_of_the_rendered_rows(prepared: Prepared) -> None:
    work = measure_workload(prepared, general_tokens=77)
    rows = [prepared.rendered[example.id] for example in prepared.split.train]
    assert work.row_tokens == fmean(len(row.ids) for row in rows)
    assert work.target_tokens == fmean(row.answer_length for row in rows) >= 2
    assert work.general_tokens == 77
    assert work.longest_answer == prepared.max_new_tokens
    assert work.label_tokens == 1  # of "a" and "b", without their ends


def test_prefix_and_tail_make_up_the_prompt(prepared: Prepared) -> None:
    work = measure_workload(prepared, 0)
    renderer, task = prepared.speaker.renderer, prepared.task
    prompts = [renderer.prompt_ids(zero_shot(task, example)) for example in prepared.split.train[:16]]
    shared = prompts[0][: work.prefix_tokens]
    assert work.prefix_tokens > 20
    assert all(prompt[: work.prefix_tokens] == shared for prompt in prompts)
    assert len({prompt[work.prefix_tokens] for prompt in prompts}) > 1
    assert work.prefix_tokens + work.tail_tokens == pytest.approx(fmean(map(len, prompts)))


def test_more_shots_share_more_and_begin_the_same(prepared: Prepared) -> None:
    some = with_settings(prepared, shots="4,2,2")
    fitting = shots_that_fit(some)
    assert list(fitting) == [2, 4]
    assert fitting[4][:2] == fitting[2]
    shots = measure_workload(some, 0).shots
    assert shots[4] > shots[2] > measure_workload(some, 0).prefix_tokens


def test_shots_come_from_train_and_never_outnumber_it(prepared: Prepared) -> None:
    count = len(prepared.split.train)
    fitting = shots_that_fit(with_settings(prepared, shots=f"3,{count + 1}"))
    assert list(fitting) == [3]
    assert set(fitting[3]) <= set(prepared.split.train)


def test_shots_leave_room_for_the_longest_row_and_its_answer(prepared: Prepared) -> None:
    longest = max(
        len(prepared.speaker.renderer.prompt_ids(few_shot(prepared.task, shots, example)))
        for shots in shots_that_fit(with_settings(prepared, shots="8")).values()
        for example in prepared.split.test
    )
    room = longest + prepared.max_new_tokens
    asked = with_settings(prepared, shots="8")
    assert list(shots_that_fit(replace(asked, max_length=room + 30))) == [8]
    assert shots_that_fit(replace(asked, max_length=room - 1)) == {}


def test_of_many_labels_a_part_is_read(prepared: Prepared) -> None:
    many = replace(prepared, task=replace(prepared.task, labels=tuple(f"label{i}" for i in range(10, 90))))
    assert measure_workload(many, 0).label_tokens == round(0.4 * (5 + 8 + 80))


def test_a_task_without_labels_scores_none(prepared: Prepared) -> None:
    free = replace(prepared, task=replace(prepared.task, kind="generation", labels=()))
    assert measure_workload(free, 0).label_tokens == 0
