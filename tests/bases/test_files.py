"""Files of a model folder: plain, inside the folder, small, strict."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rung.bases.files import JSON_BYTES, check_files, read_json, refuse, source_of, walk
from rung.errors import BaseModelError


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": {"b": 1, "b": 2}}')
    with pytest.raises(BaseModelError, match=r"x\.json: has the key 'b' twice"):
        read_json(tmp_path / "x.json")


def test_infinity_is_left_to_the_key(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": [0.0, Infinity]}')
    assert read_json(tmp_path / "x.json") == {"a": [0.0, float("inf")]}


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "vocab.txt").open("wb") as file:
        file.truncate(JSON_BYTES + 1)
    with pytest.raises(BaseModelError, match=r"vocab\.txt: larger than 64 MB"):
        check_files(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.json", "additional_chat_templates/x.jinja"])
def test_a_pipe_is_not_a_plain_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(BaseModelError, match="is not a plain file"):
        check_files(tmp_path)


@pytest.mark.parametrize(
    ("name", "target", "said"),
    [
        ("x.jinja", "/etc/passwd", "outside the folder"),
        ("additional_chat_templates/x.jinja", "/etc/passwd", "outside the folder"),
        ("additional_chat_templates/x.jinja", "../../y.jinja", "outside the folder"),
        ("circle", "circle", "not there"),
        ("dangling", "nowhere", "not there"),
    ],
)
def test_links(name: str, target: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to(target)
    with pytest.raises(BaseModelError, match=said):
        check_files(tmp_path)


@pytest.mark.parametrize("text", ["[]", "{", '"x"', "\udcff", '{"sha256": 1, "sha256": 2}'])
def test_a_damaged_source_says_nothing(text: str, tmp_path: Path) -> None:
    assert source_of(tmp_path) == {}
    (tmp_path / "source.json").write_text(json.dumps({"sha256": "ab"}))
    assert source_of(tmp_path) == {"sha256": "ab"}
    (tmp_path / "source.json").write_text(text, errors="surrogateescape")
    assert source_of(tmp_path) == {}


def test_walk_gives_every_value_with_its_key() -> None:
    assert {key for _, key, _ in walk({"a": [{"b": 1}]})} == {"", "a", "b"}


def test_a_refusal_names_the_file_and_not_its_place(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError) as caught:
        refuse(tmp_path / "m" / "config.json", "is wrong", fix="Repair it")
    assert str(caught.value) == "m/config.json: is wrong. Repair it."
