"""Several labels a row: inference, one order to learn, grades by hand and by scikit-learn, doubts."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, jaccard_score
from sklearn.preprocessing import MultiLabelBinarizer

from rows_of import loaded_of, of_targets, task_of
from rung.evaluation.call_grammar import takes
from rung.evaluation.metrics import METRICS, grade, measures
from rung.evaluation.tasks import doubts, learn, tidy, understand, unreadable
from rung.evaluation.tasks.multi_label import MultiLabel, labels_of, renamed, text_for
from rung.records import Completion, Measure, Task

TARGETS = ("dog; cat", "cat", "bird; cat; dog", "bird")


def task(*more: str) -> Task:
    return task_of(of_targets(*TARGETS, *more, times=8))


def measured(task: Task, targets: list[str], texts: list[str]) -> dict[str, Measure]:
    examples = of_targets(*targets)
    scores = [
        grade(task, one, Completion(one.id, text, 1)) for one, text in zip(examples, texts, strict=True)
    ]
    return {one.name: one for one in measures(task, examples, scores, texts)}


def test_it_is_inferred_and_its_labels_are_sorted_by_frequency() -> None:
    found = task()
    assert (found.kind, labels_of(found), found.labels) == ("multi_label", ("cat", "bird", "dog"), ())
    assert found.why == (
        "Multi-label classification: 16 of 32 targets hold several of 3 labels; their order does not matter."
    )
    assert found.notes == ("1.8 labels a row, 1 to 3; cat in 24 rows, dog in 16",)
    for hint in ("classification", None):
        assert task_of(of_targets(*TARGETS, times=8), hint=hint).kind == "multi_label"


def test_calls_between_separators_are_no_labels() -> None:
    assert task_of(of_targets("f(x=1); g(y=2)", "f(x=1)", "g(y=2)", times=10)).kind != "multi_label"


@pytest.mark.parametrize(
    "targets",
    [
        ["load('a/b', 'small', fast=True)", "load('a/b', 'large', fast=True)", "load('a/b', 'large')"],
        ["cd /srv; make all", "cd /srv; git pull; make all", "git pull"],
        ["sort -u | wc -l", "grep x | sort -u | wc -l", "grep x"],
        ["0, 0, 1", "1, 1", "0, 1, 1, 0", "1, 0"],
    ],
    ids=["arguments", "commands", "pipes", "numbers that come twice"],
)
def test_parts_of_something_else_are_no_labels(targets: list[str]) -> None:
    assert task_of(of_targets(*targets, times=20)).kind != "multi_label"


def test_one_order_is_learned_in_the_file_s_own_form() -> None:
    _, loaded = understand(loaded_of(of_targets("dog|cat", "cat", "bird|cat|dog|cat", "bird", times=8)))
    assert [one.target for one in loaded.examples[:4]] == ["cat|dog", "cat", "cat|bird|dog", "bird"]
    lists, loaded = understand(loaded_of(of_targets('["b", "a"]', '["a"]', "[]", times=8)))
    assert [one.target for one in loaded.examples[:3]] == ['["a", "b"]', '["a"]', "[]"]
    assert "as a JSON list" in MultiLabel().instruction(lists)
    assert "If none applies, answer []." in MultiLabel().instruction(lists)
    found = task()
    assert [one.target for one in tidy(found, of_targets("DOG; Cat", "fish;cat", ";"))] == [
        "cat; dog",
        "cat; fish",
        ";",
    ]
    assert unreadable(found, of_targets("cat", ";", "none")) == [
        (2, "its target has separators and no label")
    ]
    assert text_for(found, ["dog", "cat"]) == "cat; dog"
    assert renamed(found, "cat; dog", str.upper) == "CAT; DOG"


def test_grades_by_hand() -> None:
    found = measured(
        task("none"),
        ["cat; dog", "cat", "none", "bird", "dog"],
        ["dog, cat", "cat; bird", "none", "who knows", "dog; fish"],
    )
    # rows: right; 1 extra; right and empty; nothing read, so 1 missing; 1 extra. tp 4, fp 2, fn 1
    assert {name: one.value for name, one in found.items()} == {
        "micro_f1": pytest.approx(2 * 4 / (2 * 4 + 2 + 1)),
        "exact_set": pytest.approx(2 / 5),
        "macro_f1": pytest.approx((1 + 0 + 1) / 3),  # cat 2/2, bird 0 of 1 with 1 extra, dog 2/2
        "jaccard": pytest.approx((1 + 1 / 2 + 1 + 0 + 1 / 2) / 5),
        "samples_f1": pytest.approx((1 + 2 / 3 + 1 + 0 + 2 / 3) / 5),
    }


def test_an_empty_set_against_an_answer_that_cannot_be_read() -> None:
    found = measured(task("none"), ["none", "none"], ["none", "who knows"])
    assert [found[name].value for name in ("exact_set", "jaccard", "samples_f1")] == [0.5, 0.5, 0.5]


def test_scikit_learn_says_the_same() -> None:
    rng, labels = random.Random(0), ["cat", "dog", "bird", "cow"]
    sets = [rng.sample(labels, rng.randint(0, 3)) for _ in range(80)]
    answers = [[one for one in labels if rng.random() < (0.8 if one in row else 0.2)] for row in sets]
    known = task_of(of_targets(*("; ".join(row) or "none" for row in sets)))
    assert known.kind == "multi_label"
    texts = ["; ".join(row) or "none" for row in answers]
    found = measured(known, ["; ".join(row) or "none" for row in sets], texts)
    binary = MultiLabelBinarizer(classes=labels)
    truth, said = binary.fit_transform(sets), binary.fit_transform(answers)
    expected = {
        "micro_f1": f1_score(truth, said, average="micro"),
        "exact_set": accuracy_score(truth, said),
        "macro_f1": f1_score(truth, said, average="macro", zero_division=0),
        "jaccard": jaccard_score(truth, said, average="samples", zero_division=1),
        "samples_f1": f1_score(truth, said, average="samples", zero_division=1),
    }
    assert {name: one.value for name, one in found.items()} == pytest.approx(expected)
    for name, one in found.items():
        assert METRICS[name].higher_is_better
        assert one.low is not None
        assert one.value is not None
        assert one.low < one.value


def test_what_may_be_wrong_with_rows() -> None:
    found = task("Cat")
    rows = of_targets("cat;; dog", "dog; dog", "none; cat", "fish", "Dog", "cat", " ", "Cat")
    said = dict(doubts(found, rows))
    assert said == {
        1: "has an empty label between separators; it is left out, correct the row if one is missing",
        2: "has a label twice; it counts once",
        3: "says that it has no label next to labels; the labels count",
        4: "has the label 'fish', which no train row has: correct it, or add train rows with it",
        5: "has 'Dog', which is read as 'dog': they differ by case, space or Unicode form",
        7: "has an empty target and is dropped; write 'none' where no label applies",
        8: "has the label 'Cat', which differs from 'cat' only by case, space or Unicode form: "
        "write it the same way if it means the same",
    }


def test_any_file_can_be_read_so_and_meanings_are_put_on_each_label() -> None:
    asked = task_of(of_targets("a", "b", times=12), "multi_label")
    assert (asked.kind, labels_of(asked)) == ("multi_label", ("a", "b"))
    examples = of_targets("0;1", "1", "0", times=8)
    named, loaded = understand(loaded_of(examples, label_names={"0": "calm", "1": "angry"}))
    assert labels_of(named) == ("angry", "calm")
    assert loaded.examples[0].target == "angry;calm"
    hinted = task_of([replace(one) for one in of_targets("a; b", "none", "c", times=8)], hint="multi_label")
    assert (hinted.kind, hinted.facts["empty"]) == ("multi_label", True)


def test_constants_grow_from_the_most_frequent_label() -> None:
    found = task()
    assert MultiLabel().constants(found, ()) == ["cat", "cat; bird", "cat; bird; dog"]
    assert np.all(
        [grade(found, one, Completion(one.id, "cat", 1)).status == "ok" for one in of_targets("cat")]
    )


def test_answers_can_be_kept_to_what_train_rows_look_like() -> None:
    found, loaded = understand(loaded_of(of_targets(*TARGETS, "dog; cat; fish; bird", "none", times=8)))
    example = loaded.examples[0]
    assert MultiLabel().grammar(found, example) == ""  # nothing is known of train yet
    known = learn(found, loaded.examples)
    grammar = MultiLabel().grammar(known, example)
    assert all(takes(grammar, one.target) for one in loaded.examples)
    assert not takes(grammar, "cat; cat")
    fewer = learn(found, [one for one in loaded.examples if one.target.count(";") < 2])
    assert not takes(MultiLabel().grammar(fewer, example), "cat; bird; dog")
    assert MultiLabel().grammar(learn(found, []), example) == ""
