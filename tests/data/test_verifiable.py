"""Rows with rules in place of an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rung.data import read_examples
from rung.data.verifiable import RULES, has_rules, rule_columns, rules_in
from rung.errors import DataError


def test_the_names_come_first_and_arguments_need_them() -> None:
    assert rule_columns(["kwargs", "prompt", "instruction_id_list"]) == ["instruction_id_list", "kwargs"]
    assert rule_columns(["InstructionIdList"]) == ["InstructionIdList"]
    assert rule_columns(["kwargs", "prompt"]) == []


@pytest.mark.parametrize(
    ("names", "arguments", "kept"),
    [
        (["a"], [{"n": 1}], {RULES: {"names": ["a"], "arguments": [{"n": 1}]}}),
        ('["a"]', "[{'n': 1}]", {RULES: {"names": ["a"], "arguments": [{"n": 1}]}}),  # as a table holds them
        ("a", 3, {RULES: {"names": "a", "arguments": 3}}),  # told apart later, by the task
        ([], [], {}),
        (None, None, {}),
    ],
)
def test_rules_are_kept_as_the_row_has_them(names: Any, arguments: Any, kept: Any) -> None:
    row = {"instruction_id_list": names, "kwargs": arguments}
    assert rules_in(row, ["instruction_id_list", "kwargs"]) == kept
    assert json.loads(json.dumps(kept)) == kept


def test_a_file_of_rules_has_prompts_and_no_answers(tmp_path: Path) -> None:
    rows = [
        {"key": i, "prompt": f"Say {i} without commas", "instruction_id_list": ["x"], "kwargs": [{}]}
        for i in range(25)
    ]
    path = tmp_path / "rules.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded = read_examples(path)
    assert (loaded.format, loaded.hint) == ("instructions", "instructions")
    assert loaded.parts["rules"] == ("instruction_id_list", "kwargs")
    assert all(has_rules(one) and one.target == "" for one in loaded.examples)
    assert loaded.examples[3].prompt[0].content == "Say 3 without commas"


def test_a_file_with_rules_and_answers_has_both(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Say {i}", "response": f"it is {i}", "instruction_id_list": ["x"], "kwargs": [{}]}
        for i in range(25)
    ]
    path = tmp_path / "rules.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded = read_examples(path)
    assert [one.target for one in loaded.examples][:2] == ["it is 0", "it is 1"]
    assert all(map(has_rules, loaded.examples))


def test_rules_without_a_prompt_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rules.jsonl"
    path.write_text('{"instruction_id_list": ["x"], "kwargs": [{}]}\n' * 3)
    with pytest.raises(DataError, match="no prompt"):
        read_examples(path)
