"""A climb on several splits: what is pooled, how, and that it continues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import letters
from contexts import ran
from rung import storage
from rung.config import Settings
from rung.errors import UsageError
from rung.ladder import climb as climbing
from rung.ladder import repeat
from rung.ladder.climb import Climbed, climb
from rung.ladder.repeat import Tried
from rung.ladder.verdict import verdict
from rung.ladder.watch import Silent
from rung.records import (
    Answer,
    Example,
    Measure,
    Message,
    Regret,
    Result,
    RungKind,
    RunInfo,
    Task,
    Verdict,
    from_json,
)
from rung.report.view import load_view
from rung.run_folder import RunFolder

MOOD = Task("classification", "", ("accuracy",), labels=("good", "bad"))
CHEAP = {"rungs": "constant,nearest,words", "splits": 3}


def result(rung: str, kind: RungKind = "classical", **parts: Any) -> Result:
    counts = {"ok": 1, "unparsed": 0, "truncated": 0, "error": 0}
    return Result(rung, rung, "ok", 0, "", "", kind=kind, counts=counts, **parts)


def tried(right: Mapping[str, Mapping[int, bool]], known: int = 4) -> Tried:
    """One split, in which rungs learned from `known` rows and answered others right or wrong."""
    rows = sorted({row for some in right.values() for row in some})
    examples = [Example(f"{i}", (Message("user", f"{i}"), Message("assistant", "good")), i) for i in rows]
    answers = {
        rung: [Answer(f"{i}", "", "ok", "good", {"accuracy": float(hit)}) for i, hit in some.items()]
        for rung, some in right.items()
    }
    return Tried(tuple(result(rung) for rung in right), answers, examples, known)


def test_a_row_in_several_splits_counts_once_with_the_mean_of_its_answers() -> None:
    pooled = repeat.pool([tried({"a": {1: True, 2: False}}), tried({"a": {2: True, 3: True}})], MOOD)
    (found,) = pooled.results
    assert found.primary is not None
    assert found.primary.value == pytest.approx((1 + 0.5 + 1) / 3)
    assert (found.primary.n, found.counts["ok"]) == (3, 4)
    assert found.notes == ("mean over 2 splits: 4 answers to 3 test rows",)
    assert found.applied["splits"] == pooled.splits == 2
    assert "2 splits with 3 different test rows" in pooled.note


def test_a_rung_of_the_first_split_alone_keeps_its_score() -> None:
    first = tried({"a": {1: True, 2: False}, "b": {1: False, 2: False}})
    _, alone = repeat.pool([first, tried({"a": {3: True}})], MOOD).results
    assert alone == replace(result("b"), notes=("ran on 1 of 2 splits",))


def drawn(splits: list[Tried], inflation: float | None = None) -> Verdict:
    return drawn_from(repeat.pool(splits, MOOD), inflation)


def drawn_from(
    pooled: repeat.Pooled, inflation: float | None = None, max_forgetting: float | None = None
) -> Verdict:
    return verdict(
        pooled.results,
        pooled.answers,
        pooled.examples,
        MOOD,
        row_of=pooled.row_of,
        inflation=pooled.inflation if inflation is None else inflation,
        max_forgetting=max_forgetting,
    )


RIGHT = {"a": {i: i % 5 > 0 for i in range(40)}, "b": {i: i % 3 > 0 for i in range(40)}}


def test_training_on_other_rows_widens_every_interval() -> None:
    """By the root of 1 + test / known rows: of scores, of differences, and of the draws of regret."""
    few, many = ([tried(RIGHT, known)] * 2 for known in (32, 10**9))
    narrow, wide = repeat.pool(many, MOOD), repeat.pool(few, MOOD)
    assert wide.inflation == 1 + 40 / 32
    assert narrow.inflation == pytest.approx(1)
    assert "variance counts 2.25 times" in wide.note
    for less, more in zip(narrow.results, wide.results, strict=True):
        assert width(more.primary) == pytest.approx(1.5 * width(less.primary), rel=0.06)
    (less,), (more,) = drawn(many).comparisons, drawn(few).comparisons
    assert less.difference.value == more.difference.value
    assert width(more.difference) == pytest.approx(1.5 * width(less.difference), rel=0.06)
    assert less.p_value is not None
    assert more.p_value is not None
    assert less.p_value < more.p_value
    behind = [next(one for one in drawn(some).regrets if one.rung == "a") for some in (many, few)]
    assert behind[0].expected < 0.6 * behind[1].expected
    assert repeat.pool(few[:1], MOOD).inflation == 1.0


def width(measure: Measure | None) -> float:
    assert measure is not None
    assert measure.low is not None
    assert measure.high is not None
    return measure.high - measure.low


def test_the_same_rows_again_make_nothing_surer() -> None:
    """The cluster bootstrap: five times the same answers weigh as much as one time."""
    right = RIGHT
    once, often = tried(right), drawn([tried(right)] * 5, inflation=1.0)
    single = verdict(once.results, once.answers, once.examples, MOOD)
    assert often.regrets == single.regrets
    (one,), (five,) = single.comparisons, often.comparisons
    assert (five.difference.low, five.difference.high) == (one.difference.low, one.difference.high)
    assert (one.test, five.test) == ("exact McNemar", "paired Wald test")
    fresh = [
        tried({rung: {i + 40 * n: hit for i, hit in some.items()} for rung, some in right.items()})
        for n in range(5)
    ]
    surer = drawn(fresh, inflation=1.0).comparisons[0].difference
    assert surer.high is not None
    assert surer.low is not None
    assert one.difference.high is not None
    assert one.difference.low is not None
    assert surer.high - surer.low < 0.5 * (one.difference.high - one.difference.low)


def test_a_rung_of_one_split_is_compared_in_that_split() -> None:
    """The others were right on row 0 in the second split only; that must not count against it."""
    first = tried({"a": {0: False, 1: True}, "b": {0: False, 1: False}, "c": {0: False, 1: True}})
    second = tried({"a": {0: True, 2: True}, "b": {0: True, 2: False}})
    pair = next(one for one in drawn([first, second]).comparisons if {one.first, one.second} == {"a", "c"})
    assert (pair.difference.value, pair.difference.n) == (0.0, 2)


def test_who_runs_on_every_split() -> None:
    results = [
        result("constant", "floor"),
        result("probe", "probe"),
        replace(result("words"), status="failed"),
        result("zero-shot", "prompt"),
        result("few-shot", "prompt"),
        result("lora", "tune"),
    ]
    regrets = (Regret("zero-shot", 0.3, 0.04), Regret("few-shot", 0.1, 0.06), Regret("lora", 0.0, 0.9))
    open_ = Verdict("lora", "", best="lora", regrets=regrets)
    assert repeat.finalists(results, open_) == ("constant", "probe", "few-shot", "lora")
    lone = Verdict("zero-shot", "", best="zero-shot")
    assert repeat.finalists(results, lone) == ("constant", "probe", "zero-shot")


def test_each_split_has_its_seed_its_folder_and_its_share_of_the_budget(tmp_path: Path) -> None:
    settings = repeat.shared(Settings(budget=600, splits=5, seed=2**32 - 1))
    own = repeat.settings_of(settings, 2, RunFolder(tmp_path), ["words"], {"precision": "fp32"})
    assert (own.budget, own.seed, own.splits, own.rungs) == (120, 1, 1, ("words",))
    assert (own.output, own.precision) == (tmp_path / "splits" / "2", "fp32")
    assert repeat.shared(Settings(budget=None, splits=5)).budget is None


@pytest.fixture(scope="module")
def repeated(letters_csv: Path, test_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Climbed:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNG_CACHE", str(test_cache))
        return climb(letters_csv, output=tmp_path_factory.mktemp("runs") / "splits", **CHEAP)


def test_a_climb_on_three_splits(repeated: Climbed) -> None:
    folder = repeated.folder
    tests = [
        {row["id"] for row in storage.read_jsonl(path / "test.jsonl")}
        for path in (folder, folder / "splits" / "1", folder / "splits" / "2")
    ]
    different = set.union(*tests)
    assert max(map(len, tests)) < len(different) < sum(map(len, tests))
    for one in repeated.results:
        assert one.primary is not None
        assert one.primary.n == len(different)
        alone = from_json(Result, storage.read_json(folder / "results" / f"{one.rung}.json"))
        assert alone.primary is not None
        assert alone.primary.n == len(tests[0])
    assert any("means over 3 splits" in reason for reason in repeated.verdict.reasons)
    assert any("variance counts 1.25 times" in reason for reason in repeated.verdict.reasons)
    assert all(pair.difference.n == len(different) for pair in repeated.verdict.comparisons)
    assert from_json(RunInfo, storage.read_json(folder / "run.json")) == repeated.info
    assert any("3 splits" in note for note in repeated.info.notes)


def test_the_report_says_that_scores_are_means(repeated: Climbed) -> None:
    view = load_view(repeated.folder)
    assert tuple(rung.result for rung in view.rungs) == repeated.results
    assert all("; 3 splits)" in rung.quality for rung in view.rungs)
    assert view.test_rows.endswith(" test rows in 3 splits")


def test_the_same_command_again_runs_nothing(
    letters_csv: Path, repeated: Climbed, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    monkeypatch.setattr(climbing, "run_rung", lambda *_: pytest.fail("this was done before"))
    again = climb(letters_csv, output=repeated.folder, **CHEAP)
    assert (again.results, again.verdict) == (repeated.results, repeated.verdict)


def test_a_climb_that_is_stopped_continues_in_the_split_it_was_in(
    letters_csv: Path, tmp_path: Path, repeated: Climbed, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    class Stopping(Silent):
        def begin(self, rung: str, phase: str) -> None:
            if rung == "words" and phase.endswith("split 2 of 3"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        climb(letters_csv, output=tmp_path / "run", watcher=Stopping(), **CHEAP)
    assert not (tmp_path / "run" / "verdict.json").exists()
    names = ran(monkeypatch)
    again = climb(letters_csv, output=tmp_path / "run", **CHEAP)
    assert names == ["words", "constant", "nearest", "words"]
    assert [one.primary for one in again.results] == [one.primary for one in repeated.results]
    assert again.verdict.recommended == repeated.verdict.recommended


def test_finalists_with_a_base_run_on_the_splits_too(
    letters_csv: Path, tmp_path: Path, own_cache: Path
) -> None:
    settings = letters.FAST | {"rungs": "constant,zero-shot,lora", "epochs": 3, "splits": 2}
    found = climb(letters_csv, output=tmp_path / "run", **settings)
    named = {one.rung: one for one in found.results}
    assert named["lora"].applied["splits"] == named["constant"].applied["splits"] == 2
    assert (tmp_path / "run" / "adapters" / "lora").is_dir()
    here, there = (
        storage.read_json(tmp_path / "run" / part / "run.json")["applied"] for part in (".", "splits/1")
    )
    assert here["base_fingerprint"] == there["base_fingerprint"]
    assert (here["seed"], there["seed"]) == (0, 1)


def test_test_rows_of_their_own_are_refused(letters_csv: Path, tmp_path: Path) -> None:
    more = letters.write_csv(tmp_path / "more.csv", 30)
    rows = [{"text": text, "label": label} for text, label in letters.rows(30)]
    for test in (more, rows):
        with pytest.raises(UsageError, match="has one split, not 3"):
            climb(letters_csv, test=test, output=tmp_path / "run", **CHEAP)
    assert not (tmp_path / "run").exists()


def test_without_splits_nothing_knows_of_them(letters_csv: Path, tmp_path: Path, own_cache: Path) -> None:
    plain = climb(letters_csv, output=tmp_path / "run", rungs="constant,words")
    assert "splits" not in storage.read_json(plain.folder / "claim.json")["asked"]
    assert not (plain.folder / "splits").exists()
    assert load_view(plain.folder).splits == 1


def test_a_rung_above_the_bound_on_forgetting_is_no_finalist_and_is_not_recommended() -> None:
    """The bound is about the rung that the run folder keeps, that of the first split."""
    forgot = {"a": (Measure("kl", 1.2, unit="nats/token"),), "b": (Measure("kl", 0.1, unit="nats/token"),)}
    first = tried({"a": {i: i < 38 for i in range(40)}, "b": {i: i < 20 for i in range(40)}})
    results = tuple(
        replace(one, kind="tune", method="lora", forgetting=forgot[one.rung]) for one in first.results
    )
    first = replace(first, results=results)

    once = repeat.alone(first)
    assert repeat.finalists(results, drawn_from(once, max_forgetting=None)) == ("a",)
    assert repeat.finalists(results, drawn_from(once, max_forgetting=0.5)) == ("b",)
    both = repeat.pool([first, tried({"b": {i: i < 20 for i in range(40, 80)}})], MOOD)
    assert [one.forgetting for one in both.results] == [forgot["a"], forgot["b"]]
    found = [drawn_from(both, max_forgetting=most).recommended for most in (None, 0.5)]
    assert found == ["a", "b"]
