"""`rung chat`: one line, one answer."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import letters
from rung import cli, storage
from rung.data.templates import Renderer
from rung.ladder.climb import Climbed

Talk = Callable[..., tuple[int, str, str]]
ASKED = letters.flags(base="tiny", precision="fp32", threads=1)


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Talk:
    def say(text: str, *flags: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        code = cli.run(["chat", *ASKED, *flags])
        return (code, *capsys.readouterr())

    return say


def test_an_adapter_answers_as_it_learned(talk: Talk, climbed: Climbed) -> None:
    adapter = str(climbed.folder / "adapters" / "lora")
    for word, label in letters.rows(4, seed=5):
        code, out, _ = talk(f"{word}\n", "--adapter", adapter)
        assert (code, out) == (0, f"{label}\n")


def test_the_talk_goes_on_until_an_empty_line(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[tuple[str, str]]] = []
    plain = Renderer.prompt_ids

    def heard(self: Renderer, messages: object) -> list[int]:
        asked.append([(m.role, m.content) for m in messages])  # type: ignore[attr-defined]
        return plain(self, messages)  # type: ignore[arg-type]

    monkeypatch.setattr(Renderer, "prompt_ids", heard)
    code, out, _ = talk("one\n  two \n\nthree\n", "--system", "Be brief.", "--max-new-tokens", "3")
    assert code == 0
    assert len(asked) == 2
    assert asked[0] == [("system", "Be brief."), ("user", "one")]
    assert asked[1][:2] == asked[0]
    assert [role for role, _ in asked[1]] == ["system", "user", "assistant", "user"]
    assert asked[1][-1] == ("user", "two")
    assert out


def test_chance_is_seeded(talk: Talk) -> None:
    hot = ("--temperature", "2", "--max-new-tokens", "20")
    first = talk("hi\n", *hot)
    assert talk("hi\n", *hot) == first
    assert talk("hi\n", *hot, "--seed", "1") != first


def test_what_would_steer_the_terminal_is_not_shown(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Renderer, "decode", lambda *_: "a\x1b[31m\x07b\tc")
    assert talk("hi\n", "--max-new-tokens", "1")[1] == "a\\x1b[31m\\x07b\tc\n"


def test_nothing_said_nothing_answered(talk: Talk) -> None:
    assert talk("") == (0, "", "")


def test_an_adapter_that_is_none(talk: Talk, tmp_path: Path) -> None:
    code, out, err = talk("hi\n", "--adapter", str(tmp_path))
    assert (code, out) == (4, "")
    assert "holds no adapter_config.json" in err


def test_a_chat_with_an_adapter_that_reads_passages_shows_none(
    talk: Talk, climbed: Climbed, tmp_path: Path
) -> None:
    adapter = climbed.folder / "adapters" / "lora"
    files = {path.name: path.read_bytes() for path in adapter.iterdir() if path.name != storage.MANIFEST}
    about = json.loads(files["rung.json"]) | {"passages": 2}
    storage.write_folder(tmp_path / "reads", files | {"rung.json": storage.as_json(about)})
    code, _, err = talk("hi\n", "--adapter", str(tmp_path / "reads"))
    assert (code, "a chat shows none; `rung predict` looks them up" in err.replace("\n", " ")) == (0, True)
    assert "passages" not in talk("hi\n", "--adapter", str(adapter))[2]


def test_an_adapter_of_another_base_is_named(talk: Talk, foreign: Path) -> None:
    code, _, err = talk("hi\n", "--adapter", str(foreign), "--max-new-tokens", "1")
    assert code == 0
    assert "note: the adapter says that it was made for '/models/other', and it is used on 'tiny'" in err
    (foreign / "chat_template.jinja").write_text("{{ messages[0].content }}")
    code, out, err = talk("hi\n", "--adapter", str(foreign))
    assert (code, out) == (4, "")
    assert "trained with another chat template than this base has" in err
