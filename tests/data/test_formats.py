"""Rows of every format become the same examples; every bad row is refused by name."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rung.config import Columns
from rung.data.formats import FORMATS, example_of, read_examples
from rung.errors import DataError, UsageError
from rung.records import Message

DATA = Path(__file__).parents[2].parent / "shared" / "data"
QA = (Message("user", "2+2?"), Message("assistant", "4"))
ROLES = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
ROWS: dict[str, list[dict[str, Any]]] = {
    "messages": [{"messages": ROLES}],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]},
        {"conversations": ROLES},
    ],
    "prompt-completion": [
        {"prompt": "2+2?", "completion": "4"},
        {"question": "2+2?", "answer": "4"},
        {"prompt": "2+2?", "response": "4"},
        {"prompt": ROLES[:1], "completion": ROLES[1:]},
    ],
    "alpaca": [
        {"instruction": "2+2?", "output": "4"},
        {"instruction": "2+2?", "input": " ", "output": "4"},
        {"instruction": "2+2?", "context": "", "response": "4"},
        {"instruction": "2+2?", "input": None, "output": "4"},
    ],
    "text-label": [{"text": "2+2?", "label": "4"}, {"text": "2+2?", "label": 4}],
    "preference": [
        {"prompt": "2+2?", "chosen": "4", "rejected": "5"},
        {"conversations": ROLES[:1], "chosen": ROLES[1], "rejected": {"role": "assistant", "content": "5"}},
        {"input": {"messages": ROLES[:1]}, "preferred_output": ROLES[1:], "non_preferred_output": ROLES[1:]},
        {"chosen": ROLES, "rejected": ROLES},
    ],
    "text": [
        {"text": "### Human: 2+2?### Assistant: 4"},
        {"text": "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>"},
        {"text": "<s>[INST] 2+2? [/INST] 4</s>"},
    ],
}
TRANSLATIONS = [
    {"English": "Two cats", "French": "Deux chats"},
    {"translation": {"en": "Two cats", "fr": "Deux chats"}},
    {"id": "a1", "translation": {"xx": "Two cats", "yy": "Deux chats"}},
]
SPANS = [
    {"text": "Ada of Hull", "entities": [{"start": 0, "end": 3, "label": "PER"}]},
    {"text": "Ada of Hull", "label": [[0, 3, "PER"]]},
    {"tokens": ["Ada", "of", "Hull"], "ner_tags": ["B-PER", "O", "O"]},
]

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def keep(content: str | bytes | list[Any], name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return keep


def refusal(path: Path, format: str | None = None) -> str:
    with pytest.raises(DataError) as caught:
        read_examples(path, Columns(format=format))
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def test_every_format_is_covered() -> None:
    assert set(FORMATS) == {*ROWS, "instructions", "spans", "translation"}


@pytest.mark.parametrize(("name", "row"), [(name, row) for name, rows in ROWS.items() for row in rows])
def test_rows_of_each_shape(write: Write, name: str, row: dict[str, Any]) -> None:
    loaded = read_examples(write([row, row]))
    assert loaded.format == name
    assert [example.messages for example in loaded.examples] == [QA, QA]
    assert read_examples(write([row, row]), Columns(format=name)).examples == loaded.examples


@pytest.mark.parametrize("row", TRANSLATIONS)
def test_columns_named_after_languages_are_a_translation(write: Write, row: dict[str, Any]) -> None:
    loaded = read_examples(write([row, row]))
    assert loaded.format == "translation"
    assert loaded.examples[0].messages == (Message("user", "Two cats"), Message("assistant", "Deux chats"))
    source, target = list(row.get("translation", row))
    assert f"read as translation from {source} to {target}; the other way round" in loaded.warnings[-1]


@pytest.mark.parametrize("row", SPANS)
def test_spans_and_tags_become_an_object(write: Write, row: dict[str, Any]) -> None:
    loaded = read_examples(write([row, row]))
    assert loaded.format == "spans"
    assert loaded.examples[0].messages == (
        Message("user", "Ada of Hull"),
        Message("assistant", '{"PER": ["Ada"]}'),
    )


@pytest.mark.parametrize(
    ("row", "hint", "languages"),
    [
        ({"text": "a", "label": "b"}, "classification", None),
        ({"English": "a", "French": "b"}, "translation", ("English", "French")),
        ({"translation": {"en": "a", "xx": "b"}}, "translation", ("English", "xx")),
        ({"prompt": "a", "completion": "b"}, None, None),
    ],
)
def test_what_the_columns_say_of_the_task(
    write: Write, row: dict[str, Any], hint: str | None, languages: tuple[str, str] | None
) -> None:
    loaded = read_examples(write([row, row]))
    assert (loaded.hint, loaded.languages) == (hint, languages)


@pytest.mark.parametrize(
    ("said", "messages"),
    [
        (Columns(prompt=("c",), completion=("a",)), [("user", "3"), ("assistant", "1")]),
        (Columns(prompt=("b", "a"), completion=("C",)), [("user", "b: 2\na: 1"), ("assistant", "3")]),
        (Columns(completion=("a", "b")), [("user", "3"), ("assistant", '{"a": "1", "b": "2"}')]),
        (Columns(completion=("b",), ignore=("a",)), [("user", "3"), ("assistant", "2")]),
        (Columns(completion=("b",)), [("user", "a: 1\nc: 3"), ("assistant", "2")]),
        (Columns(text="a"), [("assistant", "1")]),
        (
            Columns(system="a", prompt=("b",), completion=("c",)),
            [("system", "1"), ("user", "2"), ("assistant", "3")],
        ),
    ],
)
def test_flags_win_over_names(write: Write, said: Columns, messages: list[tuple[str, str]]) -> None:
    loaded = read_examples(write([{"a": "1", "b": "2", "c": "3"}] * 2), said)
    assert [(m.role, m.content) for m in loaded.examples[0].messages] == messages


def test_label_names_and_groups(write: Write) -> None:
    rows = [{"text": f"a{n}", "label": n % 2, "doc": f"d{n // 2}"} for n in range(4)]
    loaded = read_examples(write(rows), Columns(label_names={"0": "no", "1": "yes"}, group="doc"))
    assert [(e.target, e.group) for e in loaded.examples] == [
        ("no", "d0"),
        ("yes", "d0"),
        ("no", "d1"),
        ("yes", "d1"),
    ]
    assert loaded.label_names == {"0": "no", "1": "yes"}


def test_roles_of_ones_own(write: Write) -> None:
    turns = [{"from": "visitor", "value": "a"}, {"from": "desk", "value": "b"}]
    said = Columns(roles={"user": ("visitor",), "assistant": ("desk",)})
    loaded = read_examples(write([{"conversations": turns}]), said)
    assert [m.role for m in loaded.examples[0].messages] == ["user", "assistant"]


def test_a_column_that_is_not_there_is_a_usage_error(write: Write) -> None:
    with pytest.raises(
        UsageError, match=r"--prompt names the column 'txt', which is not there\. Did you mean 'text'"
    ):
        read_examples(write([{"text": "a", "label": "b"}]), Columns(prompt=("txt",), completion=("label",)))
    with pytest.raises(UsageError, match="the column 'text' is given two parts"):
        read_examples(write([{"text": "a", "label": "b"}]), Columns(prompt=("text",), completion=("text",)))


def test_marks_are_taken_off_and_said(write: Write) -> None:
    rows = [{"prompt": f"Is {n} odd? ->", "completion": f" {n % 2} END"} for n in range(6)]
    loaded = read_examples(write(rows))
    assert loaded.examples[1].messages == (Message("user", "Is 1 odd?"), Message("assistant", "1"))
    said = (
        "every prompt ends with ' ->' and every target ends with ' END': marks of completion models, left out"
    )
    assert loaded.warnings == (said,)


def test_alpaca_input_follows_the_instruction(write: Write) -> None:
    loaded = read_examples(write([{"instruction": "Add", "input": "2 and 2", "output": "4"}]))
    assert loaded.examples[0].prompt == (Message("user", "Add\n\n2 and 2"),)


def test_system_and_many_turns(write: Write) -> None:
    turns = [{"role": "system", "content": "Be brief"}, *ROLES, *ROLES]
    example = read_examples(write([{"messages": turns}])).examples[0]
    assert [m.role for m in example.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert example.target == "4"


def test_text_parts_are_joined(write: Write) -> None:
    parts = [{"type": "text", "text": "2+"}, {"type": "text", "text": "2?"}]
    row = {"messages": [{"role": "user", "content": parts}, ROLES[1]]}
    assert read_examples(write([row])).examples[0].messages == QA


def test_reading_text_needs_no_heavy_library() -> None:
    code = "import sys, rung.data; print({'torch', 'pyarrow', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_ids_are_of_the_content_alone() -> None:
    assert example_of(QA, row=1, source="a").id == example_of(QA, row=2, source="b").id
    assert len(example_of(QA).id) == 16
    swapped = (Message("system", "2+2?"), Message("assistant", "4"))
    assert len({example_of(m).id for m in (QA, swapped, QA[::-1], QA[:1])}) == 4
    joined = (Message("user", '2+2?"],["assistant","4'),)
    assert example_of(joined).id != example_of(QA).id


def test_empty_and_null_targets_are_read(write: Write) -> None:
    rows: list[Any] = [{"prompt": "a", "completion": text} for text in ("b", "", None)]
    assert [e.target for e in read_examples(write(rows)).examples] == ["b", "", ""]
    text = refusal(write(rows[1:]))
    assert "has an empty 'completion' in every row, so there is nothing to learn" in text


def test_every_column_has_its_part_and_keys_of_turns_are_said_once(write: Write) -> None:
    turn = {"role": "user", "content": "a", "name": "Ann", "tool_calls": None}
    rows = [{"messages": [turn, ROLES[1]], "source": "x"}, {"messages": [turn, ROLES[1]], "source": "y"}]
    loaded = read_examples(write(rows))
    assert loaded.warnings == ("keys of a turn that are not used: 'name'",)
    assert loaded.parts == {"conversation": ("messages",), "not used": ("source",)}
    assert loaded.parts_line == "conversation: messages; not used: source"


def test_two_answers_are_refused_with_the_commands(write: Write) -> None:
    text = refusal(write([{"prompt": "2+2?", "completion": "4", "response": "5"}]))
    assert "could be the target: 'completion', 'response'" in text
    assert "`rung check rows.jsonl --prompt prompt --completion completion` or" in text
    assert "`rung check rows.jsonl --prompt prompt --completion response`" in text


def test_labels_of_any_type_become_text(write: Write) -> None:
    rows: list[Any] = [{"text": "a", "label": label} for label in (0, True, 0.50, "x ")]
    assert [e.target for e in read_examples(write(rows)).examples] == ["0", "true", "0.5", "x"]
    line = '{"text": "a", "label": 0.50}\n{"text": "b", "label": 1e3}\n'
    assert [e.target for e in read_examples(write(line)).examples] == ["0.50", "1e3"]


def test_unknown_format_is_a_usage_error(write: Write) -> None:
    with pytest.raises(UsageError, match="Did you mean 'alpaca'"):
        read_examples(write([{"prompt": "a", "completion": "b"}]), Columns(format="alpacca"))


def turns(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in pairs]}


IMAGE = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]
BAD_ROWS: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "no turns"),
    ({"messages": "hello"}, "not a list of turns"),
    ({"messages": None}, "not a list of turns"),
    ({"messages": ["hello"]}, "'hello' as turn 1"),
    (turns(("user", "a"), ("asistant", "b")), "'asistant' in turn 2. Did you mean 'assistant'?"),
    (
        turns(("user", "a"), ("narrator", "b")),
        "unknown role 'narrator' in turn 2. Say which role it is: --roles",
    ),
    (turns(("user", "a"), (["user"], "b")), "unknown role"),  # type: ignore[arg-type]
    (turns(("user", "a")), "no assistant turn"),
    (turns(("user", "a"), ("system", "b"), ("assistant", "c")), "system turn that is not the first"),
    (turns(("user", None), ("assistant", "b")), "null in turn 1"),
    (turns(("user", IMAGE), ("assistant", "b")), "has a part of type 'image_url' in turn 1"),
    ({"messages": [{"role": "user"}, ROLES[1]]}, "lacks 'content' in turn 1"),
    ({"messages": [{"role": "user", "contnt": "a"}, ROLES[1]]}, "Did you mean 'contnt'?"),
    ({"messages": [ROLES[0], {**ROLES[1], "tool_calls": [{"id": "1"}]}]}, "a call without a name in turn 2"),
]
NO_PROMPT: list[dict[str, Any]] = [
    turns(("user", []), ("assistant", "b")),
    turns(("user", " \n"), ("assistant", "b")),
    turns(("assistant", "a"), ("assistant", "b")),
    {"prompt": "", "completion": "b"},
    {"prompt": None, "completion": "b"},
]


@pytest.mark.parametrize(("row", "part"), BAD_ROWS)
def test_bad_rows_are_refused_by_line(write: Write, row: dict[str, Any], part: str) -> None:
    text = refusal(write([{"messages": ROLES}, row]))
    assert "line 2" in text
    assert part in text


@pytest.mark.parametrize("row", NO_PROMPT)
def test_rows_without_a_prompt_are_left_out_and_listed(write: Write, row: dict[str, Any]) -> None:
    good = {"messages": ROLES} if "messages" in row else {"prompt": "2+2?", "completion": "4"}
    loaded = read_examples(write([good, row]))
    assert [example.messages for example in loaded.examples] == [QA]
    assert loaded.left_out == ((2, "it has no user or system text before the target"),)
    if "messages" in row:
        assert "holds no example: 2 of 2 rows are left out because it has no user" in refusal(
            write([row, row])
        )


def test_system_turns_at_the_start_are_joined(write: Write) -> None:
    row = turns(("system", "a"), ("developer", "b"), ("user", "c"), ("assistant", "d"))
    messages = read_examples(write([row])).examples[0].messages
    assert messages == (Message("system", "a\n\nb"), Message("user", "c"), Message("assistant", "d"))


def test_turns_behind_the_last_answer_are_left_out_and_said(write: Write) -> None:
    row = turns(("user", "2+2?"), ("assistant", "4"), ("user", "c"), ("tool", "d"))
    loaded = read_examples(write([row, {"messages": ROLES}]))
    assert [example.messages for example in loaded.examples] == [QA, QA]
    assert loaded.warnings == ("turns after the last answer left out in 1 row",)


def test_mixed_formats_name_row_and_keys(write: Write) -> None:
    text = refusal(write([{"messages": ROLES}, {"prompt": "a", "completion": "b"}]))
    assert "line 2 lacks 'messages' (it has 'prompt', 'completion')" in text
    text = refusal(write([{"prompt": "a", "completion": "b"}, {"prompt": "a", "complettion": "b"}]))
    assert "line 2 lacks 'completion' (it has 'prompt', 'complettion')" in text


def test_unknown_names_are_read_where_only_one_reading_is_left(write: Write) -> None:
    loaded = read_examples(write([{"promt": "2+2?", "completion": "4"}]))
    assert (loaded.parts_line, loaded.examples[0].messages) == ("prompt: promt; target: completion", QA)
    assert read_examples(write([{"mesages": ROLES}])).examples[0].messages == QA


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ({"text": "a"}, ["holds text without a prompt (column 'text')", "--text text"]),
        (
            {"chosen": "a", "rejected": "b"},
            ["has no column that is known to be the prompt", "'chosen' ('a')"],
        ),
        ({"text": "a b", "lable": "c"}, ["`rung check rows.jsonl --prompt text --completion lable`"]),
        (
            {"u": "a b", "v": "c d"},
            ["--prompt u --completion v`", "--prompt v --completion u`", "'u' ('a b')"],
        ),
        ({"en": "a", "fr": "b", "de": "c"}, ["columns in 3 languages", "--prompt en --completion fr`"]),
        ({}, ["holds rows without a single key"]),
    ],
)
def test_where_two_readings_are_left_the_commands_are_shown(
    write: Write, row: dict[str, Any], parts: list[str]
) -> None:
    text = refusal(write([row]))
    assert [part for part in parts if part not in text] == []


def test_many_bad_rows_make_one_short_paragraph(write: Write) -> None:
    rows: list[Any] = [{"prompt": "a", "completion": "b"}, *[{"prompt": "a"}] * 2000]
    text = refusal(write(rows))
    assert "each of lines 2 to 6 and 1,995 more lacks 'completion' (it has 'prompt')" in text
    assert len(text) < 500


def test_hostile_names_are_shown_short_and_escaped(write: Write) -> None:
    text = refusal(write([{"\x1b[2J" + "k" * 5000: "a"}]))
    assert "\x1b" not in text
    assert len(text) < 700


def test_a_bad_line_and_a_bad_row_are_named_together(write: Write) -> None:
    good = json.dumps({"prompt": "a", "completion": "b"})
    text = refusal(write(f'{good}\n{{"prompt": \n{{"prompt": "a"}}\n{good}\n'))
    assert "line 2 ends before its JSON object does" in text
    assert "line 3 lacks 'completion'" in text


REAL = {
    "api-kubectl/train.jsonl": ("prompt-completion", 291),
    "api-kubectl/test.jsonl": ("prompt-completion", 72),
    "api-torchhub/train.json": ("alpaca", None),
    "api-torchhub/test.json": ("alpaca", 186),
    "extraction-snips/train.jsonl": ("messages", 4000),
    "extraction-snips/test.jsonl": ("messages", 700),
    "instructions-broad/train.jsonl": ("sharegpt", 5263),
    "instructions-eval/user_tasks.jsonl": ("alpaca", 252),
    "knowledge-authors/train.jsonl": ("prompt-completion", 600),
    "knowledge-authors/known_facts.jsonl": ("prompt-completion", 217),
    "sentiment-reviews/train.csv": ("text-label", 4000),
    "sentiment-reviews/test.csv": ("text-label", 1000),
    "translation-en-fr/train.jsonl": ("prompt-completion", 8000),
    "translation-en-fr/test.jsonl": ("prompt-completion", 900),
}


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not next to this checkout")
@pytest.mark.parametrize("name", REAL)
def test_real_files_read(name: str) -> None:
    format, rows = REAL[name]
    loaded = read_examples(DATA / name)
    assert loaded.format == format
    assert rows is None or len(loaded.examples) == rows
    assert all(example.target for example in loaded.examples)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not next to this checkout")
def test_real_files_of_other_shapes() -> None:
    loaded = read_examples(DATA / "instructions-eval/ifeval.jsonl")
    assert (loaded.format, len(loaded.examples)) == ("instructions", 541)
    assert loaded.parts["rules"] == ("instruction_id_list", "kwargs")
    loaded = read_examples(DATA / "general-suite/piqa.jsonl")
    assert loaded.parts == {"prompt": ("query", "choices"), "target": ("gold",)}
