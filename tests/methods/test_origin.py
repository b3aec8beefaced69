"""Where an adapter comes from: its base, its chat template and its task, as its folder says."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rung.errors import AdapterError
from rung.methods.origin import Home, Origin, read_json, read_origin, verify
from rung.records import Task, to_json
from rung.storage import MANIFEST, write_folder

TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}\n"
HOME = Home("base", "f00d", TEMPLATE, "beef", frozenset({"tiny", "smollm2-135m-instruct"}))
TASK = Task("classification", "2 labels", ("accuracy", "macro_f1"), labels=("cellar", "attic"))


def adapter(folder: Path, named: Any = "base", ours: dict[str, Any] | None = None, **files: str) -> Path:
    """A folder that names a base in adapter_config.json, and maybe holds rung.json and other files."""
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": named}))
    if ours is not None:
        (folder / "rung.json").write_text(json.dumps(ours))
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content.encode())
    return folder


@pytest.mark.parametrize(
    "named",
    [
        "base",
        "owner/base",
        "Owner/Base@main",
        "/models/somewhere/base",
        "/models/base/",
        "C:\\models\\base",
        "/cache/models--owner--base/snapshots/0123abcd",
    ],
)
def test_a_base_of_the_same_name_is_taken_for_the_same(named: str, tmp_path: Path) -> None:
    assert read_origin(adapter(tmp_path / "a", named), HOME) == Origin()


@pytest.mark.parametrize("named", ["/models/other", "owner/other", "Owner/SmolLM2-135M-Instruct", "..", "/"])
def test_a_base_of_another_name_is_a_warning_that_names_both(named: str, tmp_path: Path) -> None:
    (warning,) = read_origin(adapter(tmp_path / "a", named), HOME).warnings
    assert f"made for {named!r}" in warning
    assert "used on 'base'" in warning


@pytest.mark.parametrize("named", [None, "", 7])
def test_an_adapter_that_names_no_base_is_a_warning(named: Any, tmp_path: Path) -> None:
    (warning,) = read_origin(adapter(tmp_path / "a", named), HOME).warnings
    assert warning == "the adapter does not say which base it was made for; it is used on 'base'"


@pytest.mark.parametrize(
    ("named", "here"),
    [
        ("smollm2-135m-instruct", "base"),
        ("smollm2-135m-instruct", "tiny"),
        ("Owner/SmolLM2-135M-Instruct", "tiny"),
        ("/models/tiny", "smollm2-135m-instruct"),
    ],
)
def test_another_base_of_the_catalog_is_refused(named: str, here: str, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="made for another base") as caught:
        read_origin(adapter(tmp_path / "a", named), replace(HOME, name=here))
    assert named in str(caught.value)
    assert f"The base here is {here}." in str(caught.value)


def test_a_fingerprint_settles_it_whatever_the_names(tmp_path: Path) -> None:
    ours = {"base": "old-name", "base_fingerprint": "f00d"}
    assert read_origin(adapter(tmp_path / "a", "tiny", ours), HOME) == Origin()
    ours["base_fingerprint"] = "0"
    with pytest.raises(AdapterError, match="for another base: old-name"):
        read_origin(adapter(tmp_path / "a", "base", ours), HOME)


@pytest.mark.parametrize(
    "files",
    [
        {"chat_template__jinja": "another"},
        {"tokenizer_config__json": json.dumps({"chat_template": "another"})},
        {"tokenizer_config__json": json.dumps({"chat_template": [{"name": "default", "template": "x"}]})},
    ],
)
def test_a_template_of_its_own_is_refused(files: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="trained with another chat template than this base has"):
        read_origin(adapter(tmp_path / "a", **files), HOME)


@pytest.mark.parametrize(
    "files",
    [
        {"chat_template__jinja": TEMPLATE},
        {"chat_template__jinja": TEMPLATE.removesuffix("\n")},
        {"chat_template__jinja": TEMPLATE.replace("\n", "\r\n")},
        {"tokenizer_config__json": json.dumps({"chat_template": TEMPLATE})},
        {
            "tokenizer_config__json": json.dumps(
                {"chat_template": [{"name": "default", "template": TEMPLATE}]}
            )
        },
        {"tokenizer_config__json": json.dumps({"chat_template": [{"name": "tools", "template": "x"}]})},
        {"tokenizer_config__json": "{}"},
    ],
)
def test_the_bases_own_template_is_not(files: dict[str, str], tmp_path: Path) -> None:
    assert read_origin(adapter(tmp_path / "a", **files), HOME) == Origin()


def test_the_fingerprint_of_the_template_wins_over_its_text(tmp_path: Path) -> None:
    ours = {"base_fingerprint": "f00d", "template_fingerprint": "beef"}
    assert read_origin(adapter(tmp_path / "a", ours=ours, chat_template__jinja="another"), HOME) == Origin()
    ours["template_fingerprint"] = "0"
    with pytest.raises(AdapterError, match="another chat template"):
        read_origin(adapter(tmp_path / "a", ours=ours), HOME)


def test_the_task_comes_back(tmp_path: Path) -> None:
    ours = {"base_fingerprint": "f00d", "task": to_json(TASK)}
    assert read_origin(adapter(tmp_path / "a", ours=ours), HOME) == Origin(TASK)


@pytest.mark.parametrize("task", ["classification", {"kind": "classification"}, [1]])
def test_a_task_that_cannot_be_read_is_an_error_and_not_a_guess(task: Any, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"rung\.json: Task field"):
        read_origin(adapter(tmp_path / "a", ours={"task": task}), HOME)


def test_only_a_folder_with_a_manifest_is_held_to_it(tmp_path: Path) -> None:
    verify(adapter(tmp_path / "a"))
    write_folder(tmp_path / "b", {"rung.json": b"{}"})
    verify(tmp_path / "b")
    (tmp_path / "b" / "rung.json").write_text("{ }")
    with pytest.raises(AdapterError, match=r"rung\.json is missing or was changed.*Copy the adapter again"):
        verify(tmp_path / "b")


def test_a_manifest_that_is_not_rungs_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (adapter(tmp_path / "a") / MANIFEST).write_text('{"files": ["x"]}')
    with pytest.raises(AdapterError, match=r"take manifest\.json out of the folder"):
        verify(tmp_path / "a")


def test_json_is_read_strictly(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": {"b": 1, "b": 2}}')
    with pytest.raises(AdapterError, match=r"x\.json cannot be read: it has the key '.*' twice"):
        read_json(tmp_path, "x.json")
    (tmp_path / "x.json").write_text('{"a": 1}')
    assert read_json(tmp_path, "x.json") == {"a": 1}


@pytest.mark.parametrize(
    ("trained", "held", "words"),
    [
        (4, None, "in 4 bits, and here they are held in full: .* give --bits 4"),
        (4, 8, "in 4 bits, and here they are held in 8 bits: .* give --bits 4"),
        (None, 8, "in full, and here they are held in 8 bits: .* leave --bits out"),
        ("x" * 999, 4, "in full, and here they are held in 4 bits"),
    ],
)
def test_weights_that_are_held_in_another_way_are_a_warning(
    trained: Any, held: int | None, words: str, tmp_path: Path
) -> None:
    folder = adapter(tmp_path / "a", ours={"base_fingerprint": "f00d", "bits": trained})
    (warning,) = read_origin(folder, replace(HOME, bits=held)).warnings
    assert re.search(words, warning)


def test_weights_that_are_held_in_the_same_way_are_not(tmp_path: Path) -> None:
    """Nor is an adapter from elsewhere, which does not say."""
    folder = adapter(tmp_path / "a", ours={"base_fingerprint": "f00d", "bits": 4})
    assert read_origin(folder, replace(HOME, bits=4)) == Origin()
    assert read_origin(adapter(tmp_path / "b"), replace(HOME, bits=4)) == Origin()
    old = adapter(tmp_path / "c", ours={"base_fingerprint": "f00d"})
    assert read_origin(old, HOME) == Origin()
