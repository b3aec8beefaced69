"""Marks that all texts share are taken off; texts in a template are cut; content stays."""

from __future__ import annotations

import pytest

from rung.data.marks import Edges, cut_texts, edges

WORDS = ["red cat", "blue dog", "two owls", "a hen", "old fox", "wet bee"]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("", "\n\n###\n\n"),
        ("", " ->"),
        (" ", " END"),
        ("", " STOP"),
        ("", "###"),
        ("", "</s>"),
        ("", "<|im_end|>\n"),
        ("", " [DONE]"),
        ("### ", ""),
        ("", " => "),
    ],
)
def test_shared_marks(start: str, end: str) -> None:
    found = edges([start + word + end for word in WORDS])
    assert (found.start, found.end) == (start, end)
    assert [found.cut(start + word + end) for word in WORDS] == WORDS


@pytest.mark.parametrize("end", [".", "?", "!", ")", ";", " }", " cat", "…", ":", "ED", "friEND", " legend"])
def test_shared_content_is_no_mark(end: str) -> None:
    assert not edges([word + end for word in WORDS])


def test_a_mark_is_shared_by_nearly_all_and_by_enough_texts() -> None:
    assert not edges([f"{word} END" for word in WORDS[:4]])
    assert not edges([*(f"{word} END" for word in WORDS), "a cow", "an ox"])
    assert edges([*(f"{word} {n} END" for word in WORDS for n in range(4)), "a cow"]).end == " END"
    assert not edges(["a END"] * 9)


def test_no_edges_change_nothing() -> None:
    assert Edges().cut(" a ") == " a "


@pytest.mark.parametrize(
    ("text", "by", "messages"),
    [
        (
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na {w}<|im_end|>\n"
            "<|im_start|>assistant\nb {w}<|im_end|>\n",
            "the marks of ChatML",
            [("system", "S"), ("user", "a {w}"), ("assistant", "b {w}")],
        ),
        (
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\na {w}<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nb {w}<|eot_id|>",
            "the headers of Llama 3",
            [("user", "a {w}"), ("assistant", "b {w}")],
        ),
        (
            "<bos><start_of_turn>user\na {w}<end_of_turn>\n<start_of_turn>model\nb {w}<end_of_turn>\n",
            "the marks of Gemma",
            [("user", "a {w}"), ("assistant", "b {w}")],
        ),
        (
            "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\na {w} [/INST] b {w}</s><s>[INST] c [/INST] d</s>",
            "[INST]",
            [("system", "S"), ("user", "a {w}"), ("assistant", "b {w}"), ("user", "c"), ("assistant", "d")],
        ),
        (
            "### Human: a {w}### Assistant: b {w}",
            "the names of the speakers",
            [("user", "a {w}"), ("assistant", "b {w}")],
        ),
        (
            "\n\nHuman: a {w}\n\nAssistant: b {w}\n\nHuman: c\n\nAssistant: d",
            "the names of the speakers",
            [("user", "a {w}"), ("assistant", "b {w}"), ("user", "c"), ("assistant", "d")],
        ),
        (
            "<|user|>\na {w}</s>\n<|assistant|>\nb {w}</s>",
            "the names of the speakers",
            [("user", "a {w}"), ("assistant", "b {w}")],
        ),
        (
            "Below is a task.\n\n### Instruction:\na {w}\n\n### Response:\nb {w}",
            "the mark '### Response:'",
            [("system", "Below is a task."), ("user", "a {w}"), ("assistant", "b {w}")],
        ),
        ("Q: a {w}\nA: b {w}", "the mark 'A:'", [("user", "a {w}"), ("assistant", "b {w}")]),
        (
            "Review: a {w}\nStars: 3\nSentiment: b {w}",
            "the mark 'Sentiment:'",
            [("user", "Review: a {w}\nStars: 3"), ("assistant", "b {w}")],
        ),
    ],
)
def test_texts_in_a_template(text: str, by: str, messages: list[tuple[str, str]]) -> None:
    found = cut_texts([text.replace("{w}", word) for word in WORDS])
    assert found is not None
    assert found.by == by
    for word, one in zip(WORDS, found.messages, strict=True):
        assert [(m.role, m.content) for m in one or []] == [(r, c.replace("{w}", word)) for r, c in messages]


def test_a_word_at_the_end_of_one_answer_is_content() -> None:
    found = cut_texts(["Q: a\nA: CASE WHEN x THEN 1 END", "Q: b\nA: x", "Q: c\nA: y</s>"])
    assert found is not None
    assert [one[-1].content for one in found.messages if one] == ["CASE WHEN x THEN 1 END", "x", "y"]


def test_a_text_that_lacks_the_marks_is_none() -> None:
    texts = [f"### Human: {n}### Assistant: {n}" for n in range(40)]
    found = cut_texts([*texts, "plain"])
    assert found is not None
    assert found.messages[-1] is None


@pytest.mark.parametrize(
    "texts",
    [["a cat", "a dog"], ["Note: a cat sat", "Note: a dog sat"], ["Q: a\nA: b"], ["Q: a\nA: b", "no marks"]],
)
def test_texts_without_marks(texts: list[str]) -> None:
    assert cut_texts(texts) is None
