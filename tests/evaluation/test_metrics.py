"""Grades of single rows and measures over all, against scikit-learn, sacrebleu and sums by hand."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sklearn.metrics import f1_score

from rung.errors import UsageError
from rung.evaluation import stats
from rung.evaluation.metrics import METRICS, grade, measures, primary_rows
from rung.records import Completion, Example, Measure, Message, Score, Task

MOOD = Task("classification", "", ("accuracy", "macro_f1"), labels=("good", "bad", "so-so"))
SLOTS = Task("extraction", "", ("field_f1", "exact_match", "json_valid"))
CALLS = Task("api_call", "", ("exact_call", "function_match"), functions=("hub.load", "hub.list"))
FRENCH = Task("translation", "", ("chrf", "bleu", "length_ratio", "copied", "empty"))
FREE = Task("generation", "", ("rouge_l", "exact_match"))
ALL = (MOOD, SLOTS, CALLS, FRENCH, FREE, Task("knowledge", "", ("rouge_l", "exact_match")))


def example(target: str, number: int = 0) -> Example:
    return Example(f"{number:016x}", (Message("user", "?"), Message("assistant", target)), number + 1)


def graded(task: Task, target: str, text: str, truncated: bool = False) -> Score:
    one = example(target)
    return grade(task, one, Completion(one.id, text, 3, truncated))


def measured(task: Task, targets: Sequence[str], texts: Sequence[str]) -> tuple[Measure, ...]:
    examples = [example(target, number) for number, target in enumerate(targets)]
    scores = [
        grade(task, one, Completion(one.id, text, 3)) for one, text in zip(examples, texts, strict=True)
    ]
    return measures(task, examples, scores, texts)


def test_right_wrong_and_unparsed_labels() -> None:
    assert graded(MOOD, "good", "Good.").values == {"accuracy": 1.0}
    assert graded(MOOD, "good", "bad").values == {"accuracy": 0.0}
    lost = graded(MOOD, "good", "who knows")
    assert (lost.status, lost.answer, lost.values) == ("unparsed", None, {"accuracy": 0.0})
    assert lost.note == "no single label found"


def test_a_label_that_train_never_showed_can_be_right() -> None:
    score = graded(MOOD, "great", "Label: great")
    assert (score.status, score.values) == ("ok", {"accuracy": 1.0})
    assert graded(MOOD, "great", "good").values == {"accuracy": 0.0}


@pytest.mark.parametrize("task", ALL, ids=lambda task: task.kind)
def test_an_unreadable_answer_is_wrong_in_every_metric(task: Task) -> None:
    target = {"extraction": '{"a": 1}', "api_call": "hub.load(1)"}.get(task.kind, "good")
    score = graded(task, target, "")
    assert score.status == "unparsed"
    good = [name for name in score.values if name in METRICS and METRICS[name].higher_is_better]
    assert good
    assert not any(score.values[name] for name in good)
    assert graded(task, target, "", truncated=True).status == "truncated"


def test_a_cut_off_answer_that_was_read_is_ok_but_a_cut_off_text_is_not() -> None:
    assert graded(MOOD, "good", "good and then", truncated=True).status == "ok"
    score = graded(FREE, "one two three four", "one two", truncated=True)
    assert score.status == "truncated"
    assert score.values["rouge_l"] == pytest.approx(2 * 2 / 6)
    assert graded(SLOTS, '{"a": 1}', '{"a": 1', truncated=True).status == "truncated"


@pytest.mark.parametrize(("task", "target"), [(SLOTS, "not JSON"), (SLOTS, "[1]"), (CALLS, "see the manual")])
def test_a_target_out_of_form_is_our_fault(task: Task, target: str) -> None:
    score = graded(task, target, "{}")
    assert (score.status, score.values) == ("error", {})
    assert "target" in score.note


def test_rows_with_a_fault_are_left_out() -> None:
    found = measured(SLOTS, ['{"a": 1}', "oops"], ['{"a": 1}', '{"a": 1}'])
    assert [(one.value, one.n) for one in found] == [(1.0, 1)] * 3
    nothing = measured(SLOTS, ["oops"], ["{}"])
    assert [(one.value, one.low, one.high, one.n) for one in nothing] == [(None, None, None, 0)] * 3
    assert [one.name for one in measures(MOOD, [], [], [])] == ["accuracy", "macro_f1"]


def test_exact_match_keeps_the_order_of_lists() -> None:
    score = graded(SLOTS, '{"a": [1, 2]}', '{"a": [2, 1]}')
    assert (score.values["field_f1"], score.values["exact_match"]) == (1.0, 0.0)


def test_empty_objects_are_right() -> None:
    assert graded(SLOTS, "{}", "{}").values["field_f1"] == 1.0
    assert graded(SLOTS, "{}", "nothing").values["field_f1"] == 0.0


def test_field_f1_is_over_all_fields_not_over_rows() -> None:
    found = measured(SLOTS, ['{"a": 1, "b": 2, "c": 3}', '{"a": 1}'], ['{"a": 1, "b": 2, "c": 3}', "no"])
    assert [(one.name, one.value) for one in found] == [
        ("field_f1", pytest.approx(2 * 3 / (2 * 3 + 1))),
        ("exact_match", 0.5),
        ("json_valid", 0.5),
    ]


def test_calls() -> None:
    right = graded(CALLS, "hub.load('a', b=1, c=2)", "hub.load( 'a', c=2, b=1 )")
    assert right.values == {"exact_call": 1.0, "function_match": 1.0}
    assert graded(CALLS, "hub.load('a')", "hub.load('b')").values == {
        "exact_call": 0.0,
        "function_match": 1.0,
    }
    assert graded(CALLS, "hub.load('a')", "hub.list('a')").values == {
        "exact_call": 0.0,
        "function_match": 0.0,
    }


def test_written_texts() -> None:
    assert graded(FREE, "The cat.", "the  CAT").values == {"rouge_l": 1.0, "exact_match": 1.0}
    assert graded(FREE, "!!!", "!!!").values["exact_match"] == 1.0
    assert graded(FREE, "!!!", "???").values["exact_match"] == 0.0


def test_macro_f1_is_scikit_learns() -> None:
    rng = random.Random(0)
    targets = [rng.choice(MOOD.labels[:2]) for _ in range(60)] + ["great"]
    texts = [rng.choice([target, target, "good", "so-so", "?"]) for target in targets]
    found = measured(MOOD, targets, texts)
    labels = sorted(set(targets))
    expected = f1_score(targets, texts, labels=labels, average="macro", zero_division=0)
    assert found[1].value == pytest.approx(expected)
    assert found[0].value == pytest.approx(np.mean([a == b for a, b in zip(targets, texts, strict=True)]))


def test_translation_is_sacrebleus() -> None:
    rng = random.Random(1)
    words = ["le", "la", "chat", "chien", "mange", "dort", ",", "vite", ".", "où"]
    targets = [" ".join(rng.choices(words, k=9)) for _ in range(30)]
    texts = [" ".join(w for w in target.split() if rng.random() < 0.8) for target in targets]
    chrf, bleu, ratio, copied, empty = measured(FRENCH, targets, texts)
    found = BLEU().corpus_score(texts, [targets])
    assert ratio.value == pytest.approx(found.sys_len / found.ref_len) == pytest.approx(found.ratio)
    assert (copied.value, empty.value) == (0, 0)
    assert chrf.value == pytest.approx(CHRF().corpus_score(texts, [targets]).score)
    assert bleu.value == pytest.approx(BLEU().corpus_score(texts, [targets]).score)
    assert (chrf.unit, bleu.unit) == ("points", "points")
    assert "nc:6" in chrf.note
    assert "tok:13a" in bleu.note
    row = graded(FRENCH, targets[0], texts[0])
    assert row.values["chrf"] == pytest.approx(CHRF().sentence_score(texts[0], [targets[0]]).score)
    for one in (chrf, bleu):
        assert one.low is not None
        assert one.high is not None
        assert one.value is not None
        assert one.low < one.value < one.high


@pytest.mark.parametrize("task", ALL, ids=lambda task: task.kind)
def test_every_measure_has_an_interval_even_without_a_flaw(task: Task) -> None:
    target = {"extraction": '{"a": 1, "b": 2}', "api_call": "hub.load(1)"}.get(
        task.kind, "good and well done it"
    )
    for text, best in ((target, True), ("", False)):
        for one in measured(task, [target] * 10, [text] * 10):
            if one.name in ("length_ratio", "copied"):  # a ratio has no best end, and no text is no copy
                continue
            low, high = (0.5, 1.0) if best == one.higher_is_better else (0.0, 0.5)
            top = 100 if one.unit == "points" else 1
            assert one.n == 10
            assert one.low is not None
            assert one.high is not None
            assert low * top <= one.low < one.high <= high * top + 1e-9


def test_shares_get_the_score_interval() -> None:
    found = measured(MOOD, ["good"] * 10, ["good"] * 7 + ["bad"] * 3)[0]
    assert (found.low, found.high) == stats.wilson(7, 10)


def test_order_and_seed() -> None:
    names = [one.name for one in measured(Task("extraction", "", ("json_valid", "field_f1")), ["{}"], ["{}"])]
    assert names == ["json_valid", "field_f1"]
    targets = ['{"a": 1, "b": 2}'] * 12
    assert measured(SLOTS, targets, ['{"a": 1}'] * 5 + ["x"] * 7) == measured(
        SLOTS, targets, ['{"a": 1}'] * 5 + ["x"] * 7
    )


def test_mismatched_rows_and_unknown_metrics_are_refused() -> None:
    one, two = example("good", 1), example("good", 2)
    score = grade(MOOD, two, Completion(two.id, "good", 1))
    with pytest.raises(ValueError, match="same rows"):
        measures(MOOD, [one], [score], ["good"])
    with pytest.raises(ValueError, match="zip"):
        measures(MOOD, [one], [], [])
    with pytest.raises(UsageError, match="rouge_l"):
        measures(Task("generation", "", ("rouge_1",)), [two], [score], ["good"])


@pytest.mark.parametrize("task", ALL, ids=lambda task: task.kind)
def test_rows_add_up_to_the_primary_metric(task: Task) -> None:
    targets = {"extraction": ['{"a": 1}', '{"b": 2}'], "api_call": ["hub.load(1)", "hub.load(2)"]}.get(
        task.kind, ["good", "bad"]
    )
    texts = [targets[0], targets[0]]
    examples = [example(target, number) for number, target in enumerate(targets)]
    scores = [
        grade(task, one, Completion(one.id, text, 3)) for one, text in zip(examples, texts, strict=True)
    ]
    rows = primary_rows(task, examples, scores, texts)
    value = float(METRICS[task.primary].value(rows.sum(axis=0)))
    assert value == pytest.approx(measures(task, examples, scores, texts)[0].value)
    assert 0 < value < (100 if METRICS[task.primary].unit else 1)
