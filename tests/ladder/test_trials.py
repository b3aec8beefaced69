"""A way tried on dev rows."""

from __future__ import annotations

import pytest

from rows_of import rows, task_of
from rung.compute.load import tiny
from rung.data.templates import Renderer
from rung.evaluation.run import Speaker, Watch, write
from rung.ladder.trials import GENERATE, Both, Picked, Written, trials_of
from rung.ladder.ways import Asker, Way

DEV = rows([(f"text {i}", "ab"[i % 2]) for i in range(20)])
TASK = task_of(DEV, "classification")


@pytest.fixture(scope="module")
def asker() -> Asker:
    base = tiny()
    return Asker(Speaker(base, Renderer(base.tokenizer)), TASK, Way("with instruction"), 2000)


class Began:
    """Counts the rows that were read."""

    def __init__(self) -> None:
        self.ends: list[int] = []

    def __call__(self, way: Way) -> Watch:
        assert way.name == "with instruction"
        self.ends.append(0)

        def rows_done(done: int, total: int) -> None:
            self.ends[-1] = done

        return rows_done


def test_rows_that_were_read_are_not_read_again(asker: Asker) -> None:
    began = Began()
    for trial in trials_of(asker, DEV, (0.5, 0.5), 4, began):
        began.ends.clear()
        trial.read(8)
        trial.read(8)
        trial.read(20)
        assert (began.ends, trial.rows) == ([8, 12], 20)
        parts, whole = trial.values(), trials_of(asker, DEV, (0.5, 0.5), 4, Began(), trial.writes)[0]
        whole.read(20)
        assert whole.values() == parts
        whole.read(8)
        first = trials_of(asker, DEV[:8], (0.5, 0.5), 4, Began(), trial.writes)[0]
        first.read(8)
        if trial.writes:  # the shares that labels are matched to are those of all rows that were read
            assert whole.values() == first.values()
        assert (whole.rows, first.rows) == (8, 8)


def test_written_answers_are_graded(asker: Asker) -> None:
    trial = Written(asker, DEV, Began(), Both(asker, 4))
    trial.read(20)
    texts = [one.text for one in write(asker.speaker, DEV, asker.ids(DEV), 4)]
    right = sum(text == one.target for text, one in zip(texts, DEV, strict=True)) / 20
    assert trial.values() == {GENERATE: right}
    assert (trial.best(), trial.worth(), trial.rules()) == (GENERATE, right, {})


def test_the_best_rule_is_the_worth(asker: Asker) -> None:
    trial = Picked(asker, DEV, Began(), (0.5, 0.5))
    trial.read(20)
    values = trial.values()
    assert set(values) == set(trial.rules())
    assert trial.worth() == max(value for value in values.values() if value is not None)
    assert values[trial.best()] == trial.worth()


def test_a_task_without_labels_is_written(asker: Asker) -> None:
    free = Asker(asker.speaker, task_of(DEV, "generation"), asker.way, 2000)
    assert [trial.writes for trial in trials_of(free, DEV, (), 4, Began())] == [True]
    assert [trial.writes for trial in trials_of(asker, DEV, (0.5, 0.5), 4, Began())] == [True, False]
    assert [trial.writes for trial in trials_of(asker, DEV, (0.5, 0.5), 4, Began(), False)] == [False]
