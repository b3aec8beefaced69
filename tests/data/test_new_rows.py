"""Rows without an answer become the prompts that the rows of the climb became, whatever the file is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import letters
from rung.config import Columns
from rung.data.formats import Loaded, read_examples
from rung.data.memory import rows_of
from rung.data.new_rows import Asker
from rung.data.parts import Reading
from rung.data.strict_json import RowError
from rung.errors import DataError
from rung.records import Message, from_json, to_json

N = 30
TOPIC = ["move", "cancel", "parking"]
ASK = [f"Can you move my visit of the {n + 2}th to a later day?" for n in range(N)]
REPLY = [f"Your visit of the {n + 2}th is now in week {n + 20}, at the same desk." for n in range(N)]


def turns(n: int, *more: str) -> list[dict[str, str]]:
    found = [{"role": "user", "content": ASK[n]}, {"role": "assistant", "content": REPLY[n]}]
    return found + [
        {"role": "user" if i % 2 == 0 else "assistant", "content": f"{text} {n}"}
        for i, text in enumerate(more)
    ]


def row(n: int, kind: str) -> dict[str, Any]:
    label, ask, reply = TOPIC[n % 3], ASK[n], REPLY[n]
    return {
        "text and label": {"id": n, "text": ask, "label": label},
        "two texts": {"title": f"Visit {n}", "text": ask, "label": label},
        "instruction and input": {"instruction": "Answer the guest.", "input": ask, "output": reply},
        "context and question": {"context": reply, "question": ask, "answer": f"week {n + 20}"},
        "marks at the edges": {"prompt": f"{ask}\n\n###\n\n", "completion": f" {label} END"},
        "one text with names": {"text": f"Human: {ask}\n\nAssistant: {reply}"},
        "one text in ChatML": {
            "text": f"<|im_start|>user\n{ask}<|im_end|>\n<|im_start|>assistant\n{reply}<|im_end|>"
        },
        "one text with headings": {"text": f"### Instruction:\n{ask}\n\n### Response:\n{reply}"},
        "conversation": {"messages": [{"role": "system", "content": "Be kind."}, *turns(n)]},
        "longer conversation": {"messages": turns(n, "And then?", "Then")},
        "conversation and answer": {"messages": turns(n)[:1], "chosen": reply, "rejected": label},
        "preference in turns": {"prompt": turns(n)[:1], "chosen": turns(n)[1:], "rejected": turns(n)[1:]},
        "system": {"system": "Be brief.", "prompt": ask, "completion": reply},
        "history": {"history": [[f"Hello {n}", "Hello"]], "instruction": ask, "output": reply},
        "translation": {"translation": {"en": ask, "fr": f"Pouvez-vous changer ma visite du {n} ?"}},
        "words and tags": {
            "tokens": ["Ada", "lives", "in", f"Rome{n}"],
            "ner_tags": ["B-PER", "O", "O", "B-LOC"],
        },
        "fields": {"text": ask, "day": f"{n + 2}th", "topic": label},
    }[kind]


KINDS = (
    "text and label",
    "two texts",
    "instruction and input",
    "context and question",
    "marks at the edges",
    "one text with names",
    "one text in ChatML",
    "one text with headings",
    "conversation",
    "longer conversation",
    "conversation and answer",
    "preference in turns",
    "system",
    "history",
    "translation",
    "words and tags",
    "fields",
)


def said(kind: str) -> Columns:
    return Columns(prompt=("text",), completion=("day", "topic")) if kind == "fields" else Columns()


def loaded_of(kind: str) -> Loaded:
    return read_examples(rows_of([row(n, kind) for n in range(N)]), said(kind))


def again(loaded: Loaded) -> Asker:
    """As predict has it: from what was written to disk."""
    return Asker(from_json(Reading, json.loads(json.dumps(to_json(loaded.reading)))))


def unanswered(kind: str, n: int, loaded: Loaded) -> dict[str, Any]:
    """A row without its answer, its columns the other way round, and one more."""
    found = {name: value for name, value in row(n, kind).items() if name in loaded.reading.needed}
    if kind == "translation":
        found = {"translation": {"en": ASK[n]}}
    if kind == "preference in turns":
        assert set(found) == {"prompt"}
    if kind in ("conversation", "longer conversation"):
        found["messages"] = found["messages"][:-1]
    if kind.startswith("one text"):
        found = {"text": row(n, kind)["text"].split(REPLY[n])[0]}
    return {"extra": [n], **dict(reversed(found.items()))}


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_asked_as_the_climb_asked_it(kind: str) -> None:
    loaded = loaded_of(kind)
    asker = again(loaded)
    for example in loaded.examples:
        n = example.row - 1
        assert tuple(asker.prompt(row(n, kind))) == tuple(
            Message(one.role, one.content) for one in example.prompt
        )
        assert asker.prompt(unanswered(kind, n, loaded)) == asker.prompt(row(n, kind))


def test_the_marks_of_completion_models_are_taken_off_only_where_they_are() -> None:
    asker = again(loaded_of("marks at the edges"))
    (plain,), (marked,) = (asker.prompt({"prompt": text}) for text in ("Where?", "Where?\n\n###\n\n"))
    assert plain == marked == Message("user", "Where?")


def test_a_bare_question_is_enough_where_texts_were_cut() -> None:
    for kind in ("one text with names", "one text with headings", "one text in ChatML"):
        assert again(loaded_of(kind)).prompt({"text": "Where?"})[-1] == Message("user", "Where?")


def test_a_last_question_in_a_conversation_is_the_one_to_answer() -> None:
    asker = again(loaded_of("conversation"))
    messages = asker.prompt({"messages": [*turns(0), {"role": "user", "content": "And now?"}]})
    assert [one.content for one in messages] == [ASK[0], REPLY[0], "And now?"]


def test_a_column_may_be_written_in_another_way() -> None:
    asker = again(loaded_of("two texts"))
    assert asker.prompt({"Text": "a", "TITLE": "b"}) == asker.prompt({"title": "b", "text": "a"})


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"body": "x"}, "lacks 'text'"),
        ({"text": ""}, "has no text in 'text'"),
        ({"text": None}, "has no text in 'text'"),
        ({"text": b"x"}, "has bytes in text"),
    ],
)
def test_what_cannot_be_asked_says_why(given: dict[str, Any], why: str) -> None:
    with pytest.raises(RowError, match=why):
        again(loaded_of("text and label")).example(given)


def test_missing_columns_are_named() -> None:
    asker = again(loaded_of("two texts"))
    asker.require(["TEXT", "other", "title"], "new.csv")
    with pytest.raises(DataError, match=r"new\.csv: lacks the prompt column 'title'.*has 'text', 'label'"):
        asker.require(["text", "label"], "new.csv")
    with pytest.raises(DataError, match=r"lacks the prompt columns 'title', 'text'.*has no columns"):
        asker.require([], "new.csv")


def test_one_text_is_a_row_where_it_is_the_whole_prompt() -> None:
    assert again(loaded_of("text and label")).row_of("x") == {"text": "x"}
    chat = again(loaded_of("longer conversation"))
    assert chat.prompt(chat.row_of("x")) == [Message("user", "x")]
    with pytest.raises(DataError, match="made of the columns 'title', 'text'"):
        again(loaded_of("two texts")).row_of("x")


def test_plain_text_has_nothing_to_answer() -> None:
    texts = rows_of([{"text": f"{text} and so on"} for text, _ in letters.rows(30)])
    loaded = read_examples(texts, Columns(text="text"))
    with pytest.raises(DataError, match="no prompt, so there is nothing to answer"):
        again(loaded)


def test_a_table_without_names_has_numbers(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("".join(f"{text},{label}\n" for text, label in letters.rows(40)))
    loaded = read_examples(file, Columns(header=False, prompt=("1",), label_names={}, completion=("2",)))
    assert loaded.reading.header is False
    assert again(loaded).columns == ("1",)
    assert again(loaded_of("two texts")).reading.header is None
