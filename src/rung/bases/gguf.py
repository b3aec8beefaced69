"""A GGUF file becomes a model folder: config.json, model.safetensors (bf16) and tokenizer files.

The weights are dequantised once and kept as bfloat16; from then on that bf16 model *is* the base, in every
precision rung computes in.  The file is untrusted: its tables are checked against its own size before any
library walks them (format: ggml's docs/gguf.md), because gguf-py loops for as long as a count says.
"""

from __future__ import annotations

import json
import math
import mmap
import re
import struct
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from tokenizers.pre_tokenizers import ByteLevel, Digits
from tokenizers.pre_tokenizers import Sequence as Steps
from transformers import AutoModelForCausalLM, GgufConfig, PreTrainedTokenizerFast

from rung.bases.base import context_of, quiet
from rung.bases.files import SOURCE, source_of
from rung.bases.gate import check_folder
from rung.bases.values import MOST_PERIOD
from rung.border import foreign
from rung.errors import BaseModelError
from rung.storage import MANIFEST, sha256_file, write_folder

# How text is cut before byte-pair merging, by `tokenizer.ggml.pre` (llama.cpp, src/llama-vocab.cpp). Names in
# neither set are good where transformers knows their expression.
_DIGITS_FIRST = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
_PLAIN = {"gpt-2", "default", "phi-2", "mpt", "olmo", "jais"}
_WIDTH = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_AT_MOST = (
    "vocab_size",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "rope.dimension_count",
    "expert_count",
    "expert_feed_forward_length",
)
_PROBES = ("Hello world", "\n\n1", " 2024-06-01: 3.14", "it's\tnaïve — 東京 🙂", "  two  spaces\r\n")


@dataclass
class Header:
    """What a GGUF file says about itself: scalars and strings, lengths of arrays, shapes of tensors."""

    values: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    tensors: dict[str, tuple[int, ...]] = field(default_factory=dict)  # ggml order, fastest first

    @property
    def architecture(self) -> str:
        return str(self.values["general.architecture"])

    @property
    def license(self) -> str:
        return str(self.values.get("general.license", ""))


def read_header(path: Path) -> Header:
    """The tables of a GGUF file, every count and offset checked. Raises `BaseModelError`."""
    if not path.is_file():
        raise BaseModelError("no such file", where=str(path), fix="Check the path")
    size = path.stat().st_size
    if size < 24:
        _damaged(path, f"it holds {size} bytes, fewer than a header")
    with (
        foreign(partial(unreadable, path)),
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        reader = _Reader(path, data)
        try:
            header = reader.header()
        except struct.error:
            _damaged(path, "it ends before its own tables do")
        except UnicodeDecodeError:
            _damaged(path, "a name in its tables is not UTF-8")
    _check_model(path, header)
    return header


def convert(
    source: Path, folder: Path, *, sha256: str = "", on_progress: Callable[[str], None] | None = None
) -> Path:
    """Write the model folder for a GGUF file, whole or not at all; returns `folder`.

    Raises `BaseModelError` where the file is damaged or holds something transformers cannot read, and
    `ResourceError` where the disk refuses.
    """
    say = on_progress or (lambda _: None)
    header = read_header(source)
    facts = {
        "file": source.name,
        "sha256": sha256 or sha256_file(source),
        "architecture": header.architecture,
        "license": header.license,
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".work-") as work, quiet():
        entry, made = Path(work, "in"), Path(work, "out")
        entry.mkdir()
        entry.joinpath("model.gguf").symlink_to(source.resolve())
        say("unpacking the weights")
        try:
            with foreign(partial(_unconvertible, source)):
                context = _write_model(entry, made)
                say("rebuilding the tokenizer")
                _write_tokenizer(entry, made, header, context)
                check_folder(made)
        except BaseModelError as error:
            error.where = source.name  # not a file of ours that the user never sees
            raise
        say("writing")
        files: dict[str, bytes | Callable[[Path], None]] = {
            file.name: partial(_move, file) for file in sorted(made.iterdir())
        }
        files[SOURCE] = json.dumps(facts, indent=2).encode()
        whole = (folder / MANIFEST).is_file() and source_of(folder).get("sha256") == facts["sha256"]
        if not whole:  # another process may have been faster
            write_folder(folder, files)
    return folder


def unreadable(path: Path, text: str) -> BaseModelError:
    """The error for a file that the operating system does not read."""
    return BaseModelError(f"cannot be read: {text}", where=path.name, fix="Check its permissions")


def _unconvertible(source: Path, text: str) -> BaseModelError:
    return BaseModelError(
        f"transformers cannot read this GGUF file: {text}",
        where=source.name,
        fix="Give the model's original folder (config.json and safetensors) instead",
    )


def _move(file: Path, target: Path) -> None:
    file.replace(target)


def _write_model(entry: Path, made: Path) -> int:
    """Dequantise, check and save; returns the context length."""
    with redirect_stderr(StringIO()):  # its progress bar cannot be turned off
        model, info = AutoModelForCausalLM.from_pretrained(
            str(entry),
            gguf_file="model.gguf",
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
            attn_implementation="sdpa",
            local_files_only=True,
            output_loading_info=True,
        )
    missing = sorted(info["missing_keys"])
    if missing:
        raise BaseModelError(
            f"{len(missing)} weights are not in the file, the first is {missing[0]}",
            fix="Download the file again, or give the model's original folder",
        )
    for name, value in model.state_dict().items():
        if not torch.isfinite(value).all():
            raise BaseModelError(f"{name} holds numbers that are not finite", fix="Download the file again")
    made.mkdir()
    model.save_pretrained(str(made))
    config = json.loads((made / "config.json").read_text(encoding="utf-8"))
    for key in ("_model_name_or_path", "quantization_config"):
        config.pop(key, None)
    config["architectures"] = [type(model).__name__]
    config["dtype"] = "bfloat16"
    (made / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    ends = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id") if key in config}
    (made / "generation_config.json").write_text(json.dumps(ends, indent=2), encoding="utf-8")
    return context_of(model.config)


def _write_tokenizer(entry: Path, made: Path, header: Header, context: int) -> None:
    """Rebuild the tokenizer, save it, and check that it comes back the same."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(
        str(entry), gguf_file="model.gguf", local_files_only=True
    )
    if header.values.get("tokenizer.ggml.model") == "gpt2":
        _set_splitter(tokenizer.backend_tokenizer, str(header.values.get("tokenizer.ggml.pre", "default")))
    tokenizer.model_max_length = context
    tokenizer.save_pretrained(str(made))
    path = made / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for key in ("is_local", "local_files_only", "name_or_path"):
        config.pop(key, None)
    # This class takes tokenizer.json as it is; a model's own class may rebuild parts of it.
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")
    again = PreTrainedTokenizerFast.from_pretrained(str(made), local_files_only=True)
    for text in _PROBES:
        if (
            again(text)["input_ids"] != tokenizer(text)["input_ids"]
            or again.chat_template != tokenizer.chat_template
        ):
            raise BaseModelError(
                "the tokenizer changes when it is saved",
                fix="Give the model's original folder instead, and report this file to rung",
            )


def _set_splitter(backend: Any, name: str) -> None:
    """Cut text the way the merges were learned; transformers leaves GPT-2's way where it knows no other."""
    if name in _DIGITS_FIRST:
        backend.pre_tokenizer = Steps(
            [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]
        )
    elif name not in _PLAIN and isinstance(backend.pre_tokenizer, ByteLevel):
        raise BaseModelError(
            f"its tokenizer cuts text in a way that is not known here: tokenizer.ggml.pre is {name!r}",
            why="A guess would give the model other tokens than it was trained on",
            fix="Give the model's original folder, which has a tokenizer.json",
        )


def _check_model(path: Path, header: Header) -> None:
    """The few facts that decide how much is built: layers, width and vocabulary agree with the tensors."""
    if not isinstance(header.values.get("general.architecture"), str):
        _damaged(path, "it does not name its architecture")
    kind = header.values.get("general.type", "model")
    if kind != "model" or header.architecture == "clip":
        raise BaseModelError(
            f"holds no language model: its type is {kind!r} and its architecture {header.architecture!r}",
            where=path.name,
            fix="Give the GGUF file of the model itself",
        )
    embedding = header.tensors.get("token_embd.weight")
    if embedding is None or len(embedding) != 2:
        _damaged(path, "it has no token embeddings")
    layers = {int(m[1]) for name in header.tensors if (m := re.match(r"blk\.(\d{1,6})\.", name))}
    said = header.values.get(f"{header.architecture}.block_count")
    if said != len(layers) or layers != set(range(len(layers))):
        _damaged(path, f"it says {said} layers and holds tensors of {len(layers)}")
    width = header.values.get(f"{header.architecture}.embedding_length")
    if width != embedding[0]:
        _damaged(path, f"it says a width of {width} and its embeddings have {embedding[0]}")
    words = header.counts.get("tokenizer.ggml.tokens", 0)
    if not 0 < words <= embedding[1]:
        _damaged(path, f"it has {words} words for {embedding[1]} embeddings")
    _check_values(path, header)


def _check_values(path: Path, header: Header) -> None:
    """The other numbers of the model: in range, and no larger than the tensors."""
    sides = {side for shape in header.tensors.values() for side in shape}
    for key, value in header.values.items():
        last = key.removeprefix(f"{header.architecture}.")
        if isinstance(value, float) and not math.isfinite(value):
            _damaged(path, f"{key} is {value}")
        if last == key or isinstance(value, str):
            continue
        if last.endswith("epsilon") and not (type(value) is float and 0 < value <= 1):
            _damaged(path, f"{key} is {value!r} and must be a number above 0, at most 1")
        if last.endswith("freq_base") and not (type(value) is float and 1 <= value <= MOST_PERIOD):
            _damaged(path, f"{key} is {value!r} and must be a number of at least 1")
        if last == "context_length" and not (type(value) is int and value > 0):
            _damaged(path, f"{key} is {value!r} and must be a whole number above 0")
        if last in _AT_MOST and not (type(value) is int and 0 <= value <= max(sides)):
            _damaged(path, f"{key} is {value!r}, and the longest side of a tensor has {max(sides)}")
    rows = header.tensors.get("blk.0.ffn_up.weight", (0, 0))[-1]
    inner = header.values.get(f"{header.architecture}.feed_forward_length", rows)
    if rows and inner not in (rows, rows // 2):  # some keep gate and up in one tensor
        _damaged(path, f"its feed_forward_length is {inner!r} and its tensors have {rows}")


def _damaged(path: Path, why: str) -> NoReturn:
    raise BaseModelError(
        "not a GGUF file that can be used",
        where=path.name,
        why=why[:1].upper() + why[1:],
        fix="Download it again",
    )


class _Reader:
    """Walks the tables; every read is inside the file or raises."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.at = 0

    def header(self) -> Header:
        if self.data[:4] != b"GGUF":
            _damaged(self.path, "it does not begin with GGUF")
        self.at = 4
        version, tensors, pairs = self._take("IQQ")
        if version not in (2, 3):
            _damaged(self.path, f"its version is {version}; 2 and 3 are known")
        header = Header()
        for _ in range(pairs):
            key = self._name()
            if key in header.values or key in header.counts:
                _damaged(self.path, f"the key {key!r} comes twice")
            (kind,) = self._take("I")
            if kind == _ARRAY:
                header.counts[key] = self._skip_array()
            else:
                header.values[key] = self._value(kind)
        alignment = header.values.get("general.alignment", 32)
        if type(alignment) is not int or not 8 <= alignment <= 65536 or alignment & (alignment - 1):
            _damaged(self.path, f"its alignment is {alignment!r}")
        ends = [self._tensor(header, alignment) for _ in range(tensors)]
        begin = -(-self.at // alignment) * alignment
        if not ends or begin + max(ends) > len(self.data):
            _damaged(self.path, "its tensors lie outside the file")
        return header

    def _tensor(self, header: Header, alignment: int) -> int:
        """Read one row of the tensor table; returns where the tensor ends, counted from the data."""
        name = self._name()
        if name in header.tensors:
            _damaged(self.path, f"the tensor {name!r} comes twice")
        (rank,) = self._take("I")
        if not 1 <= rank <= 4:
            _damaged(self.path, f"the tensor {name!r} has {rank} dimensions")
        shape = self._take(f"{rank}Q")
        kind, offset = self._take("IQ")
        if kind not in set(GGMLQuantizationType):
            _damaged(self.path, f"the tensor {name!r} has the unknown type {kind}")
        block, width = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        if 0 in shape or shape[0] % block or offset % alignment:
            _damaged(self.path, f"the tensor {name!r} has an impossible shape or place")
        header.tensors[name] = shape
        return int(offset + _product(shape) // block * width)

    def _take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def _text(self, limit: int) -> str:
        (length,) = self._take("Q")
        if length > min(limit, len(self.data) - self.at):
            raise struct.error
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8")

    def _name(self) -> str:
        name = self._text(limit=65535)
        if not name:
            _damaged(self.path, "a name in its tables is empty")
        return name

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text(limit=1 << 20)
        if kind not in _WIDTH:
            _damaged(self.path, f"a value has the unknown type {kind}")
        return self._take(_WIDTH[kind])[0]

    def _skip_array(self) -> int:
        kind, count = self._take("IQ")
        if kind not in _WIDTH and kind != _STRING:
            _damaged(self.path, f"an array has the unknown type {kind}")
        least = 8 if kind == _STRING else struct.calcsize("<" + _WIDTH[kind])
        if count * least > len(self.data) - self.at:
            raise struct.error
        if kind != _STRING:
            self.at += count * least
            return count
        for _ in range(count):
            (length,) = self._take("Q")
            if length > len(self.data) - self.at:
                raise struct.error
            self.at += length
        return count


def _product(shape: Sequence[int]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total
