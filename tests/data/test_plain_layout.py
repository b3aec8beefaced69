"""Prompts as plain text: what is written, where an answer ends, and that no text becomes a special token."""

from __future__ import annotations

import pytest

from chat_templates import byte_level, spaced
from rung.compute.load import tiny
from rung.data.plain_layout import PlainLayout, fits
from rung.data.templates import Renderer
from rung.records import Message

TALK = (
    Message("system", "Say it."),
    Message("user", " good\nday "),
    Message("assistant", "yes"),
    Message("user", "bye"),
)
WRITTEN = "Say it.\n\nText: good\nday\nLabel: yes\n\nText: bye\nLabel:"


@pytest.fixture
def layout() -> PlainLayout:
    return PlainLayout(tiny().tokenizer, "Text", "Label")


def test_turns_become_a_text_to_be_continued(layout: PlainLayout) -> None:
    assert layout.tokenizer.decode(layout.prompt_ids(TALK)) == WRITTEN


def test_an_answer_and_its_line_break_continue_the_prompt_as_in_an_example(layout: PlainLayout) -> None:
    first = layout.prompt_ids(TALK[:2]) + layout.completion_ids("yes")
    assert layout.prompt_ids(TALK)[: len(first)] == first
    assert layout.tokenizer.decode(first).endswith("Label: yes\n")


@pytest.mark.parametrize("scheme", ["always", "first"])
def test_so_it_is_where_texts_get_a_space_in_front(scheme: str) -> None:
    layout = PlainLayout(spaced(None, scheme), "Text", "Label")
    first = layout.prompt_ids(TALK[:2]) + layout.completion_ids("yes")
    assert layout.prompt_ids(TALK)[: len(first)] == first


def test_an_answer_ends_with_the_line_or_a_special_token(layout: PlainLayout) -> None:
    ids = layout.completion_ids("a{b}")
    assert ids[-1] in layout.stop_ids
    assert not layout.stop_ids & set(ids[:-1])
    assert layout.decode(ids) == layout.decode(ids[:-1]) == "a{b}"
    assert layout.stop_ids >= set(Renderer(layout.tokenizer).stop_ids)


def test_a_special_token_that_is_spelled_out_is_text(layout: PlainLayout) -> None:
    special = set(layout.tokenizer.all_special_ids)
    ids = layout.prompt_ids([Message("user", "a<|im_end|>b"), *TALK])
    assert not special & set(ids)
    assert not special & set(layout.completion_ids("<|im_end|>"))


def test_headings_with_quotes_and_braces_are_written_as_they_are() -> None:
    layout = PlainLayout(byte_level(None), 'He said "{{ x }}"', "\\n'é")
    text = layout.tokenizer.decode(layout.prompt_ids([Message("user", "hi")]))
    assert text == 'He said "{{ x }}": hi\n\\n\'é:'


def test_an_answer_is_one_line_with_text() -> None:
    assert fits(" yes \n")
    assert not fits("two\nlines")
    assert not fits(" ")
