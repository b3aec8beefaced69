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
}

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
    assert set(FORMATS) == set(ROWS)


@pytest.mark.parametrize(("name", "row"), [(name, row) for name, rows in ROWS.items() for row in rows])
def test_one_row_of_each_shape(write: Write, name: str, row: dict[str, Any]) -> None:
    loaded = read_examples(write([row]))
    assert loaded.format == name
    assert loaded.examples[0].messages == QA
    assert read_examples(write([row]), Columns(format=name)).examples == loaded.examples


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


def test_empty_targets_are_read(write: Write) -> None:
    assert read_examples(write([{"prompt": "a", "completion": ""}])).examples[0].target == ""


def test_unused_keys_warn_once(write: Write) -> None:
    turn = {"role": "user", "content": "a", "name": "Ann", "tool_calls": None}
    rows = [{"messages": [turn, ROLES[1]], "source": "x"}, {"messages": [turn, ROLES[1]], "source": "y"}]
    warnings = read_examples(write(rows)).warnings
    assert warnings == ("keys that are not used: 'source'", "keys of a turn that are not used: 'name'")


def test_own_name_of_a_key_wins_and_the_other_is_unused(write: Write) -> None:
    loaded = read_examples(write([{"prompt": "2+2?", "completion": "4", "response": "5"}]))
    assert loaded.examples[0].messages == QA
    assert loaded.warnings == ("keys that are not used: 'response'",)


def test_numeric_labels_warn(write: Write) -> None:
    loaded = read_examples(write([{"text": "a", "label": 0}, {"text": "b", "label": True}]))
    assert [e.target for e in loaded.examples] == ["0", "true"]
    assert "2 labels are numbers" in loaded.warnings[0]


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
    (turns(("user", "a"), ("narrator", "b")), "Known roles: system, user, assistant, tool"),
    (turns(("user", "a"), (["user"], "b")), "unknown role"),  # type: ignore[arg-type]
    (turns(("user", "a")), "no assistant turn"),
    (turns(("user", "a"), ("assistant", "b"), ("user", "c")), "ends with a user turn"),
    (turns(("user", "a"), ("system", "b"), ("assistant", "c")), "system turn that is not the first"),
    (turns(("system", "a"), ("system", "b"), ("assistant", "c")), "system turn that is not the first"),
    (turns(("user", None), ("assistant", "b")), "null in turn 1"),
    (turns(("user", 3), ("assistant", "b")), "'3', a int in turn 1"),
    (turns(("user", IMAGE), ("assistant", "b")), "not text in turn 1 ('image_url')"),
    (turns(("user", []), ("assistant", "b")), "not text in turn 1"),
    (turns(("user", " \n"), ("assistant", "b")), "no user or system text"),
    (turns(("assistant", "a"), ("assistant", "b")), "no user or system text"),
    ({"messages": [{"role": "user"}, ROLES[1]]}, "lacks 'content' in turn 1"),
    ({"messages": [{"role": "user", "contnt": "a"}, ROLES[1]]}, "Did you mean 'contnt'?"),
    ({"messages": [ROLES[0], {**ROLES[1], "tool_calls": [{"id": "1"}]}]}, "'tool_calls' in turn 2"),
    ({"prompt": "", "completion": "b"}, "no user or system text"),
    ({"prompt": "a", "completion": None}, "null in completion"),
    ({"prompt": "a", "answer": "b", "response": "c"}, "'answer', 'response', of which only one"),
    ({"instruction": "a", "input": 3, "output": "b"}, "in input where text is needed"),
    ({"text": "a", "label": 0.5}, "'0.5', a float in label"),
]


@pytest.mark.parametrize(("row", "part"), BAD_ROWS)
def test_bad_rows_are_refused_by_line(write: Write, row: dict[str, Any], part: str) -> None:
    good = dict.fromkeys(row, "x") if "messages" not in row else {"messages": ROLES}
    good = {"prompt": "x", "completion": "y"} if "prompt" in row else good
    text = refusal(write([good, row]))
    assert "line 2" in text
    assert part in text


def test_mixed_formats_name_row_and_keys(write: Write) -> None:
    text = refusal(write([{"messages": ROLES}, {"prompt": "a", "completion": "b"}]))
    assert "line 2 lacks 'messages' of the format 'messages' (keys found: 'prompt', 'completion')" in text
    assert "looks like the format 'prompt-completion'" in text


def test_a_misspelt_key_names_the_nearest(write: Write) -> None:
    text = refusal(write([{"promt": "a", "completion": "b"}]))
    assert "'promt', 'completion'" in text
    assert "it lacks 'prompt'. The key 'promt' is not known. Did you mean 'prompt'?" in text
    text = refusal(write([{"mesages": ROLES}]))
    assert "Did you mean 'messages'?" in text
    text = refusal(write([{"prompt": "a", "completion": "b"}, {"prompt": "a", "complettion": "b"}]))
    assert "line 2 lacks 'completion'" in text
    assert "Did you mean 'completion'?" in text


@pytest.mark.parametrize("row", [{"text": "a"}, {"chosen": "a", "rejected": "b"}, {}])
def test_no_known_format_lists_them(write: Write, row: dict[str, Any]) -> None:
    text = refusal(write([row]))
    assert all(name in text for name in FORMATS)


def test_many_bad_rows_make_one_short_paragraph(write: Write) -> None:
    rows: list[Any] = [{"prompt": "a", "completion": "b"}, *[{"prompt": "a"}] * 2000]
    text = refusal(write(rows))
    assert "line 2 " in text
    assert "line 6 " in text
    assert "line 7 " not in text
    assert "and 1995 more" in text
    assert len(text) < 1500


def test_hostile_names_are_shown_short_and_escaped(write: Write) -> None:
    text = refusal(write([{"\x1b[2J" + "k" * 5000: "a"}]))
    assert "\x1b" not in text
    assert len(text) < 700


def test_a_bad_line_and_a_bad_row_are_told_together(write: Write) -> None:
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


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not beside this checkout")
@pytest.mark.parametrize("name", REAL)
def test_real_files_read(name: str) -> None:
    format, rows = REAL[name]
    loaded = read_examples(DATA / name)
    assert loaded.format == format
    assert rows is None or len(loaded.examples) == rows
    assert all(example.target for example in loaded.examples)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are not beside this checkout")
@pytest.mark.parametrize("name", ["instructions-eval/ifeval.jsonl", "general-suite/piqa.jsonl"])
def test_real_files_of_other_shapes_are_refused(name: str) -> None:
    assert "no known format; line 1" in refusal(DATA / name)
