"""`rung methods`: the list, and the options of one."""

from __future__ import annotations

import json

import pytest

from rung import cli
from rung.methods import METHODS


def test_the_list_says_what_each_trains_on_a_base(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["methods", "--base", "tiny"]) == 0
    out = capsys.readouterr().out
    for name, method in METHODS.items():
        assert f"{name:<11} {method.title}. {method.when}" in out
    assert "Numbers are for tiny, with the default options." in out
    ia3 = out.split("ia3 ")[1].split("\n")[1]
    assert ia3.strip().startswith("trains 192 numbers, file of ")
    assert "can be merged" in ia3
    assert "trains 64 numbers for two labels, file of" in out.split("head ")[1]


def test_one_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["methods", "lora", "--base", "tiny"]) == 0
    out = capsys.readouterr().out
    assert "--options lora.rank=...  Rows of A and columns of B. [default: 16]" in out
    assert "[default: {}]" not in out
    assert "IA3" not in out


def test_without_a_base_here_there_are_no_numbers(
    own_cache: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["methods"]) == 0
    out = capsys.readouterr().out
    assert "trains" not in out
    assert "Numbers are for" not in out


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["methods", "--base", "tiny", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert list(found) == list(METHODS)
    assert found["ia3"]["size"]["trained"] == 192
    assert found["full"]["promises"]["whole_model"] is True


def test_an_unknown_one_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["methods", "lorra"]) == 2
    assert "Did you mean 'lora'?" in capsys.readouterr().err
