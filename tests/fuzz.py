"""Damaged files for every reader: each is read, or refused by an error of rung's own; else it is a finding.

    python tests/fuzz.py --seconds 60 --findings FOLDER --record benchmarks/results/fuzz.json

The edits are those that files suffer (bits, bytes, cuts, copies) and words that upset parsers. The seed fixes
every input of a reader, whichever other readers are tried.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rung import machine, storage
from rung.config import load_settings
from rung.data.formats import read_examples
from rung.errors import RungError

MOST_SECONDS, MOST_MEMORY = 10, 8 << 30
WORDS = (
    *(b"NaN", b"Infinity", b"-1", b"0", b"1e999", b"9" * 5000, b"null", b"true", b"yes", b"[]", b"{}", b'""'),
    *(
        b"[" * 2000,
        b'{"a":' * 500,
        b"\0",
        b"\x1b[2J",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\r",
        b"\n\n",
    ),
    *(
        b"!!int x",
        b"!!float x",
        b"!!binary x",
        b"2026-13-45",
        b"&a ",
        b"*a",
        b"<<: ",
        b"? ",
        b"- ",
        b"%",
        b"\t",
    ),
    *(b"../../etc/passwd", b"{{ 9 ** 9 ** 9 }}", b"{% for i in range(99999999) %}", b"{{ x.__class__ }}"),
    *(b",", b'"', b";", b"PAR1", b"GGUF", b"\x7f\xff\xff\xff\xff\xff\xff\xff", b"\xff" * 8),
)
Read = Callable[[Path], object]


@dataclass(frozen=True)
class Reader:
    """How a file is read, from a folder in which `name` was damaged."""

    name: str  # of the file
    seeds: Callable[[], list[bytes]]  # files that can be read
    read: Callable[[Path], object]  # of the file's path
    neighbours: Callable[[Path], object] = lambda folder: None  # makes the other files of the folder


@dataclass
class Tally:
    """What became of the inputs of one reader."""

    tried: int = 0
    read: int = 0
    refused: int = 0
    slowest: float = 0.0  # seconds
    findings: list[str] = field(default_factory=list)  # the kind of error, and the file that raises it


def damaged(content: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """`content` with one to four edits."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4))):
        place = chance.randrange(len(data) + 1)
        end = min(len(data), place + chance.choice((1, 4, 16, 200)))
        edit = chance.randrange(8)
        if edit == 0 and data:
            data[min(place, len(data) - 1)] ^= 1 << chance.randrange(8)
        elif edit == 1:
            data[place:end] = chance.randbytes(end - place)
        elif edit == 2:
            del data[place:end]
        elif edit == 3:
            del data[place:]
        elif edit == 4:
            data[place:place] = data[chance.randrange(len(data) + 1) :][: chance.choice((4, 64, 1000))]
        elif edit == 5:
            other = chance.choice(others)
            data[place:] = other[chance.randrange(len(other) + 1) :]
        elif edit == 6:
            data[place:end] = chance.choice(WORDS)
        else:
            data[place:place] = chance.choice(WORDS)
    return bytes(data)


def inputs(reader: str, seed: int) -> Iterator[bytes]:
    """Damaged files for `reader`, without end."""
    chance = random.Random(f"{reader} {seed}")
    seeds = READERS[reader].seeds()
    while True:
        yield damaged(chance.choice(seeds), seeds, chance)


def try_reader(reader: str, seed: int, go_on: Callable[[int], bool], findings: Path | None = None) -> Tally:
    """Read damaged files while `go_on(tried)`; what is found is kept in the folder `findings`."""
    tally, one = Tally(), READERS[reader]
    with tempfile.TemporaryDirectory() as place:
        one.neighbours(Path(place))
        path = Path(place) / one.name
        for content in inputs(reader, seed):
            if not go_on(tally.tried):
                return tally
            tally.tried += 1
            path.write_bytes(content)
            began = time.perf_counter()
            try:
                with limited():
                    one.read(path)
                tally.read += 1
            except RungError as error:
                tally.refused += 1
                if "\n" in str(error) or len(str(error)) > 4000:
                    _found(tally, f"a message of {len(str(error))} characters", content, reader, findings)
            except Exception as error:  # noqa: BLE001  that is what is looked for
                last = traceback.extract_tb(error.__traceback__)[-1]
                what = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
                _found(tally, what, content, reader, findings)
            tally.slowest = max(tally.slowest, time.perf_counter() - began)
    return tally


def _found(tally: Tally, what: str, content: bytes, reader: str, findings: Path | None) -> None:
    if findings is None:
        tally.findings.append(f"{what}: {content[:2000]!r}")
    elif not any(one.startswith(what) for one in tally.findings):
        findings.mkdir(parents=True, exist_ok=True)
        file = findings / f"{reader}-{storage.sha256_bytes(content)[:8]}"
        file.write_bytes(content)
        tally.findings.append(f"{what}: {file.name}")


@contextmanager
def limited() -> Iterator[None]:
    """Raises `TimeoutError` in a call that takes too long."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(MOST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# ---- the readers


def _rows() -> list[dict[str, Any]]:
    return [
        {"text": f'message {i}, "quoted" é', "label": ("news", "sport")[i % 2], "n": i} for i in range(24)
    ]


def _csv() -> list[bytes]:
    rows = [(f'"message {i}, é"', ("news", "sport")[i % 2]) for i in range(24)]
    return ["\n".join(mark.join(row) for row in [("text", "label"), *rows]).encode() for mark in ",;\t|"]


def _jsonl() -> list[bytes]:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    chats = [{"messages": [*turns, {"role": "user", "content": str(i)}, turns[1]]} for i in range(6)]
    return ["\n".join(map(json.dumps, rows)).encode() for rows in (_rows(), chats)]


def _json() -> list[bytes]:
    columns = {name: [row[name] for row in _rows()] for name in ("text", "label")}
    return [json.dumps(value).encode() for value in (_rows(), {"data": _rows()}, columns)]


def _parquet() -> list[bytes]:
    import pyarrow
    import pyarrow.parquet

    table, found = pyarrow.Table.from_pylist(_rows()), []
    for packed in ("snappy", "none"):
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(table, buffer, compression=packed)
        found.append(buffer.getvalue())
    return found


def _yaml() -> list[bytes]:
    return [
        b"base: tiny\nrank: 8\nshots: [2, 4]\nbudget: 15m\nlabel_names: {'0': 'no', '1': 'yes'}\n",
        b"learning-rate: 1e-4\nrslora: true\nroles:\n  assistant: [gpt, bot]\nprompt: a,b\nseed: 3\n",
    ]


@cache
def _model() -> dict[str, bytes]:
    """The files of a small base."""
    from rung.bases.tiny import save_tiny

    with tempfile.TemporaryDirectory() as folder:
        save_tiny(Path(folder))
        return {file.name: file.read_bytes() for file in Path(folder).iterdir() if file.is_file()}


def _model_but(name: str) -> Callable[[Path], object]:
    return lambda folder: [
        (folder / other).write_bytes(content) for other, content in _model().items() if other != name
    ]


def _gate(path: Path) -> object:
    from rung.bases.gate import check_folder

    return check_folder(path.parent)


def _load(path: Path) -> object:
    from rung.bases.load import load

    return load(str(path.parent))


def _template(path: Path) -> object:
    from rung.data.sandbox import Template

    source = path.read_bytes().decode(errors="replace")
    return Template(source).render([{"role": "user", "content": "hi"}], add_generation_prompt=True)


def _templates() -> list[bytes]:
    return [
        b"{% for m in messages %}{{ '<|' + m.role + '|>' + m['content'] | trim }}\n{% endfor %}",
        b"{%- if messages[0].role == 'system' -%}{% set s = messages[0].content %}{%- endif -%}"
        b"{% for m in messages %}{{ loop.index ~ m.content[:99] * 2 }}{% endfor %}{{ s | tojson }}",
    ]


@cache
def _adapter() -> dict[str, bytes]:
    """The files of an adapter of `tiny` as PEFT writes them."""
    from rung.bases.tiny import tiny
    from rung.methods.lora import Lora
    from rung.methods.method import MethodSettings
    from rung.methods.peft_bridge import adapter_files

    lora = Lora(tiny().model, MethodSettings(rank=2, alpha=4.0))
    with tempfile.TemporaryDirectory() as folder:
        storage.write_folder(Path(folder) / "a", adapter_files(lora, "tiny", {}))
        names = ("adapter_config.json", "adapter_model.safetensors")
        return {name: (Path(folder) / "a" / name).read_bytes() for name in names}


def _adapter_but(name: str) -> Callable[[Path], object]:
    return lambda folder: [
        (folder / other).write_bytes(content) for other, content in _adapter().items() if other != name
    ]


@cache
def _speaker() -> Any:
    from rung.bases.tiny import tiny
    from rung.data.templates import Renderer
    from rung.evaluation.run import Speaker

    base = tiny()
    return Speaker(base, Renderer(base.tokenizer))


def _attach(path: Path) -> object:
    from rung.ladder.adapter import attach

    lora, origin = attach(path.parent, _speaker())
    lora.detach()
    return origin


def _gguf_header(path: Path) -> object:
    from rung.bases.gguf import read_header

    return read_header(path)


def _gguf() -> list[bytes]:
    import gguf
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_block_count(1)
        writer.add_context_length(64)
        writer.add_token_list(["a", "b", "<s>"])
        writer.add_tensor("token_embd.weight", np.zeros((3, 8), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return [path.read_bytes()]


def _of_model(name: str, read: Read) -> Reader:
    return Reader(name, lambda: [_model()[name]], read, _model_but(name))


def _of_adapter(name: str) -> Reader:
    return Reader(name, lambda: [_adapter()[name]], _attach, _adapter_but(name))


READERS: dict[str, Reader] = {
    "csv": Reader("rows.csv", _csv, read_examples),
    "jsonl": Reader("rows.jsonl", _jsonl, read_examples),
    "json": Reader("rows.json", _json, read_examples),
    "parquet": Reader("rows.parquet", _parquet, read_examples),
    "yaml": Reader("c.yaml", _yaml, lambda path: load_settings(path, {})),
    "template": Reader("chat_template.jinja", _templates, _template),
    "gguf header": Reader("a.gguf", _gguf, _gguf_header),
    "adapter config": _of_adapter("adapter_config.json"),
    "adapter weights": _of_adapter("adapter_model.safetensors"),
    "model config": _of_model("config.json", _gate),
    "tokenizer": _of_model("tokenizer.json", _load),
}


def main() -> int:
    """Try every reader for its share of the time; write the record; 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all readers together")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--readers", default=",".join(READERS))
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    parser.add_argument("--record", type=Path)
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    names, tallies = asked.readers.split(","), dict[str, Tally]()
    for name in names:
        end = time.monotonic() + asked.seconds / len(names)
        tallies[name] = try_reader(name, asked.seed, lambda _: time.monotonic() < end, asked.findings)  # noqa: B023
        sys.stdout.write(f"{name:16} {tallies[name]}\n")
        sys.stdout.flush()
    record = {
        "written": storage.now(),
        "machine": machine.describe(),
        "seed": asked.seed,
        "seconds": asked.seconds,
        "tried": sum(one.tried for one in tallies.values()),
        "findings": sum(len(one.findings) for one in tallies.values()),
        "readers": {name: asdict(one) for name, one in tallies.items()},
    }
    if asked.record:
        storage.write_json(asked.record, record)
    return 1 if record["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
