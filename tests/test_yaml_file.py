"""A config is one plain file of YAML (`tests/test_config.py` has the values that are refused)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rung.errors import UsageError
from rung.yaml_file import read_yaml, show


def test_keys_are_spelt_as_in_python(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("max-length: 9\nshots: [2, 4]\n")
    assert read_yaml(tmp_path / "c.yaml") == {"max_length": 9, "shots": [2, 4]}
    (tmp_path / "c.yaml").write_text("# nothing\n")
    assert read_yaml(tmp_path / "c.yaml") == {}


def test_a_long_value_is_shown_in_short() -> None:
    assert show("ab") == "'ab'"
    assert len(show("x" * 1000)) <= 62


def test_nesting_is_counted_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for text in (
        "\n".join(" " * i + "a:" for i in range(400)),
        "\n".join(" " * i + "-" for i in range(400)) + " x",
        "\n".join(" " * i + "- a:" for i in range(0, 400, 2)),
        "- " * 300 + "x",
        "-\t" * 300 + "x",
        "? " * 300 + "x",
        "a: " + "[" * 300,
        "a: " + "{b: " * 300,
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match="nested too deeply"):
            read_yaml(path)
    path.write_text("a:\n" + " " * 50 + "b: [1, 2]\n")
    assert read_yaml(path) == {"a": {"b": [1, 2]}}


def test_only_a_plain_file_is_a_config(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UsageError, match="cannot read the config: a pipe or a device"):
            read_yaml(path)
    with pytest.raises(UsageError, match="cannot read the config: Is a directory"):
        read_yaml(tmp_path)
