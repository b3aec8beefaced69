"""Settings: one field is one YAML key and one flag; what cannot be used is named, with the nearest name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rung.config import Settings, load_settings, make_settings
from rung.errors import UsageError
from rung.setting_values import parse_duration


def write(folder: Path, text: str) -> Path:
    path = folder / "rung.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("90s", 90.0), ("15m", 900.0), ("1h30m", 5400.0), ("1.5h", 5400.0), (" 2H ", 7200.0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert make_settings({"budget": text}).budget == seconds


@pytest.mark.parametrize("text", ["none", "unlimited", None])
def test_no_budget_means_no_limit(text: str | None) -> None:
    assert make_settings({"budget": text}).budget is None


@pytest.mark.parametrize("text", ["", "soon", "15 m", "-5", "5d", "1h30", "nan", "inf"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="setting 'budget' cannot be"):
        make_settings({"budget": text})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("budget", 0),
        ("epochs", 0),
        ("epochs", float("nan")),
        ("learning_rate", float("inf")),
        ("learning_rate", 2),
        ("rank", 0),
        ("rank", 1.5),
        ("seed", -1),
        ("warmup", 1.1),
        ("dev_fraction", 0.5),
        ("precision", "fp8"),
        ("bits", 5),
        ("bits", "four"),
        ("bits", True),
        ("long_rows", "cut"),
        ("max_dev", 3),
        ("shots", "2,x"),
        ("shots", "0,-1"),
        ("rungs", ""),
        ("threads", 0),
    ],
)
def test_values_out_of_range_are_refused_with_the_help_line(key: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"setting '{key}' cannot be") as caught:
        make_settings({key: value})
    assert (Settings.model_fields[key].description or "") in str(caught.value)


def test_every_setting_has_a_help_line_and_a_usable_default() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
    assert make_settings(make_settings({}).model_dump(mode="json")) == make_settings({})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        make_settings({}).rank = 2


def test_names_and_counts_from_text_or_lists() -> None:
    assert make_settings({"rungs": "lora, full"}).rungs == ("lora", "full")
    assert make_settings({"rungs": ["lora"]}).rungs == ("lora",)
    assert make_settings({"shots": "2,4"}).shots == (2, 4)
    assert make_settings({"shots": 4}).shots == (4,)
    assert make_settings({}).rungs is None


def test_unknown_key_names_the_nearest_and_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "learnig-rate: 0.1\n")
    with pytest.raises(UsageError, match=r"learnig_rate'\. Did you mean 'learning_rate'\?") as caught:
        load_settings(path, {})
    assert str(path) in str(caught.value)


def test_flags_win_over_the_file_and_absent_flags_do_not(tmp_path: Path) -> None:
    path = write(tmp_path, "rank: 4\nlearning-rate: 1e-4\nseed: 3\n")
    settings, asked = load_settings(path, {"rank": 8, "seed": None})
    assert (settings.rank, settings.learning_rate, settings.seed) == (8, 1e-4, 3)
    assert asked == {"rank": 8, "learning_rate": 1e-4, "seed": 3}


def test_asked_holds_plain_values_and_no_defaults(tmp_path: Path) -> None:
    _, asked = load_settings(None, {"output": tmp_path, "rungs": "lora", "budget": "1m"})
    assert json.loads(json.dumps(asked)) == {"output": str(tmp_path), "rungs": ["lora"], "budget": 60.0}


@pytest.mark.parametrize("text", ["", "# only a remark\n"])
def test_an_empty_file_asks_for_nothing(tmp_path: Path, text: str) -> None:
    assert load_settings(write(tmp_path, text), {}) == (make_settings({}), {})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("- rank\n", "key: value"),
        ("rank: [1\n", "not YAML"),
        ("rank: !!python/object:os.system x\n", "not YAML"),
        ("a: &x [1]\nb: *x\n", "anchors"),
        ("a: &1 [1]\nb: [*1,*1]\n", "anchors"),
        ("rank: " + "[" * 900 + "\n", "too deeply"),
        ("x: " + "y" * 200_000, "too large"),
    ],
    ids=["list", "open", "object", "anchor", "numbered-anchor", "deep", "large"],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        load_settings(write(tmp_path, text), {})


def test_a_missing_file_and_one_that_is_not_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the config: No such file"):
        load_settings(tmp_path / "no.yaml", {})
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        load_settings(tmp_path / "b.yaml", {})


@pytest.mark.parametrize(
    ("text", "said"),
    {
        "a key twice": ("rank: 8\nrank: 9\n", "c.yaml: has the key 'rank' twice. Keep one"),
        "a key in both spellings": ("max-length: 9\nmax_length: 10\n", "has the key 'max_length' twice"),
        "a key twice inside": ("label_names: {a: b, a: c}", "has the key 'a' twice"),
        "true as a number": ("rank: true", "'rank' cannot be True: a yes or no .* put quotes"),
        "yes as a time": ("budget: yes", "'budget' cannot be True"),
        "on as a seed": ("seed: on", "'seed' cannot be True"),
        "yes in a list": ("shots: [2, yes]", "'shots' cannot be"),
        "no as a label": ("label_names: {0: no, 1: yes}", "'label_names' cannot be"),
        "a day that is none": ("task: 2026-13-45", "not YAML: month must be in 1..12"),
        "a time that is none": ("task: !!timestamp x", "not YAML"),
        "a float that is none": ("alpha: !!float abc", "not YAML: could not convert"),
        "a number that is none": ("shots: !!int x2,4", "not YAML: write 'x2,4' in decimal digits"),
        "a switch that is none": ("rslora: !!bool maybe", "not YAML"),
        "5,000 digits": ("rank: " + "9" * 5000, "not YAML: Exceeds the limit"),
        "5,000 digits to the base 16": ("rank: 0x" + "f" * 5000, "in decimal digits"),
        "a number to the base 8": ("rank: 010", "write '010' in decimal digits"),
        "a number to the base 60": ("budget: 1:30", "write '1:30' in decimal digits"),
        "half a character": ('task: "\\ud800"', "not YAML: .*surrogates"),
        "lists in lists": ("rank: " + "[" * 5000, "nested too deeply"),
        "lists of one item": ("- " * 40_000, "nested too deeply"),
        "a number for a mapping": ("roles: 5", "'roles' cannot be 5: write a list or a mapping"),
        "a fraction for pairs": ("label_names: 1.5", "'label_names' cannot be 1.5: write a list"),
        "a long tag": ("rank: !" + "x" * 50_000 + " 1", "could not determine a constructor"),
        "a long value": ("rank: " + "x" * 50_000, "'rank' cannot be 'xxx"),
        "a long key": (f'"{"x" * 900}": 1', "unknown setting 'xxx"),
        "many bytes": ("# " + "x" * 100_000, "the config is too large: 100,000 bytes are read"),
    }.values(),
)
def test_yaml_that_stands_for_no_setting(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=said) as caught:
        load_settings(tmp_path / "c.yaml", {})
    assert len(str(caught.value)) < 700


def test_booleans_are_switches_and_words_in_quotes_are_words(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "rslora: yes\nheader: no\nlabel_names: {'0': 'no', '1': 'yes'}\nrank: 1_0"
    )
    settings, _ = load_settings(tmp_path / "c.yaml", {})
    assert settings.rslora
    assert settings.header is False
    assert settings.label_names == {"0": "no", "1": "yes"}
    assert settings.rank == 10


@pytest.mark.parametrize("bits", [4, "4"])
def test_bits_are_a_number_on_the_command_line_too(bits: Any) -> None:
    assert make_settings({"bits": bits}).bits == 4
    assert make_settings({}).bits is None
