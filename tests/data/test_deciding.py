"""Every column gets exactly one part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rung.config import Columns
from rung.data.deciding import decide
from rung.errors import DataError, UsageError
from sheets import ASKED, LABELS, NUMBERS, SAID, N, sheet

CHAT = [
    [{"role": "user", "content": a}, {"role": "assistant", "content": b}]
    for a, b in zip(ASKED, SAID, strict=True)
]
ASK = [turns[:1] for turns in CHAT]
TRUE = [n % 2 == 0 for n in range(N)]
TOOLS = ['[{"name": "f"}]'] * N
SAME = ["Be kind"] * N
Given = dict[str, Sequence[Any]]


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (
            {"id": NUMBERS, "text": ASKED, "label": LABELS, "url": SAID},
            "prompt: text; target: label; id: id; not used: url",
        ),
        (
            {"system": SAME, "prompt": ASKED, "completion": SAID},
            "system: system; prompt: prompt; target: completion",
        ),
        (
            {"messages": CHAT, "tools": TOOLS, "source": SAME},
            "conversation: messages; tools: tools; not used: source",
        ),
        ({"messages": CHAT, "label": TRUE}, "conversation: messages; wanted: label"),
        ({"chat_zz": CHAT}, "conversation: chat_zz"),
        (
            {"prompt": ASKED, "completion": SAID, "label": TRUE},
            "prompt: prompt; target: completion; wanted: label",
        ),
        (
            {"prompt": ASKED, "completion": SAID, "weight": NUMBERS},
            "prompt: prompt; target: completion; weight: weight",
        ),
        (
            {"instruction": ASKED, "output": SAID, "history": [[]] * N},
            "history: history; prompt: instruction; target: output",
        ),
        (
            {"prompt": ASKED, "chosen": SAID, "rejected": SAID},
            "prompt: prompt; target: chosen; rejected: rejected",
        ),
        (
            {"conversations": ASK, "chosen": [c[1] for c in CHAT], "rejected": SAID},
            "conversation: conversations; target: chosen; rejected: rejected",
        ),
        ({"chosen": CHAT, "rejected": CHAT}, "target: chosen; rejected: rejected"),
        (
            {"chosen": BOTH, "rejected": BOTH}
            if (BOTH := [f"Human: {a}\n\nAssistant: b" for a in ASKED])
            else {},
            "prompt and target: chosen; rejected: rejected",
        ),
        ({"text": ASKED}, "prompt and target: text"),
        ({"text": ASKED, "label": TRUE}, "prompt: text; target: label"),
        (
            {"zz": [f"r-{n}" for n in range(N)], "text": ASKED, "label": LABELS},
            "prompt: text; target: label; id: zz",
        ),
    ],
)
def test_parts_by_name_and_content(columns: Given, line: str) -> None:
    parts = decide(sheet(columns))
    assert parts.line() == line
    assert sorted(name for found in parts.of.values() for name in found) == sorted(columns)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (Columns(prompt=("c",), completion=("a",)), "prompt: c; target: a; not used: b"),
        (Columns(completion=("a", "b")), "prompt: c; target: a, b"),
        (Columns(prompt=("c",), completion=("a",), ignore=("b",)), "prompt: c; target: a; not used: b"),
        (Columns(text="c"), "text: c; not used: a, b"),
        (Columns(prompt=("c",), completion=("a",), group="b"), "prompt: c; target: a; group: b"),
        (Columns(system="b", prompt=("c",), completion=("a",)), "system: b; prompt: c; target: a"),
    ],
)
def test_flags_win(said: Columns, line: str) -> None:
    assert decide(sheet({"a": LABELS, "b": ["x", "y"] * 6, "c": ASKED}, said)).line() == line


def test_messages_by_flag() -> None:
    columns = {"messages": CHAT, "other": CHAT}
    assert (
        decide(sheet(columns, Columns(messages="other"))).line() == "conversation: other; not used: messages"
    )


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (Columns(prompt=("c",), completion=("a",), classification=True), "label"),
        (Columns(prompt=("c",), completion=("a",)), "answer"),
        (Columns(prompt=("c",), completion=("label",)), "label"),
        (Columns(prompt=("c",), completion=("a", "label")), "answer"),
    ],
)
def test_the_kind_of_a_target_by_flag(said: Columns, kind: str) -> None:
    assert decide(sheet({"a": LABELS, "label": LABELS, "c": ASKED}, said)).kind == kind


def test_a_group_is_found_where_it_is_certain() -> None:
    names = [f"doc-{n // 2}" for n in range(40)]
    columns: Given = {
        "doc_id": names,
        "text": [f"a text of its own {n}" for n in range(40)],
        "label": LABELS[:2] * 20,
    }
    assert decide(sheet(columns)).line() == "prompt: text; target: label; group: doc_id"
    columns["doc_id"] = [f"doc-{n}" for n in range(40)]
    assert decide(sheet(columns)).line() == "prompt: text; target: label; id: doc_id"


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        (
            {"role": ["user", "assistant"] * 6, "text": ASKED},
            "holds one turn of a conversation in each row ('role'",
        ),
        (
            {"Word": [f"w{n}" for n in range(N)], "Tag": ["O", "B-geo", "I-geo"] * 4},
            "one word with its tag in each row",
        ),
        ({"messages": CHAT, "conversations": CHAT, "dialog": CHAT}, None),
        ({"chat": CHAT, "dialog": CHAT}, "has 2 columns of conversations: 'chat', 'dialog'"),
        ({"text": [""] * N, "label": LABELS}, "has an empty 'text' in every row"),
        ({"price": NUMBERS[::-1], "label": LABELS}, "has no column that is known to be the prompt"),
    ],
)
def test_tables_that_are_refused(columns: Given, part: str | None) -> None:
    if part is None:
        assert decide(sheet(columns))["conversation"] == ["messages"]
        return
    with pytest.raises(DataError) as caught:
        decide(sheet(columns))
    assert part in str(caught.value)


def test_a_flag_for_a_column_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="--group names the column 'x'"):
        decide(sheet({"text": ASKED, "label": LABELS}, Columns(group="x")))


def test_two_languages_are_a_translation_by_name_or_by_flag() -> None:
    columns = {"de": ASKED, "en": SAID, "fr": ASKED}
    found = decide(sheet({"de": ASKED, "en": SAID}))
    assert (found.line(), found.languages) == ("prompt: de; target: en", ("German", "English"))
    asked = decide(sheet(columns, Columns(prompt=("en",), completion=("de",))))
    assert (asked.line(), asked.languages) == ("prompt: en; target: de; not used: fr", ("English", "German"))
    assert decide(sheet({"text": ASKED, "en": SAID}, Columns(completion=("en",)))).languages is None


def test_columns_without_a_name_and_nearly_empty_are_not_used() -> None:
    torn = ["", "", "the end of a text", *[""] * 9]
    columns = {"v1": ["ham", "spam"] * 6, "v2": ASKED, "column 3": torn, "4": torn, "Unnamed: 4": [""] * N}
    found = decide(sheet(columns))
    assert found.line() == "prompt: v2; target: v1; not used: column 3, 4, Unnamed: 4"
    said = "not used, without a name and nearly empty: 'column 3', '4', 'Unnamed: 4' (row 3)"
    assert found.notes == [said]
    few = {name: values[:9] for name, values in columns.items()}
    with pytest.raises(DataError, match="it could be 'v1'"):
        decide(sheet(few))


def test_a_mail_without_a_label_is_refused() -> None:
    people = ["Ann Lee", "Bob Ray"] * 6
    with pytest.raises(DataError, match="--prompt Subject --completion body"):
        decide(sheet({"Subject": ASKED, "body": SAID, "date": people, "from": people}))
