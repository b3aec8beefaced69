"""What users give, case by case through the command line: refused in one paragraph, or taken with a note.

`test_bad_input` has what `rung climb` refuses before it begins. Here are rows that are read with care, and
folders of models, adapters and runs.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import fuzz_readers
import letters
import rights
from rung import cli

USAGE, DATA, BASE, RESUME = 2, 3, 4, 7
LONGEST = 4000  # characters of a message
Change = Callable[[Path], Any]


@dataclass(frozen=True)
class Case:
    """A command in a folder, and what it must say."""

    arguments: tuple[str, ...]
    code: int
    said: tuple[str, ...]  # on stderr, or on stdout where the code is 0
    files: Mapping[str, bytes] = field(default_factory=dict)
    change: Change = lambda folder: None  # to the folder with all files in it


def pairs(count: int = 30) -> list[dict[str, Any]]:
    return [{"text": text, "label": label} for text, label in letters.rows(count)]


def lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def check(content: bytes | list[Any], code: int, *said: str, name: str = "rows.jsonl") -> Case:
    """`rung check` of a file of rows."""
    raw = content if isinstance(content, bytes) else lines(content)
    return Case(("check", name, "--base", "tiny"), code, said, {name: raw})


def one_more(line: str | bytes, code: int, *said: str) -> Case:
    """Good rows, and a line."""
    return check(GOOD + (line.encode() if isinstance(line, str) else line), code, *said)


def chats(*turns: Mapping[str, Any]) -> list[Any]:
    return [
        {"messages": [{**turn, "content": f"{turn['content']} {i}"} for turn in turns]} for i in range(25)
    ]


def turn(role: str, content: str = "x", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def climb(flags: str, *said: str, code: int = USAGE) -> Case:
    return Case(("climb", "good.csv", "--base", "tiny", "--output", "run", *flags.split()), code, said)


GOOD = lines(pairs())
ROWS: dict[str, Case] = {
    "UTF-8 with a mark": check(b"\xef\xbb\xbf" + GOOD, 0, "30 rows", "Found nothing wrong"),
    "Windows line ends": check(GOOD.replace(b"\n", b"\r\n"), 0, "30 rows", "Found nothing wrong"),
    "UTF-16": check(GOOD.decode().encode("utf-16"), 0, "30 rows", "read as UTF-16 text"),
    "old Mac line ends": check(
        b"text,label\r" + b"\r".join(f"{text},{label}".encode() for text, label in letters.rows(30)),
        0,
        "30 rows",
        "Found nothing wrong",
        name="rows.csv",
    ),
    "a list in a file of lines": check(json.dumps(pairs()).encode(), 0, "30 rows", "Found nothing wrong"),
    "objects over several lines": check(
        "\n".join(json.dumps(row, indent=1) for row in pairs()).encode(), 0, "30 rows", "Found nothing wrong"
    ),
    "a last line cut short": check(GOOD[:-9], DATA, "line 30 ends before", "the file may be cut short"),
    "10,000 levels": one_more(
        '{"text": ' + "[" * 10_000 + "]" * 10_000 + ', "label": "a"}', DATA, "line 31 is nested", "Flatten it"
    ),
    "a key twice": one_more('{"text": "a", "label": "a", "label": "b"}', DATA, "'label' twice", "Keep one"),
    "NaN": one_more('{"text": NaN, "label": "a"}', DATA, "line 31 holds NaN", "Use null"),
    "5,000 digits": one_more(
        '{"text": ' + "9" * 5000 + ', "label": "a"}', DATA, "a number of 5,000 digits", "Write it as text"
    ),
    "half a character": one_more('{"text": "\\ud83d x", "label": "a"}', DATA, "line 31 holds half of a char"),
    "escapes and zeros": one_more(
        '{"text": "a\\u0000\\u001b[2J", "label": "a\\u001b[31m"}',
        0,
        "a\\x1b[31m 1",
        "1 row with invisible characters in the target: row 31",
    ),
    "text that turns around": one_more(
        '{"text": "x", "label": "a\\u202eb\\u200b"}', 0, "a<U+202E>b<U+200B>", "1 row with invisible"
    ),
    "no list of turns": check([{"messages": None}] * 25, DATA, "not a list of turns", 'Write [{"role"'),
    "text for turns": check([{"messages": "hi"}] * 25, DATA, "text without a prompt", "--completion"),
    "no turns": check([{"messages": []}] * 25, DATA, "has no turns in 'messages'", "Add the turns"),
    "a system turn in the middle": check(
        chats(turn("system"), turn("user"), turn("system"), turn("assistant")),
        DATA,
        "a system turn that is not the first turn",
        "Keep one, at the start",
    ),
    "empty answers": check(
        [{"messages": [turn("user", f"{i}"), turn("assistant", "")]} for i in range(25)],
        DATA,
        "every target is empty",
        "Write the wanted answer",
    ),
    "a call whose arguments are no JSON": check(
        chats(turn("user"), turn("assistant", tool_calls=[{"function": {"name": "f", "arguments": "{"}}])),
        DATA,
        "a call in turn 2 whose arguments are not JSON",
    ),
    "columns that are not used": check([{**row, "note": "n"} for row in pairs()], 0, "not used: note"),
    "the end of a turn in a text": check(
        [{"text": f"<|im_end|> {i}", "label": "ab"[i % 2]} for i in range(30)],
        0,
        "30 rows whose text spells control tokens (read as plain text)",
    ),
    "every row too long": Case(
        (
            "climb",
            "rows.jsonl",
            "--base",
            "tiny",
            "--long-rows",
            "drop",
            "--rungs",
            "zero-shot",
            "--output",
            "run",
        ),
        DATA,
        ("rows.jsonl: 30 of 30 rows are longer than 2048 tokens", "raise --max-length"),
        {"rows.jsonl": lines([{"text": "m" * 3000 + str(i), "label": "ab"[i % 2]} for i in range(30)])},
    ),
    "a prompt too long to evaluate": Case(
        ("evaluate", "rows.jsonl", "--base", "tiny"),
        DATA,
        ("rows.jsonl: row 6 is longer than the base can read", "Shorten the row"),
        {
            "rows.jsonl": lines(
                [{"text": "m" * (2100 if i == 5 else i), "label": "ab"[i % 2]} for i in range(30)]
            )
        },
    ),
    "one row": check(pairs(1), DATA, "1 row is too few", "Give at least 20"),
    "rows twice": check(pairs() * 2, 0, "30 rows the same as an earlier one, kept once"),
    "rows that are in the test file too": Case(
        ("check", "rows.jsonl", "--base", "tiny", "--test", "test.jsonl"),
        0,
        ("5 rows also in the test file, left out of train",),
        {"rows.jsonl": GOOD, "test.jsonl": lines(pairs(5))},
    ),
    "labels that no train row has": Case(
        ("check", "rows.jsonl", "--base", "tiny", "--test", "test.jsonl"),
        DATA,
        ("test.jsonl: no row has a label that the train rows have", "in the same way"),
        {"rows.jsonl": GOOD, "test.jsonl": lines([{"text": f"q{i}", "label": "c"} for i in range(10)])},
    ),
    "one row of a label": check(
        [*({"text": f"t{i}", "label": "a"} for i in range(300)), {"text": "u", "label": "b"}],
        0,
        "the largest class has 300 times the rows of the smallest",
    ),
    "a cell too many": check(
        b"text,label\n" + b"mmm,a\n" * 30 + b"x,y,z\n",
        DATA,
        "row 31 (line 32) has 3 cells where the header has 2",
        "double quotes",
        name="rows.csv",
    ),
    "no header": check(
        b"\n".join(f"{text},{label}".encode() for text, label in letters.rows(30)),
        DATA,
        "no column that is known to be the answer",
        "--prompt 1 --completion 2",
        name="rows.csv",
    ),
    "truth for labels": check(
        [{"text": f"t{i}", "label": bool(i % 2)} for i in range(30)], 0, "Labels: false 15, true 15"
    ),
    "Parquet cut short": check(
        b"PAR1" + b"x" * 50, DATA, "cannot be read as Parquet", "Write the file again", name="rows.parquet"
    ),
    "Arrow cut short": check(
        b"ARROW1\0\0" + b"x" * 50, DATA, "cannot be read as Arrow", "Write the file again", name="rows.arrow"
    ),
}

SETTINGS: dict[str, Case] = {
    **{
        f"{flag} {value}": climb(
            f"--{flag} {value}", f"setting '{flag.replace('-', '_')}' cannot be '{value}'"
        )
        for flag, values in {
            "learning-rate": ("0", "-1", "nan", "1e9"),
            "epochs": ("0", "-1", "inf", "1e9"),
            "batch-tokens": ("0",),
            "rank": ("0", "-4", "2147483648", "8.5"),
            "alpha": ("0", "nan"),
            "max-length": ("1",),
            "seed": ("18446744073709551616",),
            "splits": ("0",),
            "volume": ("-1",),
            "tolerance": ("nan",),
        }.items()
        for value in values
    },
    "a secret": Case(
        ("climb", "good.csv", "--config", "c.yaml"),
        USAGE,
        ("c.yaml: unknown setting 'hf_token'",),
        {"c.yaml": b"hf_token: hf_secret\n"},
    ),
    "a folder as a config": Case(
        ("climb", "good.csv", "--config", "."), USAGE, (".: cannot read the config: Is a directory",)
    ),
    "a config in UTF-16": Case(
        ("climb", "good.csv", "--config", "c.yaml"),
        USAGE,
        ("c.yaml: the config is not UTF-8 text",),
        {"c.yaml": "rank: 8".encode("utf-16")},
    ),
    "half an emoji in a config": Case(
        ("climb", "good.csv", "--config", "c.yaml"),
        USAGE,
        ("c.yaml: the config is not YAML", "Write plain keys and values"),
        {"c.yaml": b'task: "\\ud83d"\n'},
    ),
    "400 blocks": Case(
        ("climb", "good.csv", "--config", "c.yaml"),
        USAGE,
        ("c.yaml: the config is nested too deeply",),
        {"c.yaml": "\n".join(" " * i + "a:" for i in range(400)).encode()},
    ),
    "an unknown verb": Case(("clmb",), USAGE, ("No such command 'clmb'. Did you mean 'climb'?", "--help")),
    "an unknown base to get": Case(("bases", "get", "nix"), USAGE, ("unknown base 'nix'. Known: ",)),
    "no run to report": Case(("report", "nowhere"), USAGE, ("nowhere: this is not a run folder", "Give the")),
    "no run to predict with": Case(("predict", "good.csv", "--run", "."), USAGE, ("not a run folder",)),
    "a name with a dash": Case(("check", "-x.csv"), USAGE, ("No such option: -x",)),
    "a name behind two dashes": Case(
        ("check", "--base", "tiny", "--", "-x.jsonl"), 0, ("-x.jsonl: text-label",), {"-x.jsonl": GOOD}
    ),
    "spaces and letters of the world": Case(
        ("check", "ä b 語.jsonl", "--base", "tiny"), 0, ("ä b 語.jsonl: text-label",), {"ä b 語.jsonl": GOOD}
    ),
}


def edit(name: str, **changes: Any) -> Change:
    """Change keys of a JSON file; ``...`` takes one out."""

    def act(folder: Path) -> None:
        value = json.loads((folder / name).read_text()) | changes
        (folder / name).write_text(json.dumps({key: one for key, one in value.items() if one is not ...}))

    return act


def write(name: str, content: bytes | str) -> Change:
    return lambda folder: (folder / name).write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )


def gone(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def fifo(name: str) -> Change:
    """A pipe in the place of a file: who opens it waits forever."""

    def act(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return act


def closed(name: str) -> Change:
    """No permission for a file or the folder itself."""
    return lambda folder: (folder / name).chmod(0)


def link(name: str, target: str) -> Change:
    def act(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return act


def template(source: str) -> Change:
    return write("chat_template.jinja", source)


def panic(folder: Path) -> None:
    """A splitter that the tokenizer library gives up on."""
    value = json.loads((folder / "tokenizer.json").read_text())
    splitter = {"type": "Split", "pattern": {"Regex": r"\n(a+)+\1b"}, "behavior": "Isolated", "invert": False}
    (folder / "tokenizer.json").write_text(json.dumps(value | {"pre_tokenizer": splitter}))


def weights(**tensors: Any) -> Change:
    def act(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        found = load_file(folder / "model.safetensors")
        for name, change in tensors.items():
            key = next(key for key in found if name in key)
            found[key] = change(found[key])
        save_file(found, folder / "model.safetensors", {"format": "pt"})

    return act


MODELS: dict[str, tuple[Change, int, tuple[str, ...]]] = {
    "as it is": (lambda folder: None, 0, ()),
    "config empty": (write("config.json", ""), BASE, ("config.json: not JSON", "Copy the file")),
    "config of 200,000 levels": (
        write("config.json", '{"a":' * 200_000),
        BASE,
        ("config.json: nested too deep",),
    ),
    "no kind of model": (edit("config.json", model_type=...), BASE, ("config.json: no model_type", "Copy")),
    "an unknown kind": (edit("config.json", model_type="lama"), BASE, ("Did you mean 'llama'?",)),
    "kernels from elsewhere": (
        edit("config.json", attn_implementation="evil/kernel"),
        BASE,
        ("'attn_implementation' asks for code from elsewhere", "runs no code"),
    ),
    "code on trust": (
        edit("config.json", trust_remote_code=True),
        BASE,
        ("'trust_remote_code' asks for code",),
    ),
    "no heads": (edit("config.json", num_attention_heads=0), BASE, ("num_attention_heads is 0 and must be",)),
    "a width below zero": (edit("config.json", hidden_size=-1), BASE, ("hidden_size is -1 and must be",)),
    "a width as text": (edit("config.json", hidden_size="32"), BASE, ("hidden_size is '32' and must be",)),
    "a layer too few": (
        edit("config.json", num_hidden_layers=1),
        BASE,
        ("says 1 layers and the weights hold 2",),
    ),
    "another width": (edit("config.json", intermediate_size=63), BASE, ("model", "belong together")),
    "an encoder": (
        edit("config.json", architectures=["BertForMaskedLM"], model_type="bert"),
        BASE,
        ("BertForMaskedLM is not a model that continues text", "ForCausalLM"),
    ),
    "quantised": (
        edit("config.json", quantization_config={"bits": 4}),
        BASE,
        ("the weights are quantised", "GGUF"),
    ),
    "a part outside": (
        lambda folder: (
            (folder / "model.safetensors").rename(folder / "x.safetensors")
            and write("model.safetensors.index.json", '{"weight_map": {"a": "../x.safetensors"}}')(folder)
        ),
        BASE,
        ("names '../x.safetensors', which is not a file of this folder",),
    ),
    "a part missing": (
        lambda folder: (
            (folder / "model.safetensors").unlink()
            or write("model.safetensors.index.json", '{"weight_map": {"a": "x.safetensors"}}')(folder)
        ),
        BASE,
        ("x.safetensors: this part of the weights is missing", "Copy it"),
    ),
    "a header that lies": (
        write("model.safetensors", (1 << 40).to_bytes(8, "little") + b"{}"),
        BASE,
        ("model.safetensors: damaged or cut short",),
    ),
    "weights of NaN": (weights(q_proj=lambda t: t * float("nan")), BASE, ("holds NaN or infinity", "Copy")),
    "weights of another shape": (weights(q_proj=lambda t: t[:8]), BASE, ("model",)),
    "an empty tokenizer": (
        write("tokenizer.json", "{}"),
        BASE,
        ("its tokenizer cannot be read", "Copy the tok"),
    ),
    "a tokenizer that panics": (panic, BASE, ("tokenizer",)),
    "no end of text": (
        edit("tokenizer_config.json", eos_token=...),
        BASE,
        ("no end-of-text token is named", "Add eos_token"),
    ),
    "a template that is none": (template("{% for %}"), BASE, ("the chat template cannot be used",)),
    "a template that reaches out": (
        template("{{ ''.__class__.__mro__[1].__subclasses__() }}"),
        BASE,
        ("the chat template cannot be used",),
    ),
    "a template that refuses": (
        template("{{ raise_exception('no') }}"),
        BASE,
        ("the chat template refuses",),
    ),
    "a template that never ends": (
        template("{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}"),
        BASE,
        ("the chat template cannot be used",),
    ),
    "a template that fills the memory": (
        template("{{ 'a' * 10 ** 9 }}"),
        BASE,
        ("the chat template cannot be",),
    ),
    "a template of 1 MB": (template("x" * (1 << 20)), BASE, ("the chat template has 1,048,576 bytes",)),
    "a link out": (link("tokenizer.json", "/etc/passwd"), BASE, ("is a link to a file outside the folder",)),
    "a card that is a pipe": (fifo("README.md"), 0, ()),
    "a source that is a list": (write("source.json", "[]"), 0, ()),
    "a source cut short": (write("source.json", '{"license": '), 0, ()),
    "no permission for the config": (closed("config.json"), BASE, ("cannot be read", "permissions")),
    "no permission for the folder": (closed("."), BASE, ("model",)),
}


def sealed(change: Change) -> Change:
    """A change by somebody who writes the manifest too."""
    return lambda folder: [change(folder), fuzz_readers.seal(folder)]


OURS = "Copy the adapter again from where it was made"
ADAPTERS: dict[str, tuple[Change, int, tuple[str, ...]]] = {
    "as it is": (lambda folder: None, 0, ()),
    "no folder": (shutil.rmtree, BASE, ("there is no such adapter folder", "Check the path")),
    "no permission": (closed("."), BASE, ("the folder cannot be read: Permission denied", "permissions")),
    "no permission for its config": (closed("adapter_config.json"), BASE, ("Permission denied", "Copy")),
    "scaled in another way": (edit("adapter_config.json", use_rslora=True), BASE, ("was changed", OURS)),
    "another alpha": (
        edit("adapter_config.json", lora_alpha=8),
        BASE,
        ("adapter_config.json is missing or", OURS),
    ),
    "rung.json deleted": (gone("rung.json"), BASE, ("rung.json is missing", OURS)),
    "rung.json a pipe": (fifo("rung.json"), BASE, ("rung.json is missing", OURS)),
    "the manifest deleted": (gone("manifest.json"), BASE, ("manifest.json is missing", OURS)),
    "the manifest cut short": (write("manifest.json", '{"files": '), BASE, ("manifest.json cannot be read",)),
    "a file added": (write("adapter_model.bin", "x"), BASE, ("adapter_model.bin was added", "Delete it")),
    "one byte of the weights": (
        lambda folder: write(
            "adapter_model.safetensors", (folder / "adapter_model.safetensors").read_bytes()[:-1] + b"\x01"
        )(folder),
        BASE,
        ("adapter_model.safetensors is missing or was changed", OURS),
    ),
    "another method": (
        sealed(edit("adapter_config.json", peft_type="LOKR")),
        BASE,
        ("peft_type is 'LOKR'", "Save it again with PEFT"),
    ),
    "a pattern that never ends": (
        sealed(edit("adapter_config.json", target_modules="([a-z._0-9]+)+!")),
        BASE,
        ("must be a list of plain layer names", "Save it again"),
    ),
    "another base": (
        sealed(edit("rung.json", base_fingerprint="f00d", base="gpt")),
        BASE,
        ("for another base: gpt",),
    ),
    "another template": (
        sealed(edit("rung.json", template_fingerprint="x")),
        BASE,
        ("another chat template",),
    ),
    "alpha without end": (
        sealed(write("adapter_config.json", '{"peft_type": "LORA", "r": 2, "lora_alpha": Infinity}')),
        BASE,
        ("it holds Infinity",),
    ),
}

RUNS: dict[str, tuple[Change, tuple[str, ...], int, tuple[str, ...]]] = {
    "a claim of another kind": (
        write("claim.json", "[]"),
        ("climb",),
        RESUME,
        ("claim.json: the file has no 'fingerprint'", "Delete the file"),
    ),
    "a claim without what was asked": (
        edit("claim.json", asked=...),
        ("climb",),
        RESUME,
        ("claim.json: the file has no 'asked'",),
    ),
    "a lock of 100,000 levels": (write("lock.json", "[" * 100_000), ("climb",), 0, ()),
    "a lock that is a pipe": (fifo("lock.json"), ("climb",), 0, ()),
    "events that are a pipe": (
        lambda folder: [gone("results/words.json")(folder), fifo("events.jsonl")(folder)],
        ("climb",),
        RESUME,
        ("events.jsonl: cannot write: a pipe or a device", "Delete it"),
    ),
    "a plan that is a pipe": (fifo("plan.json"), ("climb",), RESUME, ("plan.json: cannot be read: a pipe",)),
    "answers that are a pipe": (
        fifo("predictions/words.jsonl"),
        ("climb",),
        RESUME,
        ("words.jsonl: cannot be read: a pipe",),
    ),
    "a result of NaN": (
        lambda folder: edit("results/words.json", order=float("nan"))(folder),
        ("climb",),
        RESUME,
        ("words.json: not a JSON file: it holds NaN", "Delete the file"),
    ),
    "a plan of another number format": (edit("plan.json", precision="fp32"), ("climb",), 0, ()),
    "answers without their grades": (
        lambda folder: write(
            "predictions/words.jsonl",
            re.sub(
                rb'"values": ?{[^}]*}', b'"values": {}', (folder / "predictions/words.jsonl").read_bytes()
            ),
        )(folder),
        ("climb",),
        RESUME,
        ("words.jsonl: the grades of its answers are damaged", "Delete results/words.json"),
    ),
    "a result with a key twice": (
        lambda folder: write(
            "results/words.json", b'{"rung": "x",' + (folder / "results/words.json").read_bytes()[1:]
        )(folder),
        ("report",),
        RESUME,
        ("words.json: not a JSON file: it has the key 'rung' twice",),
    ),
    "answers that were changed": (
        lambda folder: write(
            "answer/words/responder.json", (folder / "answer/words/responder.json").read_bytes() + b" "
        )(folder),
        ("predict",),
        RESUME,
        ("responder.json is missing or was changed",),
    ),
    "answers of another kind": (
        lambda folder: [
            edit("answer/words/responder.json", labels=["a"])(folder),
            fuzz_readers.seal(folder / "answer/words"),
        ],
        ("predict",),
        RESUME,
        ("do not belong together", "Climb again"),
    ),
}


@pytest.fixture(autouse=True)
def _surroundings(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))


def said_by(arguments: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says: all of stdout where it succeeds, the one paragraph on stderr where it does not."""
    with rights.of_others():
        assert cli.run(arguments) == code, capsys.readouterr()
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert all(letter.isprintable() or letter == "\n" for letter in out + err)
    if code == 0:
        return out
    *_, message = err.rstrip("\n").split("\n")
    assert message.startswith("rung: ")
    assert err.count("rung: ") == 1
    assert len(message) < LONGEST
    assert message[-1] in ".?"
    assert out == ""
    return message


@pytest.mark.parametrize("name", [*ROWS, *SETTINGS])
def test_rows_and_settings(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = (ROWS | SETTINGS)[name]
    letters.write_csv(tmp_path / "good.csv", 60)
    for file, content in case.files.items():
        (tmp_path / file).write_bytes(content)
    case.change(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    message = said_by(case.arguments, case.code, capsys)
    for part in case.said:
        assert part in message
    assert "hf_secret" not in message
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", MODELS)
def test_model_folders(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    change, code, said = MODELS[name]
    monkeypatch.setattr(sys, "stdin", io.StringIO("a" * 32 + "c\n"))
    fuzz_readers.write(tmp_path / "model", fuzz_readers.model())
    change(tmp_path / "model")
    try:
        message = said_by(("chat", "--base", "model", "--max-new-tokens", "1"), code, capsys)
    finally:
        (tmp_path / "model").chmod(0o700)
    for part in said:
        assert part in message


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapter_folders(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, code, said = ADAPTERS[name]
    fuzz_readers.write(tmp_path / "adapter", fuzz_readers.adapter())
    change(tmp_path / "adapter")
    try:
        message = said_by(("chat", "--base", "tiny", "--adapter", "adapter"), code, capsys)
    finally:
        if (tmp_path / "adapter").exists():
            (tmp_path / "adapter").chmod(0o700)
    for part in said:
        assert part in message


@pytest.mark.parametrize("name", RUNS)
def test_run_folders(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, verb, code, said = RUNS[name]
    fuzz_readers.write(tmp_path, fuzz_readers.cheap_run())
    change(tmp_path / "run")
    arguments = {
        "climb": ("climb", "rows.csv", "--output", "run", *letters.flags(**fuzz_readers.CHEAP_RUN)),
        "report": ("report", "run"),
        "predict": ("predict", "rows.csv", "--run", "run", "--rung", "words"),
    }
    message = said_by(arguments[verb[0]], code, capsys)
    for part in said:
        assert part in message
