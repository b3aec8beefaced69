"""Whose a run folder is, and its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import letters
from rung.config import make_settings
from rung.data.formats import read_examples
from rung.errors import ResumeError
from rung.ladder.climb import climb
from rung.ladder.owner import contents, default_folder
from rung.ladder.understood import understand_data


def test_the_same_file_and_settings_give_the_same_folder(letters_csv: Path, tmp_path: Path) -> None:
    asked = {"base": "tiny", "seed": 1}
    loaded = read_examples(letters_csv)
    folder = default_folder(loaded, asked)
    assert folder.parent == Path("runs")
    assert folder.name.startswith("letters-")
    assert default_folder(loaded, asked | {"output": "elsewhere"}) == folder
    assert default_folder(loaded, asked | {"tolerance": 2.0, "goal": 80, "volume": 9}) == folder
    assert default_folder(loaded, asked | {"seed": 2}) != folder
    other = read_examples(letters.write_csv(tmp_path / "letters.csv", 100))
    assert default_folder(other, asked) != folder
    named = read_examples(letters.write_csv(tmp_path / ("x;$(rm)é " + "y" * 100 + ".csv"), 30))
    assert set("; $()") & set(default_folder(named, asked).name) == set()
    assert len(default_folder(named, asked).name) <= 50


def orders(path: Path) -> Path:
    rows = [{"text": f"{n} lamps", "target": json.dumps({"n": n, "item": "lamps"})} for n in range(40)]
    return letters.write_jsonl(path, rows)


def test_the_content_of_a_schema_counts_and_the_order_of_its_keys(tmp_path: Path) -> None:
    rows, schema = orders(tmp_path / "orders.jsonl"), tmp_path / "schema.json"

    def known(text: str) -> dict[str, Any]:
        schema.write_text(text)
        return contents(understand_data(rows, make_settings({"json_schema": schema})))

    first = known('{"properties": {"n": {}, "item": {}}}')
    assert known('{"properties":{"n":{},\n"item":{}}}') == first
    assert known('{"properties": {"item": {}, "n": {}}}') != first
    assert known('{"properties": {"n": {"type": "integer"}, "item": {}}}') != first
    assert "schema" not in contents(understand_data(rows, make_settings({})))


def test_a_changed_schema_is_another_run(tmp_path: Path) -> None:
    rows, schema = orders(tmp_path / "orders.jsonl"), tmp_path / "schema.json"
    asked = {"json_schema": str(schema), "rungs": "constant", "output": str(tmp_path / "run")}
    schema.write_text('{"type": "object"}')
    first = climb(rows, **asked)
    assert climb(rows, **asked).results == first.results
    schema.write_text('{"type": "object", "required": ["n"]}')
    with pytest.raises(ResumeError, match="other values of: schema"):
        climb(rows, **asked)
