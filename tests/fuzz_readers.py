"""Every reader of rung, with small folders that it can read: what `fuzz` damages."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import letters
from rung import storage
from rung.config import load_settings
from rung.data.formats import read_examples

Files = Mapping[str, bytes]  # path in a folder -> content


@dataclass(frozen=True)
class Reader:
    """Something that reads a folder of which one file is damaged."""

    read: Callable[[Path], object]  # of the folder
    folders: Callable[[], list[Files]]  # that can be read
    damages: tuple[str, ...]  # patterns of the files that are damaged
    share: int  # of all inputs, in about a ten-thousandth; what is quick has more
    sealed: str = ""  # a folder in the folder, whose manifest is written again after the damage
    writes: bool = False  # whether `read` changes the folder, so that each input needs a new one

    def damaged_in(self, files: Files) -> list[str]:
        """The files that are damaged."""
        return [name for name in files if any(fnmatch(name, pattern) for pattern in self.damages)]


def _files(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def write(folder: Path, files: Files) -> None:
    """Put files into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def seal(folder: Path) -> None:
    """Write the manifest of a folder again."""
    listed = {
        name: {"bytes": len(content), "sha256": storage.sha256_bytes(content)}
        for name, content in _files(folder).items()
        if name != storage.MANIFEST
    }
    (folder / storage.MANIFEST).write_text(json.dumps({"schema": 1, "written": "", "files": listed}))


# --- data -------------------------------------------------------------------------------------------


def _rows() -> list[dict[str, Any]]:
    return [
        {"text": f'message {i}, "quoted" é', "label": ("news", "sport")[i % 2], "n": i} for i in range(24)
    ]


def _tables() -> list[bytes]:
    rows = [(f'"message {i}, é"', ("news", "sport")[i % 2]) for i in range(24)]
    plain = ["\n".join(mark.join(row) for row in [("text", "label"), *rows]).encode() for mark in ",;\t|"]
    return [*plain, gzip.compress(plain[0]), bz2.compress(plain[0]), lzma.compress(plain[0])]


def _lines() -> list[bytes]:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    chats = [{"messages": [*turns, {"role": "user", "content": str(i)}, turns[1]]} for i in range(6)]
    spans = [{"text": f"Ada {i}", "entities": [{"start": 0, "end": 3, "label": "PER"}]} for i in range(6)]
    pairs = [{"instruction": f"say {i}", "input": "x" * (i % 2), "output": str(i)} for i in range(6)]
    choices = [{"prompt": f"{i}?", "chosen": "yes", "rejected": "no"} for i in range(6)]
    every = (_rows(), chats, spans, pairs, choices)
    return ["\n".join(map(json.dumps, rows)).encode() for rows in every]


def _documents() -> list[bytes]:
    columns = {name: [row[name] for row in _rows()] for name in ("text", "label")}
    squad = {"paragraphs": [{"context": "Ada", "qas": [{"question": "Who?", "answers": [{"text": "Ada"}]}]}]}
    every = (_rows(), {"data": _rows()}, columns, {"data": [squad] * 3}, [["text", "label"], ["a", "b"]] * 3)
    return [json.dumps(value).encode() for value in every]


def _texts() -> list[bytes]:
    conll = "Ada NN B-PER\nLove NN I-PER\nleft VB O\n\nShe PR O\nsaw VB O\nHull NN B-LOC\n"
    rasa = 'version: "3.1"\nnlu:\n- intent: greet\n  examples: |\n    - hi [Ada](name)\n    - "good day"\n'
    markdown = "## intent:greet\n- hi [Ada](name)\n- ho\n\n## intent:bye\n- bye\n"
    fast = "__label__x a b\n__label__y , c\n__label__x d\n"
    return [text.encode() for text in (conll, rasa + rasa[24:].replace("greet", "bye"), markdown, fast)]


def _parquet() -> list[bytes]:
    import pyarrow
    import pyarrow.parquet

    table, found = pyarrow.Table.from_pylist([{**row, "list": [row["n"]] * 2} for row in _rows()]), []
    for packed in ("snappy", "none", "zstd"):
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(table, buffer, compression=packed, use_dictionary=packed != "none")
        found.append(buffer.getvalue())
    return found


def _arrow() -> list[bytes]:
    import pyarrow

    table, found = pyarrow.Table.from_pylist(_rows()), []
    coded = table.set_column(1, "label", table["label"].dictionary_encode())
    for make in (pyarrow.ipc.new_file, pyarrow.ipc.new_stream):
        buffer = io.BytesIO()
        with make(buffer, coded.schema) as writer:
            writer.write_table(coded)
        found.append(buffer.getvalue())
    return found


def _excel() -> list[bytes]:
    import openpyxl

    book, buffer = openpyxl.Workbook(), io.BytesIO()
    for cells in [["text", "label", "n"], *([*row.values()] for row in _rows())]:
        book.active.append(cells)
    book.save(buffer)
    return [buffer.getvalue()]


def _data(name: str, contents: Callable[[], list[bytes]], share: int) -> Reader:
    """Of a file of examples."""
    return Reader(
        lambda folder: read_examples(folder / name),
        lambda: [{name: content} for content in contents()],
        (name,),
        share,
    )


def _new_rows(folder: Path) -> object:
    from rung.data.new_rows import Asker
    from rung.data.parts import Reading
    from rung.data.sources import source_of

    (path,) = folder.iterdir()
    source = source_of(path, Asker(Reading(parts={"prompt": ("text",)})))
    return sum(1 for _ in source.rows())


def _new_files() -> list[Files]:
    return [
        {"new.csv": _tables()[0]},
        {"new.jsonl": _lines()[0]},
        {"new.parquet": _parquet()[0]},
        {"new.txt": "a\nb\né\n".encode()},
    ]


# --- settings and templates -------------------------------------------------------------------------


def _configs() -> list[Files]:
    every = (
        b"base: tiny\nrank: 8\nshots: [2, 4]\nbudget: 15m\nlabel_names: {'0': 'no', '1': 'yes'}\n",
        b"learning-rate: 1e-4\nrslora: true\nroles:\n  assistant: [gpt, bot]\nprompt: a,b\nseed: 3\n",
        b"task: classification\nrungs: [zero-shot, lora]\n# both\noutput: 'runs/x'\nthreads: 1\n",
    )
    return [{"c.yaml": content} for content in every]


def _template(folder: Path) -> object:
    from rung.data.sandbox import Template

    source = (folder / "chat_template.jinja").read_bytes().decode(errors="replace")
    return Template(source).render([{"role": "user", "content": "hi"}], add_generation_prompt=True)


def _templates() -> list[Files]:
    every = (
        b"{% for m in messages %}{{ '<|' + m.role + '|>' + m['content'] | trim }}\n{% endfor %}",
        b"{%- if messages[0].role == 'system' -%}{% set s = messages[0].content %}{%- endif -%}"
        b"{% for m in messages %}{{ loop.index ~ m.content[:99] * 2 }}{% endfor %}{{ messages | tojson }}",
        b"{% macro turn(m, n=1) %}{{ m.role | upper }}{{ n }}{% endmacro %}{% set ns = namespace(i=0) %}"
        b"{% for m in messages if m.content %}{% set ns.i = ns.i + 1 %}{{ turn(m, ns.i) }}"
        b"{{ m.content.split('x') | join(', ') | replace('a', 'b') }}{% endfor %}",
    )
    return [{"chat_template.jinja": source} for source in every]


# --- models and adapters ----------------------------------------------------------------------------


@cache
def model() -> Files:
    """The files of a small base."""
    from rung.bases.tiny import save_tiny

    with tempfile.TemporaryDirectory() as folder:
        save_tiny(Path(folder))
        return _files(Path(folder))


def _gate(folder: Path) -> object:
    from rung.bases.gate import check_folder

    return check_folder(folder)


def _load(folder: Path) -> object:
    from rung.compute.load import load
    from rung.data.templates import Renderer

    return Renderer(load(str(folder)).tokenizer)


def _of_model(read: Callable[[Path], object], name: str, share: int) -> Reader:
    return Reader(read, lambda: [model()], (name,), share)


@cache
def adapter() -> Files:
    """The files of an adapter of `tiny` as rung writes them."""
    from rung.methods.adapter import Adapter
    from rung.methods.lora import LORA, Lora
    from rung.methods.lora_settings import LoraSettings
    from rung.methods.peft_format import files_of

    speaker = _speaker()
    about = {"base_fingerprint": speaker.base.fingerprint, "rung_version": "0", "base": "tiny"}
    about["template_fingerprint"] = speaker.renderer.fingerprint
    about["task"] = {"kind": "generation", "why": "", "metrics": ["chrf"]}
    lora = Lora(speaker.base.model, LoraSettings(rank=2, alpha=4.0))
    with tempfile.TemporaryDirectory() as folder:
        storage.write_folder(Path(folder) / "a", files_of(Adapter.of(LORA, lora, about), "tiny"))
        lora.detach()
        return _files(Path(folder) / "a")


def _foreign_adapter() -> Files:
    """The same as PEFT writes them, with the tokenizer that people put next to them."""
    ours = {name: content for name, content in adapter().items() if name.startswith("adapter")}
    return ours | {name: model()[name] for name in ("tokenizer_config.json", "chat_template.jinja")}


@cache
def _speaker() -> Any:
    from rung.compute.load import tiny
    from rung.data.templates import Renderer
    from rung.evaluation.run import Speaker

    base = tiny()
    return Speaker(base, Renderer(base.tokenizer))


def _attach(folder: Path) -> object:
    from rung.ladder.adapter import attach

    lora, origin = attach(folder, _speaker())
    lora.detach()
    return origin


@cache
def _gguf() -> list[Files]:
    from small_gguf import write as write_gguf

    with tempfile.TemporaryDirectory() as folder:
        return [{"m.gguf": write_gguf(Path(folder) / "m.gguf").read_bytes()}]


def _small_gguf() -> list[Files]:
    """The tables alone, which is where damage is read."""
    import gguf
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        for key, value in {"block_count": 1, "context_length": 64, "embedding_length": 8}.items():
            writer.add_uint32(f"llama.{key}", value)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_token_list(["a", "b", "<s>"])
        writer.add_tensor("token_embd.weight", np.zeros((3, 8), np.float32))
        writer.add_tensor("blk.0.ffn_up.weight", np.zeros((16, 8), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return [{"m.gguf": path.read_bytes()}]


def _header(folder: Path) -> object:
    from rung.bases.gguf import read_header

    return read_header(folder / "m.gguf")


def _convert(folder: Path) -> object:
    from rung.bases.gguf import convert

    with tempfile.TemporaryDirectory() as made:
        return convert(folder / "m.gguf", Path(made) / "m")


# --- run folders ------------------------------------------------------------------------------------

_CHEAP = "constant,nearest,words"
_RUN = letters.FAST | {"rungs": f"{_CHEAP},zero-shot,few-shot,lora", "epochs": 1}


CHEAP_RUN = _RUN | {"rungs": _CHEAP}


def _climb(folder: Path, **settings: Any) -> object:
    from rung.ladder.climb import climb

    return climb(folder / "rows.csv", output=folder / "run", **settings)


@cache
def _run() -> Files:
    """A climb with its rows: rungs without a base, prompts and a tuned one."""
    with tempfile.TemporaryDirectory() as folder:
        letters.write_csv(Path(folder) / "rows.csv", 60)
        _climb(Path(folder), **_RUN)
        return _files(Path(folder))


@cache
def cheap_run() -> Files:
    """A climb of the rungs without a base, with its rows."""
    with tempfile.TemporaryDirectory() as folder:
        letters.write_csv(Path(folder) / "rows.csv", 60)
        _climb(Path(folder), **CHEAP_RUN)
        return _files(Path(folder))


def _continue(folder: Path) -> object:
    return _climb(folder, **CHEAP_RUN)


def _report(folder: Path) -> object:
    from rung.cli.climb import print_run

    with redirect_stdout(io.StringIO()):
        return print_run(folder / "run", folder / "report.html")


def _page(folder: Path) -> object:
    from rung.report.html import render
    from rung.report.view import load_view

    return render(load_view(folder / "run"))


def _task(folder: Path) -> object:
    from rung.ladder.task import from_disk
    from rung.ladder.watch import Silent

    return from_disk(folder / "run", Silent())


def _answer(*rungs: str) -> Callable[[Path], object]:
    """Answers a row with some rungs of the run."""

    def read(folder: Path) -> object:
        from rung.ladder.predictor import load

        return [load(folder / "run", rung).answer(["manrst"]) for rung in rungs]

    return read


def _answers(rung: str, share: int, sealed: bool = True) -> Reader:
    """Of what a rung left to answer with; `sealed`: with a manifest that is right."""
    place = f"run/answer/{rung}"
    return Reader(
        _answer(rung),
        lambda: [cheap_run() if rung in _CHEAP else _run()],
        (f"{place}/[!m]*",) if sealed else (f"{place}/*",),
        share,
        place if sealed else "",
    )


@cache
def _journals() -> list[Files]:
    """Rows, half of them answered; and a run that answers the others."""
    files, rows = dict(cheap_run()), "".join(f'{{"text": "{text}"}}\n' for text, _ in letters.rows(8, 1))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(folder, files | {"new.jsonl": rows.encode()})
        with _stopped_before_the_end():
            _predict(folder)
        return [_files(folder)]


def _predict(folder: Path) -> object:
    from rung.ladder.predict import predict_to_file
    from rung.ladder.predictor import load

    return predict_to_file(folder / "new.jsonl", load(folder / "run", "constant"), folder / "out.jsonl")


def _stopped_before_the_end() -> Any:
    """Stops `rung predict` when the answers are on disk and the output is not."""
    from contextlib import contextmanager

    @contextmanager
    def stopped() -> Iterator[None]:
        def fault(name: str, path: Path) -> None:
            if name == "write" and path.name.startswith(".out.jsonl.") and "partial" not in path.name:
                raise KeyboardInterrupt

        storage.fault = fault
        try:
            yield
        except KeyboardInterrupt:
            pass
        finally:
            storage.fault = None

    return stopped()


_RUN_FILES = ("run/*.json", "run/*.jsonl", "run/config.yaml", "run/results/*", "run/predictions/*")

READERS: dict[str, Reader] = {
    "csv": _data("rows.csv", _tables, 700),
    "jsonl": _data("rows.jsonl", _lines, 600),
    "json": _data("rows.json", _documents, 400),
    "corpora": _data("rows.txt", _texts, 800),
    "parquet": _data("rows.parquet", _parquet, 600),
    "arrow": _data("rows.arrow", _arrow, 500),
    "excel": _data("rows.xlsx", _excel, 80),
    "new rows": Reader(_new_rows, _new_files, ("new.*",), 700),
    "yaml": Reader(lambda folder: load_settings(folder / "c.yaml", {}), _configs, ("c.yaml",), 900),
    "template": Reader(_template, _templates, ("chat_template.jinja",), 600),
    "gguf header": Reader(_header, _small_gguf, ("m.gguf",), 1900),
    "gguf": Reader(_convert, _gguf, ("m.gguf",), 5),
    "model config": _of_model(_gate, "config.json", 60),
    "model": _of_model(_load, "*.json", 15),
    "model weights": _of_model(_load, "model.safetensors", 15),
    "tokenizer": _of_model(_load, "tokenizer.json", 15),
    "tokenizer config": _of_model(_load, "tokenizer_config.json", 15),
    "adapter config": Reader(_attach, lambda: [_foreign_adapter()], ("*.json", "*.jinja"), 300),
    "adapter weights": Reader(_attach, lambda: [_foreign_adapter()], ("*.safetensors",), 500),
    "own adapter": Reader(_attach, lambda: [adapter()], ("*",), 400),
    "own adapter, sealed": Reader(_attach, lambda: [adapter()], ("rung.json", "adapter*"), 300, "."),
    "climb": Reader(_continue, lambda: [cheap_run()], _RUN_FILES, 20, writes=True),
    "task": Reader(_task, lambda: [cheap_run()], _RUN_FILES, 30),
    "report": Reader(_report, lambda: [_run()], _RUN_FILES, 10),
    "page": Reader(_page, lambda: [_run()], _RUN_FILES, 1),
    "journal": Reader(_predict, _journals, ("out.jsonl.partial",), 80, writes=True),
    "predict": Reader(
        _answer("words"), lambda: [cheap_run()], ("run/*.json", "run/results/*", "run/answer/words/*"), 60
    ),
    "words": _answers("words", 60),
    "nearest": _answers("nearest", 60),
    "constant": _answers("constant", 200),
    "prompt": _answers("few-shot", 5),
    "tuned": _answers("lora", 5),
}


def use_cache(folder: Path) -> None:
    """Keep the user's cache out of it."""
    os.environ["RUNG_CACHE"] = str(folder)
