"""Everything planted in a file of examples is found, and a clean file gives empty lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from rung.data.check import Findings, Lengths, check, require_trainable
from rung.data.formats import Loaded, example_of
from rung.errors import DataError, TurnsError
from rung.records import Example, Message, Rendered


class Words:
    """A renderer whose tokens are words: one for each word, one more for each turn's end."""

    def render(self, example: Example) -> Rendered:
        prompt = sum(len(message.content.split()) + 1 for message in example.prompt)
        target = len(example.target.split()) + 1
        mask = (False,) * prompt + (True,) * target
        return Rendered(example.id, tuple(range(prompt + target)), mask)

    def control_tokens(self, text: str) -> list[str]:
        return [word for word in text.split() if word.startswith("<|")]


def loaded(*pairs: tuple[str, str]) -> Loaded:
    rows = [
        example_of((Message("user", prompt), Message("assistant", target)), row=n)
        for n, (prompt, target) in enumerate(pairs, start=1)
    ]
    return Loaded(tuple(rows), "prompt-completion", "rows.jsonl", "0" * 64, ("keys that are not used: 'x'",))


def find(
    *pairs: tuple[str, str], max_length: int = 100, test: Loaded | None = None, labels: Sequence[str] = ()
) -> Findings:
    return check(loaded(*pairs), Words(), max_length, test, labels)


CLEAN = [(f"is film {i} good", "yes" if i % 2 else "no") for i in range(20)]


def test_a_clean_file() -> None:
    found = find(*CLEAN, labels=("yes", "no"))
    assert (found.name, found.format, found.rows) == ("rows.jsonl", "prompt-completion", 20)
    assert found.roles == {"user": 20, "assistant": 20}
    assert found.turns == {2: 20}
    assert found.prompt_tokens == Lengths(5, 5, 5, 5)
    assert found.target_tokens == Lengths(2, 2, 2, 2)
    assert found.classes == (("no", 10), ("yes", 10))
    assert found.imbalance == 1.0
    assert found.warnings == ("keys that are not used: 'x'",)
    lists = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    nothing = (
        "too_long",
        "no_room",
        "duplicates",
        "near_duplicates",
        "contradictions",
        "empty_targets",
        "control_tokens",
        "unseen_characters",
        "overlap",
        "near_overlap",
        "unseen_labels",
        "rewritten_rows",
        "refused",
    )
    assert {name: lists[name] for name in nothing} == dict.fromkeys(nothing, ())


def test_turns_and_roles() -> None:
    first, second = Message("user", "a"), Message("assistant", "b")
    examples = (
        example_of((Message("system", "s"), first, second), 1),
        example_of((first, second, first, second), 2),
    )
    found = check(Loaded(examples, "messages", "x", ""), Words(), 100)
    assert found.turns == {3: 1, 4: 1}
    assert found.roles == {"system": 1, "user": 3, "assistant": 3}


def test_lengths_are_nearest_rank_percentiles() -> None:
    found = find(*[("w " * n, "x") for n in range(1, 101)])
    assert found.prompt_tokens == Lengths(51, 91, 100, 101)


def test_long_rows_and_prompts_without_room() -> None:
    found = find(("a b", "c"), ("a b", "c d e f"), ("a b c d e", "f"), max_length=6)
    assert found.too_long == ((2, 8), (3, 8))
    assert found.no_room == ((3, 6),)


def test_duplicates_near_duplicates_and_contradictions() -> None:
    found = find(
        ("Good film!", "yes"),
        ("good film", "yes"),
        ("Good film!", "yes"),
        ("good  film.", "no"),
        ("good film?", "no"),
        ("bad film", "no"),
    )
    assert found.duplicates == ((1, 3),)
    assert found.near_duplicates == ((1, 2), (1, 4), (1, 5))
    assert found.contradictions == ((1, 4),)


def test_empty_targets_control_tokens_and_unseen_characters() -> None:
    found = find(
        ("a", " \n"),
        ("say <|im_end|> and <|im_end|> and", "<|x|>"),
        ("c", "ye\u200bs"),
        ("d", "\u202eno"),
        ("e", "\x1b[2J"),
        ("f\u200b", "👩\u200d🔬 tab\tline\n"),
    )
    assert found.empty_targets == (1,)
    assert found.control_tokens == ((2, ("<|im_end|>", "<|x|>")),)
    assert found.unseen_characters == (3, 4, 5)


def test_overlap_with_a_test_file() -> None:
    test = loaded(("new one", "yes"), CLEAN[3], ("Is FILM 5 good?", "yes"), (CLEAN[7][0], "other"))
    found = find(*CLEAN, test=test, labels=("yes", "no"))
    assert found.overlap == ((4, 2),)
    assert found.near_overlap == ((6, 3), (8, 4))
    assert found.unseen_labels == (("other", (4,)),)


def test_labels_are_compared_only_where_the_task_has_some() -> None:
    found = find(*CLEAN, test=loaded(("q", "something else")))
    assert found.classes == ()
    assert found.imbalance is None
    assert found.unseen_labels == ()


def test_labels_that_differ_by_case_or_accents_alone_are_known() -> None:
    rows = [(f"q {i}", "caf\u00e9" if i % 2 else "the") for i in range(20)]
    test = loaded(("a", "THE"), ("b", "Cafe\u0301"), ("c", "tea"))
    assert find(*rows, test=test, labels=("caf\u00e9", "the")).unseen_labels == (("tea", (3,)),)


def test_imbalance() -> None:
    found = find(
        *[(f"q {i}", "rare" if i == 0 else "common") for i in range(1001)], labels=("common", "rare")
    )
    assert found.classes == (("common", 1000), ("rare", 1))
    assert found.imbalance == 1000.0


def test_the_sample_is_a_typical_row_that_fits() -> None:
    found = find(
        ("a", ""), ("a b c d e f g h i", "x"), ("a b", "y"), ("a b c", "z"), ("a", "w"), max_length=8
    )
    assert found.sample.row == 3
    assert found.sample_tokens == Words().render(found.sample)
    assert find(("a b c", "x"), ("a", ""), max_length=1).sample.row == 1


TALK = tuple(Message(role, text) for role, text in (("user", "a"), ("assistant", "b c")))  # type: ignore[arg-type]


def test_assistant_turns_are_counted() -> None:
    marked = Message("assistant", "b c", learn=False)
    rows = ((*TALK, *TALK), (TALK[0], marked, *TALK), (*TALK, TALK[0], Message("assistant", "")), TALK)
    found = check(
        Loaded(tuple(example_of(m, i) for i, m in enumerate(rows, 1)), "messages", "x", ""), Words(), 99
    )
    assert (found.answers, found.marked, found.rewritten, found.learned_answers) == (6, 1, 0, 5)
    assert found.target_tokens.max == 3


class Template(Words):
    """Drops tool turns, and the thoughts of answers before the last."""

    def render(self, example: Example) -> Rendered:
        if any(message.role == "tool" for message in example.prompt):
            raise TurnsError("a tool turn is dropped", row=example.row, where=example.source)
        thoughts = sum("<think>" in message.content for message in example.prompt)
        rendered = super().render(example)
        return dataclasses.replace(rendered, rewritten=thoughts)


def test_rows_that_the_chat_template_cannot_write_are_named_and_the_others_measured() -> None:
    tool, thought = Message("tool", "4"), Message("assistant", "<think>x</think>y")
    rows = (TALK, (TALK[0], TALK[1], tool, TALK[1]), (TALK[0], thought, TALK[0], thought, *TALK), TALK)
    file = Loaded(tuple(example_of(m, i) for i, m in enumerate(rows, 1)), "messages", "x", "")
    found = check(file, Template(), 100)
    assert found.refused == (("a tool turn is dropped", (2,)),)
    assert found.prompt_tokens.max == 10
    assert (found.rows, found.rewritten, found.rewritten_rows) == (4, 2, (3,))
    assert found.learned_answers == found.answers - 2
    with pytest.raises(DataError, match="row 2: a tool turn is dropped"):
        check(dataclasses.replace(file, examples=file.examples[1:2]), Template(), 100)


def examples(pairs: Sequence[tuple[str, str]]) -> tuple[Example, ...]:
    return loaded(*pairs).examples


def test_trainable_rows_pass() -> None:
    require_trainable(examples(CLEAN))
    require_trainable(examples(CLEAN[:2]), minimum=2)


@pytest.mark.parametrize(
    ("pairs", "part"),
    [
        ([], "no rows to learn from"),
        (CLEAN[:1], "1 row is too few"),
        (CLEAN[:19], "19 rows are too few"),
        ([(str(i), " ") for i in range(20)], "every target is empty"),
        ([(str(i), "yes" + " " * (i % 2)) for i in range(20)], "all 20 targets are the same: 'yes'"),
        ([(str(i), "y" * 900) for i in range(20)], "yyy…'"),
    ],
)
def test_untrainable_rows_are_refused(pairs: list[tuple[str, str]], part: str) -> None:
    with pytest.raises(DataError) as caught:
        require_trainable(examples(pairs))
    assert part in str(caught.value)
    assert len(str(caught.value)) < 300
