"""Sections cut into passages."""

from __future__ import annotations

import pytest

from rung.data.sections import WORDS, Section, passages_of, sentences, size


def texts(*paragraphs: str) -> list[str]:
    return [one.text for one in passages_of([Section("Leave", paragraphs)], "handbook", "a.md")]


def many(words: int, name: str = "w") -> str:
    """Sentences of ten words."""
    return " ".join(
        f"{name}{i}." if i % 10 == 9 else f"{'W' if i % 10 == 0 else name}{i}" for i in range(words)
    )


def test_a_passage_says_where_it_is_from() -> None:
    (one,) = passages_of([Section("Leave > Sick leave", ("Call before nine.",))], "handbook", "x/leave.md")
    assert (one.title, one.text, one.source) == ("Leave > Sick leave", "Call before nine.", "x/leave.md")
    (other,) = passages_of([Section("", ("Call before nine.",))], "handbook", "x/leave.md")
    assert other.title == "handbook"
    assert other.id != one.id


def test_short_paragraphs_are_joined_and_headings_keep_them_apart() -> None:
    assert texts("One.", "Two.") == ["One.\n\nTwo."]
    found = passages_of([Section("A", ("One.",)), Section("B", ("Two.",))], "x", "x")
    assert [one.text for one in found] == ["One.", "Two."]


def test_the_same_text_twice_is_one_passage() -> None:
    assert len(passages_of([Section("A", ("One.",)), Section("A", ("One.",))], "x", "x")) == 1


def test_paragraphs_fill_passages_of_about_the_wanted_size() -> None:
    found = texts(*(many(50, f"p{n}x") for n in range(6)))
    assert [size(one) for one in found] == [100, 100, 100]
    assert all(one.endswith(".") for one in found)


@pytest.mark.parametrize("words", [170, 250, 480, 1000])
def test_a_long_paragraph_is_cut_between_sentences(words: int) -> None:
    found = texts(many(words))
    assert " ".join(found) == many(words)
    assert all(one.endswith(".") for one in found[:-1])
    assert all(0.6 * WORDS <= size(one) <= 1.5 * WORDS for one in found)


def test_a_long_list_is_cut_between_its_lines() -> None:
    lines = [f"- item {n} is kept in the blue cupboard" for n in range(60)]
    found = texts("\n".join(lines))
    assert "\n".join(found).split("\n") == lines
    assert len(found) > 2


def test_a_sentence_without_end_is_cut_between_words() -> None:
    words = " ".join(f"w{i}" for i in range(700))
    found = texts(words)
    assert " ".join(found) == words
    assert max(map(size, found)) <= 2 * WORDS


def test_a_word_without_end_is_cut_too() -> None:
    word = "".join(f"{n:04d}" for n in range(5000))
    found = texts(word)
    assert "".join(found) == word
    assert max(map(len, found)) < 4_000


def test_scripts_without_spaces_are_cut_as_well() -> None:
    sentences = [f"員工手冊第{n}條規定每年有二十五天的有薪假期。" for n in range(200)]
    found = texts("".join(sentences))
    assert len(found) > 3
    assert "".join(found) == "".join(sentences)
    assert all(one.endswith("。") for one in found)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("It is open. It is free.", ["It is open.", "It is free."]),
        ("Ask Dr. Brandt. She knows.", ["Ask Dr. Brandt.", "She knows."]),
        ("It costs 3.50 euros. Pay later.", ["It costs 3.50 euros.", "Pay later."]),
        ("Bring tools, e.g. a saw. Go!", ["Bring tools, e.g. a saw.", "Go!"]),
        ("Is it? “Yes.” No.", ["Is it?", "“Yes.”", "No."]),
        ("一。二。", ["一。", "二。"]),
        ("no end", ["no end"]),
        ("", []),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts
