"""`rung bases`: the list, and getting one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rung import cli
from rung.bases import catalog


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bases"]) == 0
    lines = capsys.readouterr().out.split("\n")
    listed = {line.split()[0]: line for line in lines if line and not line.startswith("A local")}
    assert list(listed) == list(catalog.CATALOG)
    assert "built in" in listed["tiny"]
    assert "not fetched" in listed[catalog.DEFAULT]


def test_getting_one_says_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(name: str, say: Any, *, accept_terms: bool) -> Path:
        say(f"getting {name}, terms accepted: {accept_terms}")
        return tmp_path / name

    monkeypatch.setattr(catalog, "fetch", fetch)
    assert cli.run(["bases", "get", "gemma-3-270m", "--accept-terms"]) == 0
    out, err = capsys.readouterr()
    assert out == f"gemma-3-270m is in {tmp_path / 'gemma-3-270m'}\n"
    assert err == "getting gemma-3-270m, terms accepted: True\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["tiny"], 4, "tiny is built in code"),
        (["tinny"], 2, "unknown base 'tinny'. Did you mean 'tiny'?"),
        (["gemma-3-270m"], 4, "terms that you have to accept first"),
        ([], 2, "Missing argument 'NAME'"),
    ],
)
def test_what_cannot_be_got(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["bases", "get", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
