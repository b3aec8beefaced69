"""Whatever is wrong with what a user gives: one paragraph, the right exit code, nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import letters
import rights
from rung import cli, run_folder, storage
from rung.bases.tiny import save_tiny
from rung.ladder.climb import Climbed

Arguments = list[str]
Build = Callable[[Path], Arguments]  # makes the files in a folder, returns what follows `rung climb`


@pytest.fixture(autouse=True)
def _surroundings(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    yield
    storage.fault = None


def good(folder: Path, *more: str) -> Arguments:
    """A file nothing is wrong with."""
    return [str(letters.write_csv(folder / "good.csv", 60)), *more]


def turns(*roles: str) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": f"text {i}"} for i, role in enumerate(roles)]}


def pairs(count: int = 30) -> list[dict[str, str]]:
    return [{"text": text, "label": label} for text, label in letters.rows(count)]


def jsonl(values: list[Any]) -> Build:
    return lambda folder: [str(letters.write_jsonl(folder / "rows.jsonl", values))]


def content(raw: bytes, name: str = "rows.jsonl") -> Build:
    def build(folder: Path) -> Arguments:
        (folder / name).write_bytes(raw)
        return [name]

    return build


def pipe(*flags: str) -> Build:
    def build(folder: Path) -> Arguments:
        os.mkfifo(folder / "pipe")
        return good(folder, *flags, "pipe") if flags else ["pipe"]

    return build


def parquet(rows: int) -> Build:
    """Equal rows, which take a few kB."""

    def build(folder: Path) -> Arguments:
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet")
        column = pyarrow.DictionaryArray.from_arrays(pyarrow.nulls(rows, pyarrow.int8()), ["a"])
        pyarrow.parquet.write_table(pyarrow.table({"text": column, "label": column}), folder / "rows.parquet")
        return ["rows.parquet"]

    return build


def flag(*flags: str) -> Build:
    return lambda folder: good(folder, *flags)


def config(text: str) -> Build:
    def build(folder: Path) -> Arguments:
        (folder / "c.yaml").write_text(text, encoding="utf-8")
        return good(folder, "--config", "c.yaml")

    return build


def base_folder(change: Callable[[Path], Any]) -> Build:
    """A model folder with something wrong, given as --base."""

    def build(folder: Path) -> Arguments:
        change(save_tiny(folder / "model"))
        return good(folder, "--base", "model")

    return build


def edit_json(name: str, **changes: Any) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        value = json.loads((folder / name).read_text()) | changes
        (folder / name).write_text(json.dumps(value))

    return act


def number_of_5000_digits(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ " + "9" * 5000 + " }}")


def key_twice(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text('{"hidden_size": 64,' + text[1:])


def template_outside(folder: Path) -> None:
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "x.jinja").symlink_to("/etc/passwd")


def unreadable(folder: Path) -> Arguments:
    arguments = good(folder)
    Path(arguments[0]).chmod(0)
    return arguments


def other_files(folder: Path) -> Arguments:
    (folder / "run").mkdir()
    (folder / "run" / "thesis.tex").write_text("x")
    return good(folder)


def below_a_file(folder: Path) -> Arguments:
    (folder / "file").write_text("x")
    return good(folder, "--output", "file/run")


def with_line(number: int, line: str) -> Build:
    lines = [json.dumps(row) for row in pairs()]
    lines[number - 1] = line
    return content("\n".join(lines).encode())


def with_row(number: int, row: Any) -> Build:
    values: list[Any] = pairs()
    values[number - 1] = row
    return jsonl(values)


def held_out(raw: bytes) -> Build:
    def build(folder: Path) -> Arguments:
        (folder / "test.csv").write_bytes(raw)
        return good(folder, "--test", "test.csv")

    return build


DATA, USAGE, BASE, RESOURCES, RESUME = 3, 2, 4, 6, 7
CASES: dict[str, tuple[Build, int, tuple[str, ...]]] = {
    # the file
    "missing": (lambda folder: ["nowhere.csv"], DATA, ("nowhere.csv: no such file", "Check the path")),
    "empty": (content(b""), DATA, ("rows.jsonl: is empty", "Put one example per line")),
    "blank": (content(b"\n \n\n"), DATA, ("rows.jsonl: holds only blank lines",)),
    "header only": (content(b"text,label\n", "rows.csv"), DATA, ("rows.csv: holds no rows",)),
    "unreadable": (unreadable, DATA, ("good.csv: cannot be read", "permissions")),
    "a folder": (lambda folder: [str(folder)], DATA, ("holds no document that can be read",)),
    "a path with NUL": (lambda folder: ["a\0b.csv"], USAGE, ("'FILE", "null byte")),
    "a pipe": (pipe(), DATA, ("pipe: is a pipe or a device, not a file", "Write the rows to a file")),
    "a pipe as the test file": (pipe("--test"), DATA, ("pipe: is a pipe or a device",)),
    "a device": (lambda folder: ["/dev/zero"], DATA, ("/dev/zero: is a pipe or a device",)),
    "many columns": (
        content(b",".join(b"c%d" % i for i in range(5000)) + b"\n" + b"," * 4999, "rows.csv"),
        DATA,
        ("rows.csv: has 5,000 columns; 1,000 is the most",),
    ),
    "many keys": (
        jsonl([{"text": "a", "label": "b", f"k{i}": 1} for i in range(1500)]),
        DATA,
        ("rows.jsonl: has rows with 1,502 different keys; 1,000 is the most",),
    ),
    "many rows in few bytes": (parquet(10_000_000), DATA, ("rows.parquet: holds more than 3,000,000 rows",)),
    "binary": (content(b"\x00\x01\x02\x03" * 50), DATA, ("a binary file", "Give rows as CSV")),
    "a zip": (content(b"PK\x03\x04abc", "rows.csv"), DATA, ("a zip archive that is damaged",)),
    "a pickle": (content(b"\x80\x04\x95abc"), DATA, ("a pickle, which rung never opens",)),
    "not UTF-8": (
        content('{"text": "текст", "label": "a"}\n'.encode("cp1251")),
        DATA,
        ("line 1 is not UTF-8 (byte 0xf2", "It could be", "Save it as UTF-8: iconv -f "),
    ),
    "damaged UTF-8": (
        content('{"text": "naïve café", "label": "a"}\n'.encode() + b'{"text": "x\xff", "label": "b"}\n'),
        DATA,
        ("line 2 is not UTF-8 (byte 0xff", "this byte is damage", "iconv -c"),
    ),
    "UTF-16 cut short": (
        content("text,label\na,b\n".encode("utf-16")[:-1]),
        DATA,
        ("begins as UTF-16 text",),
    ),
    # its rows
    "a broken line": (with_line(17, '{"text": "x", "label": '), DATA, ("rows.jsonl: line 17 ",)),
    "two broken lines": (with_line(3, "{]}\n{]}"), DATA, ("each of lines 3, 4 is not valid JSON",)),
    "a line of another kind": (with_line(5, "[1, 2]"), DATA, ("line 5 ", "object")),
    "mixed formats": (
        with_row(9, turns("user", "assistant")),
        DATA,
        ("line 9 lacks 'label', 'text' (it has 'messages')", "the same keys"),
    ),
    "no known key": (
        jsonl(
            [
                {"left": f"{row['text']} in five words, number {i}", "right": f"no {i} of them, I am afraid"}
                for i, row in enumerate(pairs())
            ]
        ),
        DATA,
        ("has no column that is known to be the answer", "--prompt left --completion right"),
    ),
    "a key is missing": (with_row(4, {"text": "mns"}), DATA, ("line 4 lacks 'label'",)),
    "an unknown role": (
        jsonl([turns("user", "asistant") for _ in range(30)]),
        DATA,
        ("each of lines 1 to 5 and 25 more has the unknown role 'asistant'", "Did you mean 'assistant'?"),
    ),
    "no target": (jsonl([turns("user") for _ in range(30)]), DATA, ("no assistant turn", "Add the wanted")),
    "every target is empty": (
        jsonl([{**row, "label": " "} for row in pairs()]),
        DATA,
        ("has an empty 'label' in every row",),
    ),
    "all targets are the same": (
        jsonl([{**row, "label": "a"} for row in pairs()]),
        DATA,
        ("all 30 targets are the same: 'a'", "nothing to tell apart"),
    ),
    "too few rows": (jsonl(pairs(19)), DATA, ("19 rows are too few", "Give at least 20")),
    "too few prompts": (
        jsonl([{"text": "mnr", "label": label} for label in "ab" * 15]),
        DATA,
        ("1 different prompt to divide",),
    ),
    "a row longer than the context": (
        with_row(6, {"text": "m" * 2100, "label": "a"}),
        DATA,
        ("rows.jsonl: row 6 is longer than the base can read", "2048 fit", "--long-rows drop"),
    ),
    "a row longer than asked for": (flag("--max-length", "12"), DATA, ("longer than", "12 fit")),
    "an image": (
        with_row(2, {"text": [{"type": "image", "url": "x"}, {"type": "text", "text": "y"}], "label": "a"}),
        DATA,
        ("line 2 has a part of type 'image' in text", "rung reads text only"),
    ),
    "no test file": (flag("--test", "nowhere.csv"), DATA, ("nowhere.csv: no such file",)),
    "a test file of another sort": (
        held_out(b"one,two\n1,2\n"),
        DATA,
        ("test.csv: has no column that is known to be the answer to learn",),
    ),
    "a test file that is the train file": (
        flag("--test", "good.csv"),
        DATA,
        ("to divide into train, dev and test", "their prompt is in the test file"),
    ),
    # the base
    "no such base": (
        flag("--base", "tyny"),
        BASE,
        ("no base 'tyny'. Did you mean 'tiny'?", "a folder"),
    ),
    "a hub id without a network": (
        flag("--base", "someone/something"),
        BASE,
        ("someone/something is not on this machine, and HF_HUB_OFFLINE is set", "give a model folder"),
    ),
    "a named base that is not here": (
        flag("--base", "gemma-3-270m"),
        BASE,
        ("'gemma-3-270m' is not on this machine yet and HF_HUB_OFFLINE is set",),
    ),
    "an empty folder": (
        base_folder(lambda folder: [path.unlink() for path in folder.iterdir()]),
        BASE,
        ("model/config.json: no such file", "A base is a folder with"),
    ),
    "only a pickle": (
        base_folder(lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin")),
        BASE,
        ("pytorch_model.bin: the weights come only in a format that can run code", "Convert them"),
    ),
    "code of its own": (
        base_folder(edit_json("config.json", auto_map={"AutoModelForCausalLM": "model.Own"})),
        BASE,
        ("config.json: the key 'auto_map' asks for code from elsewhere", "rung runs no code"),
    ),
    "weights of another model": (
        base_folder(edit_json("config.json", num_hidden_layers=3)),
        BASE,
        ("says 3 layers and the weights hold 2",),
    ),
    "weights cut short": (
        base_folder(
            lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:999])
        ),
        BASE,
        ("model.safetensors: damaged or cut short", "Copy the file"),
    ),
    "no tokenizer": (
        base_folder(lambda folder: (folder / "tokenizer.json").unlink()),
        BASE,
        ("model: no tokenizer",),
    ),
    "an epsilon of NaN": (
        base_folder(edit_json("config.json", rms_norm_eps=float("nan"))),
        BASE,
        ("config.json: rms_norm_eps is nan, which is not a number",),
    ),
    "an epsilon below zero": (
        base_folder(edit_json("config.json", rms_norm_eps=-1)),
        BASE,
        ("config.json: rms_norm_eps is -1 and must be a number above 0",),
    ),
    "a period of zero": (
        base_folder(edit_json("config.json", rope_parameters={"rope_type": "default", "rope_theta": 0})),
        BASE,
        ("config.json: rope_theta is 0 and must be",),
    ),
    "a size by truth": (
        base_folder(edit_json("config.json", num_attention_heads=True)),
        BASE,
        ("num_attention_heads is True and must be a whole number",),
    ),
    "a model key twice": (base_folder(key_twice), BASE, ("config.json: has the key 'hidden_size' twice",)),
    "30 million words": (
        base_folder(edit_json("config.json", vocab_size=3 * 10**7)),
        BASE,
        ("config.json: asks for", "the files hold", "embed_tokens.weight with the shape (30000000, 32)"),
    ),
    "a link in a circle": (
        base_folder(lambda folder: (folder / "notes").symlink_to("notes")),
        BASE,
        ("notes: is a link to a file that is not there",),
    ),
    "a template outside": (base_folder(template_outside), BASE, ("is a link to a file outside the folder",)),
    "a template with a number of 5,000 digits": (
        base_folder(number_of_5000_digits),
        BASE,
        ("the chat template cannot be used",),
    ),
    "a context in words": (
        base_folder(edit_json("tokenizer_config.json", model_max_length="x")),
        BASE,
        ("tokenizer_config.json: model_max_length is 'x' and must be a number",),
    ),
    "a pipe for a template": (
        base_folder(lambda f: (f / "chat_template.jinja").unlink() or os.mkfifo(f / "chat_template.jinja")),
        BASE,
        ("chat_template.jinja: is not a plain file",),
    ),
    "an adapter as a base": (
        base_folder(lambda folder: (folder / "adapter_config.json").write_text("{}")),
        BASE,
        ("this folder holds an adapter, not a base",),
    ),
    # the settings
    "no file": (lambda folder: [], USAGE, ("Missing argument 'FILE", "rung climb --help")),
    "an unknown flag": (flag("--bugdet", "3m"), USAGE, ("No such option: --bugdet", "--budget")),
    "a flag without a value": (flag("--budget"), USAGE, ("--budget", "requires an argument")),
    "an unknown rung": (
        flag("--rungs", "zero-shot,lorra"),
        USAGE,
        ("rung 'lorra'. Did you mean 'lora'?",),
    ),
    "no rungs": (flag("--rungs", ","), USAGE, ("setting 'rungs'",)),
    "an unknown format": (flag("--format", "csvv"), USAGE, ("unknown format 'csvv'",)),
    "an unknown task": (
        flag("--task", "poetry"),
        USAGE,
        ("unknown task 'poetry'", "generation"),
    ),
    "a time that is none": (
        flag("--budget", "soon"),
        USAGE,
        ("'budget' cannot be 'soon'", "15m or 1h30m"),
    ),
    "no time": (flag("--budget", "0"), USAGE, ("setting 'budget' cannot be '0'", "greater than 0")),
    "a number that is none": (
        flag("--rank", "many"),
        USAGE,
        ("'rank' cannot be 'many'", "LoRA rank"),
    ),
    "a number below zero": (flag("--seed", "-1"), USAGE, ("setting 'seed' cannot be '-1'",)),
    "not finite": (flag("--learning-rate", "nan"), USAGE, ("setting 'learning_rate' cannot be 'nan'",)),
    "no shots": (flag("--shots", "0,2"), USAGE, ("setting 'shots' cannot be '0,2'",)),
    "more threads than cores": (flag("--threads", "1024"), USAGE, ("1024 threads on", "Leave --threads out")),
    "a layer the base lacks": (
        flag("--targets", "q_prj"),
        USAGE,
        ("'q_prj'. Did you mean 'q_proj'?",),
    ),
    "an unknown key": (
        config("base: tiny\nbugdet: 3m\n"),
        USAGE,
        ("c.yaml: unknown setting 'bugdet'. Did you mean 'budget'?", "--help"),
    ),
    "a value of another type": (config("rank: [1]\n"), USAGE, ("c.yaml: setting 'rank' cannot be [1]",)),
    "a switch that is none": (config("rslora: perhaps\n"), USAGE, ("c.yaml: setting 'rslora'",)),
    "anchors": (
        config("base: &b tiny\ntask: *b\n"),
        USAGE,
        ("c.yaml: the config uses YAML anchors",),
    ),
    "a bomb": (config("a: &a [x,x]\nb: [*a,*a]\n"), USAGE, ("uses YAML anchors", "plain keys")),
    "code in YAML": (
        config("base: !!python/object/apply:os.system [touch owned]\n"),
        USAGE,
        ("c.yaml: the config is not YAML",),
    ),
    "not YAML": (config("base: [tiny\n"), USAGE, ("c.yaml: the config is not YAML",)),
    "not a table": (config("- tiny\n"), USAGE, ("c.yaml: the config must be",)),
    "a key twice in YAML": (config("rank: 8\nrank: 9\n"), USAGE, ("c.yaml: has the key 'rank' twice",)),
    "a boolean as a number": (config("rank: yes\n"), USAGE, ("'rank' cannot be True", "put quotes")),
    "a day that is none": (config("task: 2026-13-45\n"), USAGE, ("c.yaml: the config is not YAML",)),
    "a number of many digits": (config("rank: " + "9" * 5000), USAGE, ("c.yaml: the config is not YAML",)),
    "lists in lists": (config("rank: " + "[" * 5000), USAGE, ("c.yaml: the config is nested too deeply",)),
    "a pipe as a config": (pipe("--config"), USAGE, ("pipe: cannot read the config: a pipe or a device",)),
    "a device as a config": (flag("--config", "/dev/zero"), USAGE, ("cannot read the config: a pipe or",)),
    "no config": (flag("--config", "nowhere.yaml"), USAGE, ("nowhere.yaml: cannot read the config",)),
    # the output and the machine
    "a budget too small for any rung": (
        flag("--budget", "0.01s"),
        RESOURCES,
        ("the budget of 0.01 s is too small for any rung", "Give a larger --budget"),
    ),
    "other files in the output": (
        other_files,
        RESUME,
        ("run: the output folder holds other", "--output"),
    ),
    "an output below a file": (below_a_file, RESOURCES, ("cannot write: Not a directory", "--output")),
}


def snapshot(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def paragraph(err: str) -> str:
    """The one paragraph on stderr that begins with "rung:"; anything after it is too much."""
    *_, last = err.rstrip("\n").split("\n")
    assert last.startswith("rung: ")
    assert err.count("rung: ") == 1
    return last


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build, code, said = CASES[name]
    arguments = build(tmp_path)
    before = snapshot(tmp_path)
    settings = {"base": "tiny", "threads": 1, "output": "run", "rungs": "zero-shot,lora", "precision": "fp32"}
    given = set(arguments)
    if "--config" in given and "--base" not in given:
        settings.pop("base")  # the file says it, or the error comes first
    defaults = letters.flags(**{k: v for k, v in settings.items() if f"--{k}" not in given})
    with rights.of_others():
        assert cli.run(["climb", *defaults, *arguments]) == code
    out, err = capsys.readouterr()
    message = paragraph(err)
    for part in said:
        assert part in message
    assert message[-1] in ".?"
    assert out == ""
    assert "Traceback" not in err
    assert snapshot(tmp_path) == before


def test_the_output_folder_of_another_run_is_left_alone(
    letters_csv: Path, climbed: Climbed, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in climbed.folder.rglob("*")}
    settings = letters.FOUR | {"seed": 7, "output": climbed.folder}
    assert cli.run(["climb", str(letters_csv), *letters.flags(**settings)]) == RESUME
    message = paragraph(capsys.readouterr().err)
    assert "the output folder belongs to another run" in message
    assert "other values of: seed." in message
    assert str(climbed.folder) in message
    assert {path: path.stat().st_mtime_ns for path in climbed.folder.rglob("*")} == before


@pytest.mark.parametrize("operation", ["mkdir", "open", "write", "fsync", "rename", "append"])
def test_a_full_disk(operation: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["climb", *good(tmp_path), "--output", "run"]
    arguments += letters.flags(**letters.FAST | {"rungs": "zero-shot"})

    def fault(name: str, path: Path) -> None:
        if name == operation:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    storage.fault = fault
    assert cli.run(arguments) == RESOURCES
    message = paragraph(capsys.readouterr().err)
    assert "cannot write: No space left on device" in message
    assert "Make room or choose another --output" in message
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != tmp_path]
    assert not [path for path in left if path.suffix == ".tmp" or path.name == run_folder.LOCK]
    for path in left:
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".jsonl":
            storage.read_jsonl(path)
    storage.fault = None
    assert cli.run(arguments) == 0


@pytest.mark.parametrize("verb", ["climb", "tune", "check", "evaluate"])
def test_every_verb_that_reads_a_file_says_the_same(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([verb, "nowhere.csv", "--base", "tiny"]) == DATA
    assert paragraph(capsys.readouterr().err) == "rung: nowhere.csv: no such file. Check the path."
    assert cli.run([verb, "nowhere.csv", "--base", "tiny", "--json"]) == DATA
    out, _ = capsys.readouterr()
    assert json.loads(out) == {"error": "nowhere.csv: no such file. Check the path.", "exit_code": DATA}
    assert snapshot(tmp_path) == set()


def test_a_damaged_result_is_named(
    climbed: Climbed, letters_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(climbed.folder, tmp_path / "run")
    (run / "results" / "lora.json").write_text('{"rung": "lora"')
    arguments = ["climb", str(letters_csv), *letters.flags(**letters.FOUR | {"output": run})]
    assert cli.run(arguments) == RESUME
    message = paragraph(capsys.readouterr().err)
    assert message.startswith("rung: lora.json: not a JSON file")
    assert message.endswith("Delete the file and run the same command again.")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "[" * 100_000], ids=["empty", "cut", "list", "bare", "deep"]
)
@pytest.mark.parametrize("name", ["claim.json", "plan.json", "run.json", "results/lora.json"])
def test_a_damaged_file_of_a_run_is_named(
    climbed: Climbed,
    letters_csv: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str,
) -> None:
    run = shutil.copytree(climbed.folder, tmp_path / "run")
    (run / name).write_text(text)
    arguments = ["climb", str(letters_csv), *letters.flags(**letters.FOUR | {"output": run})]
    assert cli.run(arguments) == RESUME
    assert paragraph(capsys.readouterr().err).startswith(f"rung: {Path(name).name}: ")


def test_memory_that_is_not_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("rung.ladder.understood.read_examples", fail)
    assert cli.run(["climb", *good(tmp_path), "--output", "run"]) == RESOURCES
    assert "there is not enough memory" in paragraph(capsys.readouterr().err)
