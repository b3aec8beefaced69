"""Every rule on answers that follow it and that do not, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from rung.evaluation.instruction_rules import RULES, count_sentences, follows, language_of, problem, variants

ENGLISH = "this is a plain sentence about the weather in the north of england"
CASES: tuple[tuple[str, dict[str, Any], str, str], ...] = (  # rule, arguments, followed by, not followed by
    ("keywords:existence", {"keywords": ["Mom", "tea"]}, "mom made TEA", "mom made coffee"),
    ("keywords:frequency", {"keyword": "war", "frequency": 2, "relation": "at least"}, "war and War", "war"),
    ("keywords:frequency", {"keyword": "war", "frequency": 2, "relation": "less than"}, "war", "war war"),
    ("keywords:forbidden_words", {"forbidden_words": ["rock"]}, "rocket science", "Rock, and roll"),
    (
        "keywords:letter_frequency",
        {"letter": "E", "let_frequency": 3, "let_relation": "at least"},
        "eEe",
        "see",
    ),
    (
        "language:response_language",
        {"language": "en"},
        ENGLISH,
        "das ist ein schöner deutscher Satz über Wetter",
    ),
    ("language:response_language", {"language": "de"}, "das ist ein schöner deutscher Satz", "123 456"),
    (
        "length_constraints:number_words",
        {"num_words": 3, "relation": "at least"},
        "one two, three",
        "one two",
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 2, "relation": "less than"},
        "One, e.g. this.",
        "One is. Two is.",
    ),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a\n***\nb\n***\nc"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "***\na\n***\nb", "a\n***\n***\nb"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "elm"},
        "Oak\n\n'Elm, it is",
        "Oak\n\nAn elm",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] of [place]", "[name] [place"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye\np. s. more", "PS more"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "P.P.S bye", "P.S. bye"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n - b", "* a\n** b"),
    ("detectable_format:constrained_response", {}, "Well: My answer is no.", "No."),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        "*a* and **b c**",
        "*a* and ** **",
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Section", "num_sections": 2},
        "Section 1\nx\nSection 2\ny",
        "Section 1\nx\nSection two",
    ),
    ("detectable_format:title", {}, "<<A song>>\nla", "<< >>\nla"),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{'a': 1}"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it"}, " say it\nIt.", "It. Say it"),
    ("combination:two_responses", {}, "one\n******\ntwo", "one\n******\none"),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "less than"},
        "one BIG word",
        "TWO BIG words",
    ),
    ("change_case:english_capital", {}, ENGLISH.upper(), ENGLISH),
    ("change_case:english_lowercase", {}, ENGLISH, ENGLISH.capitalize()),
    ("startend:end_checker", {"end_phrase": "Peace!"}, 'Bye. peace!" ', "Peace! Bye."),
    ("startend:quotation", {}, ' "so it is" ', '"'),
    ("punctuation:no_comma", {}, "a b", "a, b"),
)


@pytest.mark.parametrize(("name", "given", "right", "wrong"), CASES, ids=lambda one: str(one)[:30])
def test_by_hand(name: str, given: dict[str, Any], right: str, wrong: str) -> None:
    assert problem(name, given) == ""
    assert follows(name, given, right)
    assert not follows(name, given, wrong)
    assert not follows(name, given, " \n")


def test_every_rule_has_a_case() -> None:
    assert {name for name, *_ in CASES} == set(RULES)
    assert len(RULES) == 25


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("keywords:nothing", {}, "no rule 'keywords:nothing'"),
        ("punctuation:no_comma", [], "not an object"),
        ("length_constraints:number_words", {"relation": "at least"}, "lacks 'num_words'"),
        ("length_constraints:number_words", {"num_words": "300", "relation": "at least"}, "needs a number"),
        ("length_constraints:number_words", {"num_words": True, "relation": "at least"}, "needs a number"),
        (
            "length_constraints:number_words",
            {"num_words": 3, "relation": "about"},
            "'less than' or 'at least'",
        ),
        ("keywords:existence", {"keywords": "mom"}, "needs a list of texts"),
        ("keywords:existence", {"keywords": []}, "needs a list of texts"),
        (
            "keywords:letter_frequency",
            {"letter": "ab", "let_frequency": 1, "let_relation": "at least"},
            "one character",
        ),
        ("language:response_language", {"language": "klingon"}, "code of a language"),
        ("punctuation:no_comma", {"num_words": 3}, "takes no 'num_words'"),
    ],
)
def test_what_cannot_be_checked(name: str, given: Any, said: str) -> None:
    assert said in problem(name, given)


def test_arguments_without_a_value_are_none() -> None:
    assert problem("punctuation:no_comma", {"num_words": None}) == ""
    assert follows("punctuation:no_comma", {"num_words": None}, "a b")


def test_a_loose_check_forgives_an_introduction_a_closing_line_and_asterisks() -> None:
    found = variants("Sure, here:\n**text**\nBye, then")
    assert {"**text**", "text", "**text**\nBye, then", "Sure, here:\n**text**"} <= set(found)
    assert found[0] == "Sure, here:\n**text**\nBye, then"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three?", 3),
        ("Mr. Smith met Dr. No at 5 p.m. on Monday.", 1),
        ("He came at 5 p.m. She left.", 2),
        ("It costs 3.50 euros", 1),
        ("1. One\n2. Two", 1),
        ("", 0),
        ("这是一支笔。那是一本书。", 2),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert count_sentences(text) == count


def test_a_text_without_words_has_no_language() -> None:
    assert language_of("123") == ""
