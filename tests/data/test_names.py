"""Names of columns are compared as people write them, and each says what it may be."""

from __future__ import annotations

import pytest

from rung.data.names import (
    is_chosen,
    is_name,
    is_nameless,
    is_yes_or_no,
    language,
    parts_of,
    plain,
    unquoted,
    words_of,
)


@pytest.mark.parametrize(
    "name", ["system_prompt", "System Prompt", "systemPrompt", "SYSTEM-PROMPT", "system.prompt"]
)
def test_names_are_compared_without_case_and_marks(name: str) -> None:
    assert plain(name) == "systemprompt"
    assert parts_of(name) == [("system", "", 0)]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("Text", ("prompt", "", 1)),
        ("question", ("prompt", "", 0)),
        ("Questions", ("prompt", "", 0)),
        ("guest_text", ("prompt", "", 11)),
        ("customerMessage", ("prompt", "", 11)),
        ("label", ("target", "label", 0)),
        ("ticket_category", ("target", "label", 11)),
        ("stars", ("target", "label", 2)),
        ("completion", ("target", "answer", 0)),
        ("expected output", ("target", "answer", 1)),
        ("SQL", ("target", "answer", 2)),
        ("frage", ("prompt", "", 0)),
        ("Réponse", ("target", "answer", 0)),
        ("标签", ("target", "label", 0)),
        ("context", ("context", "", 0)),
        ("messages", ("conversation", "", 0)),
        ("rejected", ("rejected", "", 0)),
        ("kto_tag", ("wanted", "", 0)),
        ("loss_weight", ("weight", "", 0)),
        ("tweet_id", ("id", "", 0)),
        ("Unnamed: 0", ("id", "", 0)),
        ("metadata", ("not used", "", 0)),
        ("option_a", ("prompt", "", 2)),
        ("B", ("prompt", "", 2)),
        ("Q", ("prompt", "", 0)),
        ("From", ("not used", "", 0)),
        ("Bcc", ("not used", "", 0)),
        ("X-From", ("not used", "", 10)),
        ("sender_name", ("not used", "", 10)),
        ("reported_by", ("not used", "", 10)),
        ("seenAt", ("not used", "", 10)),
        ("Empfänger", ("not used", "", 0)),
        ("发件人", ("not used", "", 0)),
        ("is_deleted", ("not used", "", 10)),
        ("is_spam", ("target", "label", 11)),
        ("'label'", ("target", "label", 0)),
    ],
)
def test_parts(name: str, first: tuple[str, str, int]) -> None:
    assert parts_of(name)[0] == first


def test_a_name_may_allow_several_parts_or_none() -> None:
    assert {part for part, _, _ in parts_of("code")} == {"prompt", "target"}
    assert parts_of("A") == [("prompt", "", 2), ("target", "answer", 2)]
    assert {kind for part, kind, _ in parts_of("target") if part == "target"} == {"answer", "label"}
    assert parts_of("zebra") == parts_of("") == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("review_text", ["review", "text"]),
        ("reviewText", ["review", "text"]),
        ("a/b C", ["a", "b", "c"]),
        ("text", ["text"]),
        ("", []),
    ],
)
def test_words_of(name: str, words: list[str]) -> None:
    assert words_of(name) == words


def test_a_compound_is_a_label_by_its_first_word_where_its_last_says_nothing() -> None:
    assert parts_of("category_hint") == [("target", "label", 11)]
    assert parts_of("text_hint") == []
    assert parts_of("target_report")[0] == ("target", "answer", 10)
    assert parts_of("target_language") == [("not used", "", 10)]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("Label", True),
        ("german", True),
        ("guest_text", False),
        ("it", False),
        ("good", False),
        ("a text", False),
    ],
)
def test_is_name(name: str, known: bool) -> None:
    assert is_name(name) is known


@pytest.mark.parametrize(
    ("name", "found"),
    [("en", "English"), ("Deutsch", "German"), (" fr ", "French"), ("Hindi", "Hindi"), ("xx", None)],
)
def test_language(name: str, found: str | None) -> None:
    assert language(name) == found


def test_is_chosen() -> None:
    assert is_chosen("preferred_output")
    assert not is_chosen("rejected")


def test_a_question_of_yes_or_no_is_neither_an_answer_nor_a_text() -> None:
    assert is_yes_or_no("is_reply")
    assert is_yes_or_no("hasText")
    assert parts_of("is_reply") == parts_of("hasText") == []
    assert not is_yes_or_no("issue")


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("'Love'", "Love"),
        ('"a b"', "a b"),
        (" «avis» ", "avis"),
        ("user's", "user's"),
        ("'a' or 'b'", "'a' or 'b'"),
        ("''", "''"),
        (" plain ", " plain "),
    ],
)
def test_quotes_around_a_name(name: str, bare: str) -> None:
    assert unquoted(name) == bare


@pytest.mark.parametrize("name", ["", "column 3", "Unnamed: 2", "unnamed_2", "4"])
def test_columns_without_a_name(name: str) -> None:
    assert is_nameless(name)
    assert not is_nameless(f"{name} v1")
