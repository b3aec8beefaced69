"""Prompts: what they say, what they share, and which rows they show."""

from __future__ import annotations

import json

import pytest

from rung.evaluation.prompts import CONTENT_FREE, content_free, few_shot, instruction, pick_shots, zero_shot
from rung.records import Example, Message, Task, TaskKind

LABELS = Task("classification", "", ("accuracy",), labels=("good", "bad", "mixed"))


def task(kind: TaskKind, **names: tuple[str, ...]) -> Task:
    return Task(kind, "", ("score",), **names)


def row(question: str, target: str, system: str = "", earlier: tuple[str, ...] = ()) -> Example:
    opening = [Message("system", system)] if system else []
    before = [Message("user" if i % 2 == 0 else "assistant", text) for i, text in enumerate(earlier)]
    asked = [Message("user", question), Message("assistant", target)]
    return Example(f"{question}|{target}", (*opening, *before, *asked), 1)


def reviews(n: int = 60) -> list[Example]:
    """Two thirds good, the rest bad and mixed."""
    targets = ("good", "good", "bad", "good", "good", "mixed")
    return [row(f"Review number {i} {'long ' * (i % 7)}", targets[i % 6]) for i in range(n)]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (LABELS, "Classify the text. Answer with one of these labels and nothing else: good, bad, mixed."),
        (
            task("extraction", fields=("name", "city")),
            "Answer with one JSON object and nothing else. Use only the keys that apply: name, city.",
        ),
        (task("extraction"), "Answer with one JSON object and nothing else."),
        (
            task("api_call", functions=("git add", "git push")),
            "Answer with the one git command that does it and nothing else.",
        ),
        (
            task("api_call", functions=("git add", "tar")),
            "Answer with the one command that does it and nothing else.",
        ),
        (task("api_call", functions=("hub.load",)), "Answer with one call hub.load(...) and nothing else."),
        (
            task("api_call", functions=("f", "g.h")),
            "Answer with one call of one of these functions and nothing else: f, g.h.",
        ),
        (
            task("translation", fields=("English", "French")),
            "Translate the text from English to French. Answer with the translation only.",
        ),
        (task("translation"), "Translate the text. Answer with the translation only."),
        (task("generation"), ""),
    ],
)
def test_the_instruction_names_the_form(asked: Task, said: str) -> None:
    assert instruction(asked) == said


def test_long_lists_are_cut_and_labels_with_commas_get_lines() -> None:
    many = instruction(task("classification", labels=tuple(f"label{i}" for i in range(70))))
    assert "label59" in many
    assert "label60" not in many
    assert "or one like them" in many
    assert instruction(task("classification", labels=("yes, fully", "no"))).endswith(":\nyes, fully\nno")


def test_zero_shot_keeps_the_system_text_and_all_turns() -> None:
    example = row("And now?", "good", system="You read reviews.", earlier=("Fine.", "good"))
    prompt = zero_shot(LABELS, example)
    assert prompt[0] == Message("system", f"You read reviews.\n\n{instruction(LABELS)}")
    assert prompt[1:] == example.prompt[1:]
    assert zero_shot(task("generation"), row("Hi", "Ho")) == (Message("user", "Hi"),)


def test_few_shot_shares_everything_before_the_own_turns() -> None:
    shots = [row("Lovely", "good", system="S"), row("Awful", "bad", system="S", earlier=("Hm", "mixed"))]
    first, second = (few_shot(LABELS, shots, row(text, "bad", system="S")) for text in ("one", "two"))
    assert first[:-1] == second[:-1]
    assert first[0].content == f"S\n\n{instruction(LABELS)}"
    assert [(m.role, m.content) for m in first[1:]] == [
        ("user", "Lovely"),
        ("assistant", "good"),
        ("user", "Awful"),
        ("assistant", "bad"),
        ("user", "one"),
    ]


def test_the_instruction_can_be_left_out() -> None:
    shots = [row("Lovely", "good")]
    asked, bare = (few_shot(LABELS, shots, row("one", "bad"), instruct) for instruct in (True, False))
    assert asked[0] == Message("system", instruction(LABELS))
    assert bare == asked[1:]


def test_a_shot_keeps_a_system_text_that_the_row_does_not_have() -> None:
    prompt = few_shot(task("generation"), [row("Why?", "Because.", system="Be brief.")], row("How?", "So."))
    assert prompt[0] == Message("user", "Be brief.\n\nWhy?")


def test_the_target_of_the_row_is_never_shown() -> None:
    example = row("question", "the secret answer")
    assert "secret" not in repr(few_shot(LABELS, reviews(4), example))


def test_content_free_empties_only_the_last_user_turn() -> None:
    prompt = few_shot(LABELS, reviews(3), row("This text", "bad"))
    emptied = content_free(prompt)
    assert [messages[-1] for messages in emptied] == [Message("user", text) for text in CONTENT_FREE]
    assert all(messages[:-1] == prompt[:-1] for messages in emptied)


@pytest.mark.parametrize("kind", ["classification", "extraction", "api_call", "generation"])
def test_shots_are_seeded_nested_and_different_train_rows(kind: TaskKind) -> None:
    asked = LABELS if kind == "classification" else task(kind)
    train = reviews()
    shots = pick_shots(asked, train, 12, seed=1)
    assert shots == pick_shots(asked, train, 12, seed=1)
    assert shots != pick_shots(asked, train, 12, seed=2)
    assert len({shot.id for shot in shots}) == 12
    assert set(shots) <= set(train)
    for k in range(12):
        assert pick_shots(asked, train, k, seed=1) == shots[:k]
    assert set(pick_shots(asked, train, 1000, seed=1)) == set(train)


def test_shots_of_a_classification_go_round_the_labels() -> None:
    train = reviews()
    for k in (3, 6, 9):
        targets = [shot.target for shot in pick_shots(LABELS, train, k, seed=0)]
        assert [targets.count(label) for label in LABELS.labels] == [k // 3] * 3
    assert pick_shots(LABELS, train, 1, seed=0)[0].target == "good"
    last = {pick_shots(LABELS, train, k, seed=0)[-1].target for k in (3, 6, 9, 12, 15)}
    assert len(last) > 1


def test_a_rare_label_runs_out_without_harm() -> None:
    train = [*[row(f"x{i}", "good") for i in range(20)], row("y", "bad")]
    targets = [shot.target for shot in pick_shots(LABELS, train, 8, seed=0)]
    assert sorted(targets) == ["bad"] + ["good"] * 7


def test_shots_of_an_extraction_cover_common_keys_and_values() -> None:
    train = []
    for i in range(90):
        intent = ("play", "book", "rate")[i % 3]
        value = {"intent": intent, f"{intent}_key": i, "odd": i} if i % 5 else {"intent": intent}
        train.append(row(f"say {i}", json.dumps(value)))
    shots = pick_shots(task("extraction"), train, 3, seed=0)
    assert {json.loads(shot.target)["intent"] for shot in shots} == {"play", "book", "rate"}
    assert all(len(json.loads(shot.target)) == 3 for shot in shots)


def test_shots_of_calls_cover_common_functions() -> None:
    train = [row(f"do {i}", f"git {('add', 'push', 'pull', 'log')[i % 4]} --x{i}") for i in range(40)]
    shots = pick_shots(task("api_call"), train, 4, seed=0)
    assert len({shot.target.split()[1] for shot in shots}) == 4


def test_shots_of_free_text_spread_over_lengths_and_leave_out_the_longest() -> None:
    train = [row(f"q{i}", "word " * (i + 1)) for i in range(100)]
    words = sorted(len(shot.target.split()) for shot in pick_shots(task("generation"), train, 4, seed=0))
    assert [(n - 1) // 25 for n in words][:3] == [0, 1, 2]
    assert words[-1] <= 76


def test_rows_without_an_answer_and_repeated_prompts_are_not_shown() -> None:
    train = [row("Same  text", "good"), row("same text", "bad"), row("empty", " ")]
    assert pick_shots(LABELS, train, 5, seed=0) == (train[0],)
    assert pick_shots(task("generation"), [], 5, seed=0) == ()
