"""Each setting is one flag with its own help line."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from rung import cli
from rung.cli.options import panel_of, takes_settings
from rung.config import Settings, make_settings

PANELS = ("Options", "Verdict", "Data", "Prompting", "Training", "Machine and money")


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_names_its_panel(name: str) -> None:
    assert panel_of(Settings.model_fields[name]) in PANELS


@pytest.mark.parametrize(
    ("verb", "without"),
    [
        ("climb", set[str]()),
        ("tune", {"rungs", "shots", "passages", "max_new_tokens", "tolerance", "splits", "goal", "volume"}),
    ],
)
def test_the_verbs_that_run_take_them_all(
    verb: str, without: set[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert cli.run([verb, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, field in Settings.model_fields.items():
        flag = f"--{name.replace('_', '-')} "
        if name in without:
            assert flag not in text
        else:
            assert flag in text
            assert str(field.description) in text


def given(arguments: list[str], *panels: str, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a verb with these panels receives."""
    received: dict[str, Any] = {}
    app = typer.Typer()

    @app.command()
    @takes_settings(*panels, leave_out=leave_out)
    def verb(settings: dict[str, Any], own: int = 1) -> None:
        received.update(settings, own=own)

    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return received


def test_only_what_was_given_is_passed_on_and_as_it_was_given() -> None:
    assert given([], "Options") == {"own": 1}
    found = given(["--base", "tiny", "--budget", "15m", "--own", "2"], "Options")
    assert found == {"base": "tiny", "budget": "15m", "own": 2}
    assert make_settings({k: v for k, v in found.items() if k != "own"}).budget == 900


def test_switches_go_both_ways() -> None:
    assert given(["--rslora"], "Training") == {"rslora": True, "own": 1}
    assert given(["--no-rslora"], "Training") == {"rslora": False, "own": 1}


def test_what_a_verb_leaves_out_is_no_flag_of_it() -> None:
    with pytest.raises(AssertionError, match="No such option"):
        given(["--rank", "3"], "Training", leave_out=("rank",))
    assert given(["--alpha", "3"], "Training", leave_out=("rank",)) == {"alpha": "3", "own": 1}


def test_defaults_are_shown_in_the_units_they_are_given_in(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["climb", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for shown in ("[default: 30m]", "[default: 2,4,8,16]", "[default: 0.06]", "[default: refuse]"):
        assert shown in text
    assert "None" not in text


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_default_shown_can_be_given(name: str) -> None:
    from rung.cli.options import _plain

    default = Settings.model_fields[name].default
    if default is None or default in ((), {}) or isinstance(default, bool):
        return
    assert getattr(make_settings({name: _plain(default, name)}), name) == default
