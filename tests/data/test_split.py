"""Parts that share nothing, depend on the seed and the content alone, and have the asked sizes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from rung.data.formats import example_of
from rung.data.split import normalise, prompt_key, sample, split
from rung.errors import DataError
from rung.records import Example, Message


def row(prompt: str, target: str = "yes", number: int = 0) -> Example:
    return example_of((Message("user", prompt), Message("assistant", target)), row=number)


def rows(n: int, start: int = 0) -> list[Example]:
    return [row(f"question number {i}", str(i % 3), i - start + 1) for i in range(start, start + n)]


def ids(examples: Sequence[Example]) -> set[str]:
    return {example.id for example in examples}


def divide(examples: Sequence[Example], seed: int = 0, dev: float = 0.15, test: float = 0.2):  # type: ignore[no-untyped-def]
    return split(examples, seed=seed, dev_fraction=dev, test_fraction=test)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Hello, World!", "hello world"),
        ("  a\n\tb ", "A b."),
        ("ﬁne ①", "FINE 1"),
        ("can't", "cant"),
        ("STRASSE", "straße"),
        ("«oui», dit-il…", "oui dit il"),
        ("in 1990.", "In 1990"),
        ("¿Qué?", "qué"),
        ("你好。", "你好"),
    ],
)
def test_small_differences_do_not_count(first: str, second: str) -> None:
    assert normalise(first) == normalise(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("room 1", "room 2"),
        ("5-3", "5/3"),
        ("5 - 3", "5 * 3"),
        ("3.5", "35"),
        ("is -5 small?", "is 5 small?"),
        ("a+b", "a b"),
        ("???", "!!!"),
        ("resume", "résumé"),
        ("की", "क"),
    ],
)
def test_differences_of_meaning_count(first: str, second: str) -> None:
    assert normalise(first) != normalise(second)


def test_normalising_twice_changes_nothing() -> None:
    for text in ("Hello, World!", "5 - 3", "???", "can't  STOP", "x\u00a0y"):
        assert normalise(normalise(text)) == normalise(text)


def test_the_key_is_the_prompt_without_the_target() -> None:
    assert prompt_key(row("Hi!", "a")) == prompt_key(row("hi", "b"))
    system = example_of((Message("system", "S"), Message("user", "Hi"), Message("assistant", "a")))
    assert prompt_key(system) != prompt_key(row("Hi"))


@pytest.mark.parametrize("n", [20, 21, 57, 100, 1000])
@pytest.mark.parametrize(("dev", "test"), [(0.15, 0.2), (0.01, 0.01), (0.49, 0.49)])
def test_sizes_are_as_asked_and_nothing_is_lost(n: int, dev: float, test: float) -> None:
    examples = rows(n)
    parts = divide(examples, dev=dev, test=test)
    assert ids(parts.train) | ids(parts.dev) | ids(parts.test) == ids(examples)
    assert len(parts.train) + len(parts.dev) + len(parts.test) == n
    assert len(parts.test) == max(1, round(n * test))
    assert len(parts.dev) == max(1, min(round(n * dev), n - len(parts.test) - 1))
    assert parts.train
    assert parts.leaked == ()
    assert parts.duplicates == 0


def test_order_of_rows_does_not_matter_and_the_seed_does() -> None:
    examples = rows(200)
    mixed = random.Random(0).sample(examples, len(examples))
    first, second = divide(examples), divide(mixed)
    for part in ("train", "dev", "test"):
        assert ids(getattr(first, part)) == ids(getattr(second, part))
    assert ids(first.test) != ids(divide(examples, seed=1).test)
    assert divide(examples) == first


def test_parts_keep_the_order_of_the_file() -> None:
    parts = divide(rows(100))
    for part in (parts.train, parts.dev, parts.test):
        numbers = [example.row for example in part]
        assert numbers == sorted(numbers)


def test_the_split_is_pinned() -> None:
    """Another split of the same rows would silently make old and new results incomparable."""
    assert [example.row for example in divide(rows(20)).test] == [2, 4, 7, 12]


def test_near_duplicates_stay_together() -> None:
    spellings = ("Question {}?", "question {}", "QUESTION  {}!", "  question {} ...")
    examples = [row(s.format(i), target) for i in range(60) for s in spellings for target in "ab"]
    parts = divide(examples)
    keys = [{prompt_key(e) for e in part} for part in (parts.train, parts.dev, parts.test)]
    assert not keys[0] & keys[1] | keys[0] & keys[2] | keys[1] & keys[2]
    assert abs(len(parts.test) - 0.2 * len(examples)) < 8
    assert abs(len(parts.dev) - 0.15 * len(examples)) < 8


def test_one_giant_group_leaves_something_for_every_part() -> None:
    examples = [row("the same?", str(i)) for i in range(90)] + rows(2)
    for seed in range(10):
        parts = divide(examples, seed=seed)
        assert len(parts.train) == 90
        assert len(parts.dev) == len(parts.test) == 1
        parts = divide(examples, seed=seed, dev=0.49, test=0.49)
        assert min(len(parts.train), len(parts.dev), len(parts.test)) >= 1


def test_too_few_different_prompts_are_refused() -> None:
    with pytest.raises(DataError, match="1 different prompt to divide"):
        divide([row("same", str(i)) for i in range(30)])
    with pytest.raises(DataError, match="2 different prompts"):
        divide([row(str(i % 2), str(i)) for i in range(30)])
    with pytest.raises(DataError, match="0 different prompts"):
        divide([])


def test_exact_duplicates_are_kept_once() -> None:
    examples = rows(30)
    parts = divide([*examples, *examples[:7], examples[0]])
    assert parts.duplicates == 8
    assert parts == type(parts)(**{**_fields(divide(examples)), "duplicates": 8})


def _fields(parts: object) -> dict[str, object]:
    return {name: getattr(parts, name) for name in ("train", "dev", "test", "leaked", "duplicates")}


def test_a_test_file_takes_its_prompts_out_of_train() -> None:
    train = [*rows(50), row("Question NUMBER 51!", "another", 51), row("question number 52", "0", 52)]
    test = [row("question number 51"), row("question number 52", "1"), *rows(5, start=100)]
    parts = split(train, seed=0, dev_fraction=0.1, test_fraction=0.9, test=test)
    assert [example.row for example in parts.leaked] == [51, 52]
    assert parts.test == tuple(test)
    assert len(parts.dev) == 5
    assert ids(parts.train) | ids(parts.dev) == ids(rows(50))
    assert not ids(parts.train) & ids(parts.dev)


def test_duplicates_of_the_test_file_are_kept_once_and_counted() -> None:
    test = rows(5, start=100)
    parts = split(rows(50), seed=0, dev_fraction=0.1, test_fraction=0.2, test=[*test, test[0]])
    assert parts.test == tuple(test)
    assert parts.duplicates == 1


def test_a_test_file_that_holds_all_of_train_is_refused() -> None:
    with pytest.raises(DataError, match="30 rows were left out because their prompt is in the test file"):
        split(rows(30), seed=0, dev_fraction=0.1, test_fraction=0.2, test=rows(30))


def test_samples_are_nested_ordered_and_seeded() -> None:
    examples = rows(100)
    larger = sample(examples, 40, seed=0)
    smaller = sample(examples, 10, seed=0)
    assert len(larger) == 40
    assert ids(smaller) < ids(larger)
    assert [e.row for e in larger] == sorted(e.row for e in larger)
    assert ids(sample(examples[::-1], 40, seed=0)) == ids(larger)
    assert ids(sample(examples, 40, seed=1)) != ids(larger)
    assert sample(examples, 1000, seed=0) == tuple(examples)
    assert sample(examples, 0, seed=0) == ()


def test_a_sample_of_equal_rows_has_the_asked_size() -> None:
    assert len(sample([row("a")] * 10, 4, seed=0)) == 4


def grouped(count: int, group: Callable[[int], str]) -> list[Example]:
    rows = [example_of((Message("user", f"q {i}"), Message("assistant", "a")), i + 1) for i in range(count)]
    return [replace(row, group=group(i)) for i, row in enumerate(rows)]


@pytest.mark.parametrize("seed", range(5))
def test_a_group_stays_in_one_part(seed: int) -> None:
    rows = grouped(120, lambda i: f"customer {i % 17}")
    parts = split(rows, seed=seed, dev_fraction=0.2, test_fraction=0.2)
    groups = [{row.group for row in part} for part in (parts.train, parts.dev, parts.test)]
    assert all(groups)
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    assert len(parts.train) + len(parts.dev) + len(parts.test) == 120


def test_groups_that_share_a_prompt_stay_together() -> None:
    rows = grouped(60, lambda i: f"g{i}")
    same = example_of((Message("user", "Q 0!"), Message("assistant", "b")), 61)
    rows.append(replace(same, group="g1"))  # the prompt of g0, the group of g1
    parts = split(rows, seed=0, dev_fraction=0.2, test_fraction=0.2)
    where = {row.row: name for name in ("train", "dev", "test") for row in getattr(parts, name)}
    assert where[1] == where[2] == where[61]


def test_rows_without_a_group_are_split_as_before() -> None:
    rows = grouped(80, lambda i: "")
    plain = [replace(row, group="") for row in rows]
    alone = [replace(row, group=f"only {i}") for i, row in enumerate(rows)]
    wanted = split(plain, seed=3, dev_fraction=0.2, test_fraction=0.2)
    found = split(alone, seed=3, dev_fraction=0.2, test_fraction=0.2)
    assert [row.row for row in found.test] == [row.row for row in wanted.test]


def test_a_group_in_the_test_file_is_left_out_of_train() -> None:
    rows = grouped(40, lambda i: f"doc {i % 10}")
    held = [replace(row, row=i, id=f"other{i}") for i, row in enumerate(grouped(2, lambda i: f"doc {i}"))]
    held = [replace(row, messages=(Message("user", f"new {row.row}"), row.messages[1])) for row in held]
    parts = split(rows, seed=0, dev_fraction=0.2, test_fraction=0.2, test=held)
    assert {row.group for row in parts.leaked} == {"doc 0", "doc 1"}
    assert len(parts.leaked) == 8


def test_rows_without_a_prompt_are_told_apart_by_their_text() -> None:
    rows = [example_of((Message("assistant", f"text {i}"),), i + 1) for i in range(30)]
    parts = split(rows, seed=0, dev_fraction=0.2, test_fraction=0.2)
    assert len(parts.test) == 6


def test_a_sample_by_label_holds_each_label_in_proportion_at_every_size() -> None:
    labels = ["a"] * 60 + ["b"] * 30 + ["c"] * 9 + ["d"]
    examples = [row(f"text {i}", label) for i, label in enumerate(labels)]
    before: set[str] = set()
    for n in range(0, 101, 10):
        found = sample(examples, n, 3, lambda one: one.target)
        count = Counter(one.target for one in found)
        assert len(found) == n
        assert abs(count["a"] - 0.6 * n) <= 2
        assert abs(count["b"] - 0.3 * n) <= 2
        assert abs(count["c"] - 0.09 * n) <= 1
        assert [one.id for one in found] == [one.id for one in examples if one in found]
        assert before <= {one.id for one in found}
        before = {one.id for one in found}


def test_a_sample_by_label_depends_on_the_seed_and_not_on_the_order() -> None:
    examples = [row(f"text {i}", "ab"[i % 2]) for i in range(50)]
    mixed = random.Random(0).sample(examples, 50)

    def drawn(some: list[Example], seed: int) -> set[str]:
        return {one.id for one in sample(some, 20, seed, lambda one: one.target)}

    assert drawn(examples, 1) == drawn(mixed, 1) != drawn(examples, 2)
