"""Every rung through one suite: what it forecasts, how it fails, and that it answers the same again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import letters
from contexts import context_of
from rung import storage
from rung.config import make_settings
from rung.data.passages import passage
from rung.errors import ResourceError
from rung.ladder import library
from rung.ladder.context import Context
from rung.ladder.library import Library
from rung.ladder.plan import make_plan
from rung.ladder.prepare import Prepared, prepare
from rung.ladder.rungs import RUNGS, Rung
from rung.ladder.rungs.methods import USUAL
from rung.ladder.task import run_rung
from rung.ladder.understood import understand_data
from rung.records import Quote, Result
from tiny_model import copy_of, same_bytes


@dataclass(frozen=True)
class Row:
    """What the suite must know about a rung."""

    name: str
    scores: bool = True  # whether its responder has probabilities
    settings: dict[str, Any] = field(default_factory=dict)


ROWS = (
    Row("constant", scores=False),
    Row("nearest", scores=False),
    Row("words"),
    Row("probe"),
    Row("zero-shot"),
    Row("few-shot"),
    Row("retrieval"),
    Row("document"),
    Row("lora"),
    Row("full"),
    Row("lora-retrieval"),
)
NOT_ALONE = "lora-open-book"  # it asks what another rung has trained


VOWELS = tuple(passage(f"{word} {letter}") for word, letter in letters.rows(12, seed=1))  # documents


class Clock:
    """Stands still."""

    seconds = 1.0


@pytest.fixture(params=ROWS, ids=lambda row: row.name)
def row(request: pytest.FixtureRequest) -> Row:
    found: Row = request.param
    return found


@pytest.fixture
def rung(row: Row) -> Rung:
    return RUNGS[row.name]


@pytest.fixture(scope="module")
def base(letters_csv: Path) -> Prepared:
    settings = make_settings(letters.FAST | {"epochs": 1, "max_test": 12, "max_dev": 10})
    return prepare(understand_data(letters_csv, settings), settings)


@pytest.fixture
def context(row: Row, base: Prepared, own_cache: Path, tmp_path: Path) -> Callable[[str], Context]:
    """A climb of this rung alone, up to its plan, in a folder of that name."""
    settings = make_settings(letters.FAST | {"epochs": 1, "max_test": 12, "max_dev": 10} | row.settings)

    def make(name: str) -> Context:
        (tmp_path / name).mkdir()
        prepared = replace(base, settings=settings)
        made = context_of(prepared, tmp_path / name, library=Library(VOWELS, tmp_path / name / library.FILE))
        made.settle(make_plan(made, [RUNGS[row.name]], Clock()))  # type: ignore[arg-type]
        return made

    return make


def lines(context: Context, rung: Rung) -> list[dict[str, Any]]:
    return storage.read_jsonl(context.folder.file("predictions", f"{rung.name}.jsonl"))


def test_every_rung_has_its_row() -> None:
    """But those that tune with another method than the usual ones, which have a contract of their own, and
    those for preference pairs (tests/ladder/rungs/test_pairs.py)."""
    assert [row.name for row in ROWS] == [
        name
        for name, rung in RUNGS.items()
        if name != "length"
        and (rung.kind != "tune" or name in USUAL or (rung.needs_documents and name != NOT_ALONE))
    ]


def test_it_is_quoted_before_it_runs(rung: Rung, context: Callable[[str], Context]) -> None:
    made = context("run")
    before = copy_of(made.prepared.base.model)
    quote = made.plan.quote(rung.name)
    assert (quote.rung, quote.fits, quote.failed) == (rung.name, True, False)
    assert quote.test_rows == len(made.split.test) == 12
    assert quote.seconds is not None
    assert quote.seconds >= (quote.train_seconds or 0.0) >= 0.0
    assert list(made.folder.path.iterdir()) == []
    assert same_bytes(before, copy_of(made.prepared.base.model))


def test_more_rows_are_never_quoted_for_less(rung: Rung, context: Callable[[str], Context]) -> None:
    made = context("run")
    seconds = []
    for rows in (10, 50, 200):
        made.size = replace(made.size, test=rows, train=rows)
        seconds.append(rung.quote(made).seconds or 0.0)
    assert seconds == sorted(seconds)


def test_the_base_is_loaded_where_the_rung_says_so(rung: Rung, context: Callable[[str], Context]) -> None:
    made, loads = context("run"), []
    prepared = made.prepared
    del made.prepared
    made.load = lambda: (loads.append(1), prepared)[1]
    run_rung(made, rung)
    assert bool(loads) is rung.needs_base


def test_it_runs_twice_with_the_same_answers_and_leaves_the_base_as_it_was(
    rung: Rung, context: Callable[[str], Context]
) -> None:
    one, two = context("one"), context("two")
    before = copy_of(one.prepared.base.model)
    first, second = run_rung(one, rung), run_rung(two, rung)
    assert (first.status, first.kind, first.rung) == ("ok", rung.kind, rung.name)
    assert first.quote is not None
    assert second.quote is not None
    held = ("memory_bytes", "memory_low", "memory_high")  # what the process held is in them
    memory = {name: getattr(first.quote, name) for name in held}
    second = replace(second, quote=replace(second.quote, **memory))
    same = {"started": "", "finished": "", "cost": first.cost, "curve": ()}
    assert replace(first, **same) == replace(second, **same)
    assert lines(one, rung) == lines(two, rung)
    assert [line["example_id"] for line in lines(one, rung)] == [one_.id for one_ in one.split.test]
    assert same_bytes(before, copy_of(one.prepared.base.model))


def test_a_run_that_fails_is_a_row(
    rung: Rung, context: Callable[[str], Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = context("run")
    monkeypatch.setattr(type(rung), "run", lambda *_: 1 / 0)
    result = run_rung(made, rung)
    assert (result.status, result.reason) == ("failed", "ZeroDivisionError: division by zero")
    stored = storage.read_json(made.folder.file("results", f"{rung.name}.json"))
    assert stored["status"] == "failed"
    assert lines(made, rung) == []


def test_a_responder_that_fails_is_a_row_and_lets_go_of_the_base(
    rung: Rung, context: Callable[[str], Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = context("run")
    before = copy_of(made.prepared.base.model)
    real = type(rung).run

    class Broken:
        def answer(self, *_: object) -> None:
            raise RuntimeError("no room")

    monkeypatch.setattr(
        type(rung), "run", lambda self, *given: replace(real(self, *given), responder=Broken())
    )
    result = run_rung(made, rung)
    assert (result.status, result.reason) == ("failed", "RuntimeError: no room")
    assert same_bytes(before, copy_of(made.prepared.base.model))


def test_a_rung_that_cannot_be_timed_is_a_row(
    rung: Rung, context: Callable[[str], Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = context("run")
    monkeypatch.setattr(type(rung), "quote", lambda *_: 1 / 0)
    plan = make_plan(made, [rung], Clock())  # type: ignore[arg-type]
    why = "it could not be timed: ZeroDivisionError: division by zero"
    assert plan.quotes == (Quote(rung.name, fits=False, why=why, failed=True),)
    made.settle(plan)
    result: Result = run_rung(made, rung)
    assert (result.status, result.reason) == ("failed", why)


def test_a_rung_that_cannot_be_quoted_for_fewer_rows_is_a_row(
    rung: Rung, context: Callable[[str], Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = context("run")
    most = made.size = replace(made.size, dev=30, test=40)
    real = type(rung).quote

    def only_all(self: Rung, given: Context) -> Quote:
        if given.size != most:
            raise RuntimeError("too few rows")
        return replace(real(self, given), seconds=1000.0)

    monkeypatch.setattr(type(rung), "quote", only_all)
    made.settings = made.settings.model_copy(update={"budget": 60.0})
    (quote,) = make_plan(made, [rung], Clock()).quotes  # type: ignore[arg-type]
    assert (quote.fits, quote.failed) == (False, True)
    assert quote.why == "it could not be timed: RuntimeError: too few rows"


def test_a_full_disk_is_no_row(
    rung: Rung, context: Callable[[str], Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ResourceError("cannot write")

    made = context("run")
    monkeypatch.setattr(type(rung), "run", full)
    with pytest.raises(ResourceError):
        run_rung(made, rung)


def test_what_it_saved_answers_the_same_in_a_fresh_process(
    rung: Rung, row: Row, context: Callable[[str], Context]
) -> None:
    made = context("run")
    assert made.library is not None
    made.library.save()
    run_rung(made, rung)
    storage.write_jsonl(made.folder.file("test.jsonl"), [_plain(one) for one in made.split.test])
    answered = [line["text"] for line in lines(made, rung)]
    moved = made.folder.path.rename(made.folder.path.with_name("moved"))  # what was saved holds no full paths
    code = f"""
import json, sys
from pathlib import Path
from rung.ladder.rungs import RUNGS
from rung.records import Example, from_json
from rung.storage import read_jsonl
run = Path({str(moved)!r})
rows = [from_json(Example, row) for row in read_jsonl(run / "test.jsonl")]
saved = RUNGS[{rung.name!r}].load(run / "answer" / {rung.name!r})
scores = saved.score(rows, {list(made.task.labels)!r})
texts = [one.text for one in saved.answer(rows)]
print(json.dumps([texts, None if scores is None else scores.tolist(), "torch" in sys.modules]))
"""
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    texts, scores, torch_is_loaded = json.loads(done.stdout)
    assert torch_is_loaded is rung.needs_base
    assert texts == answered
    assert (scores is not None) is row.scores
    if row.scores:
        found = np.array(scores)
        assert found.shape == (12, len(made.task.labels))
        assert (np.logaddexp.reduce(found, axis=1) < 1e-6).all()


def _plain(example: Any) -> Any:
    from rung.records import to_json

    return to_json(example)
