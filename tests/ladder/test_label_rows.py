"""Rows for a head: prompts alone, each with the place of its label."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rung.errors import DataError
from rung.ladder.label_rows import label_rows, rows_for
from rung.ladder.prepare import Prepared
from rung.records import Message


def test_a_row_is_the_prompt_that_is_read_to_answer(prepared: Prepared) -> None:
    some = prepared.split.train[:20]
    rows = label_rows(prepared, some)
    renderer = prepared.speaker.renderer
    assert [list(row.ids) for row in rows] == renderer.prompts(some, [one.prompt for one in some])
    assert not any(any(row.mask) for row in rows)
    assert [prepared.task.labels[row.label or 0] for row in rows] == [one.target for one in some]
    assert {row.label for row in rows} == {0, 1}


def test_only_methods_that_learn_labels_get_them(prepared: Prepared) -> None:
    some = prepared.split.train[:3]
    assert (
        rows_for(prepared, "head", some)
        == rows_for(prepared, "head-lora", some)
        == label_rows(prepared, some)
    )
    assert rows_for(prepared, "lora", some) == [prepared.rendered[one.id] for one in some]


def test_a_row_with_another_label_is_named(prepared: Prepared) -> None:
    odd = replace(
        prepared.split.train[0], messages=(Message("user", "x"), Message("assistant", "neither")), row=7
    )
    with pytest.raises(DataError, match="row 7 has none of the task's labels"):
        label_rows(prepared, [odd])
