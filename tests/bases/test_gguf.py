"""GGUF files: a model made here and converted back, and the malformed files a reader must refuse.

The list of malformed files follows the names in llama.cpp's own test-gguf.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch

from rung.bases import gguf
from rung.bases.load import load
from rung.bases.tiny import CHATML
from rung.errors import BaseModelError
from rung.storage import verify_folder
from small_gguf import small_model, write


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write(tmp_path_factory.mktemp("gguf") / "small.gguf")


@pytest.fixture(scope="module")
def folder(file, tmp_path_factory):
    return gguf.convert(file, tmp_path_factory.mktemp("bases") / "small")


def test_header(file):
    header = gguf.read_header(file)
    assert (header.architecture, header.license) == ("llama", "apache-2.0")
    assert header.values["llama.block_count"] == 2
    assert header.counts["tokenizer.ggml.tokens"] == 264
    assert header.tensors["token_embd.weight"] == (32, 264)


def test_the_converted_model_computes_the_same(folder):
    base = load(str(folder))
    ids = torch.arange(40)[None]
    with torch.no_grad():
        expected = small_model()(input_ids=ids).logits
        assert torch.allclose(base.model(input_ids=ids).logits, expected, atol=1e-4)
    assert expected.std() > 0.5
    assert base.context == 512
    assert base.license == "apache-2.0"


def test_the_folder_is_whole_and_tells_nothing_of_this_machine(folder, file):
    verify_folder(folder)
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["dtype"] == "bfloat16"
    assert "quantization_config" not in config
    for path in folder.glob("*.json"):
        assert str(file.parent) not in path.read_text()
        assert "_model_name_or_path" not in path.read_text()
    assert not list(folder.parent.glob(".*"))


def test_the_tokenizer_splits_digits_and_keeps_its_template(folder):
    tokenizer = load(str(folder)).tokenizer
    assert tokenizer.tokenize("the\n1 123") == ["the", "Ċ", "1", "Ġ", "1", "2", "3"]
    assert tokenizer.chat_template == CHATML
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    assert tokenizer("a")["input_ids"] == [tokenizer.get_vocab()["a"]]


def test_a_plain_splitter_is_left_alone(tmp_path):
    made = gguf.convert(write(tmp_path / "m.gguf", pre="gpt-2"), tmp_path / "m")
    assert load(str(made)).tokenizer.tokenize("123") == ["1", "23"]


def test_an_unknown_splitter_is_refused(tmp_path):
    with pytest.raises(BaseModelError, match=r"tokenizer\.ggml\.pre is 'martian'"):
        gguf.convert(write(tmp_path / "m.gguf", pre="martian"), tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]


def test_an_unknown_tokenizer_is_refused(tmp_path):
    with pytest.raises(BaseModelError, match="cannot read this GGUF"):
        gguf.convert(write(tmp_path / "m.gguf", kind="runes"), tmp_path / "m")


def test_a_missing_tensor_is_refused(tmp_path):
    path = write(tmp_path / "m.gguf", drop=("blk.1.ffn_up.weight",))
    with pytest.raises(BaseModelError, match=r"layers\.1\.mlp\.up_proj"):
        gguf.convert(path, tmp_path / "m")


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    bad = torch.full((32,), float("nan"))
    path = write(tmp_path / "m.gguf", drop=("output_norm.weight",), extra={"output_norm.weight": bad})
    with pytest.raises(BaseModelError, match=r"norm\.weight holds numbers that are not finite"):
        gguf.convert(path, tmp_path / "m")


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"block_count": 3}, "says 3 layers and holds tensors of 2"),
        ({"block_count": 10**9}, "says 1000000000 layers"),
        ({"embedding_length": 10**9}, "says a width"),
        ({"feed_forward_length": 48}, "feed_forward_length is 48 and its tensors have 64"),
        ({"feed_forward_length": 10**7}, "the longest side of a tensor has 264"),
        ({"attention.head_count": 10**7}, "the longest side of a tensor has 264"),
        ({"vocab_size": 10**9}, "the longest side of a tensor has 264"),
        ({"context_length": 0}, "context_length is 0"),
    ],
)
def test_sizes_that_do_not_fit_the_tensors(tmp_path, values, word):
    with pytest.raises(BaseModelError, match=word):
        gguf.read_header(write(tmp_path / "m.gguf", values=values))


@pytest.mark.parametrize("key", ["attention.layer_norm_rms_epsilon", "rope.freq_base"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1.0, True, 1])
def test_numbers_out_of_range(key, value):
    values = {"general.architecture": "llama", f"llama.{key}": value}
    with pytest.raises(BaseModelError, match=key):
        gguf._check_values(Path("m.gguf"), gguf.Header(values, {}, {"token_embd.weight": (32, 264)}))


def text(value):
    return struct.pack("<Q", len(value)) + value


def crafted(pairs=(), table=(), version=3, counts=None, magic=b"GGUF", data=b"\0" * 4096):
    n, k = counts or (len(table), len(pairs))
    return magic + struct.pack("<IQQ", version, n, k) + b"".join(pairs) + b"".join(table) + data


def pair(key, kind, raw):
    return text(key) + struct.pack("<I", kind) + raw


def tensor(name=b"t", shape=(32,), kind=0, offset=0):
    sides = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + sides + struct.pack("<IQ", kind, offset)


ONE = pair(b"a", 4, struct.pack("<I", 1))
HUGE = 1 << 60
MALFORMED = {
    "empty file": (b"", "0 bytes"),
    "bad magic": (crafted(magic=b"FUGG"), "begin with GGUF"),
    "version 0": (crafted(version=0), "version is 0"),
    "version 1": (crafted(version=1), "version is 1"),
    "future version": (crafted(version=9), "version is 9"),
    "too many tensors": (crafted(counts=(HUGE, 0)), ""),
    "too many keys": (crafted(counts=(0, HUGE)), ""),
    "no tensors": (crafted([ONE]), "outside the file"),
    "empty key": (crafted([pair(b"", 4, b"\0" * 4)]), "empty"),
    "key too long": (crafted([struct.pack("<Q", HUGE) + b"a"]), "ends before"),
    "key not UTF-8": (crafted([pair(b"\xff", 4, b"\0" * 4)]), "UTF-8"),
    "duplicate key": (crafted([ONE, ONE]), "'a' comes twice"),
    "bad type": (crafted([pair(b"a", 77, b"")]), "unknown type 77"),
    "string too long": (crafted([pair(b"a", 8, struct.pack("<Q", HUGE))]), "ends before"),
    "array too long": (crafted([pair(b"a", 9, struct.pack("<IQ", 4, HUGE))]), "ends before"),
    "array of strings too long": (crafted([pair(b"a", 9, struct.pack("<IQ", 8, HUGE))]), "ends before"),
    "array of arrays": (crafted([pair(b"a", 9, struct.pack("<IQ", 9, 1))]), "unknown type 9"),
    "alignment 0": (crafted([pair(b"general.alignment", 4, struct.pack("<I", 0))]), "alignment is 0"),
    "alignment 33": (crafted([pair(b"general.alignment", 4, struct.pack("<I", 33))]), "alignment is 33"),
    "alignment as text": (crafted([pair(b"general.alignment", 8, text(b"x"))]), "alignment is 'x'"),
    "empty tensor name": (crafted(table=[tensor(name=b"")]), "empty"),
    "duplicate tensor": (crafted(table=[tensor(), tensor()]), "'t' comes twice"),
    "no dimensions": (crafted(table=[tensor(shape=())]), "0 dimensions"),
    "five dimensions": (crafted(table=[tensor(shape=(1,) * 5)]), "5 dimensions"),
    "zero dimension": (crafted(table=[tensor(shape=(32, 0))]), "impossible shape"),
    "size overflow": (crafted(table=[tensor(shape=(1 << 40, 1 << 40))]), "outside the file"),
    "bad tensor type": (crafted(table=[tensor(kind=999)]), "unknown type 999"),
    "part of a block": (crafted(table=[tensor(shape=(33,), kind=8)]), "impossible shape"),
    "bad offset": (crafted(table=[tensor(offset=1)]), "impossible shape or place"),
    "offset outside": (crafted(table=[tensor(offset=1 << 40)]), "outside the file"),
    "not enough data": (crafted(table=[tensor()], data=b"\0" * 100), "outside the file"),
    "no architecture": (crafted(table=[tensor()]), "name its architecture"),
    "an adapter": (
        crafted(
            [pair(b"general.architecture", 8, text(b"llama")), pair(b"general.type", 8, text(b"adapter"))],
            [tensor()],
        ),
        "its type is 'adapter'",
    ),
    "no embeddings": (
        crafted([pair(b"general.architecture", 8, text(b"llama"))], [tensor()]),
        "token embeddings",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.timeout(10)
def test_malformed(name, tmp_path):
    raw, word = MALFORMED[name]
    path = tmp_path / "bad.gguf"
    path.write_bytes(raw)
    with pytest.raises(BaseModelError) as caught:
        gguf.read_header(path)
    assert str(caught.value).startswith("bad.gguf: ")
    assert word in str(caught.value)


@pytest.mark.timeout(20)
def test_a_file_cut_anywhere_is_refused(file, tmp_path):
    raw = file.read_bytes()
    path = tmp_path / "cut.gguf"
    for keep in [*range(0, 400, 7), *range(400, len(raw) - 64, 997)]:
        path.write_bytes(raw[:keep])
        with pytest.raises(BaseModelError):
            gguf.read_header(path)


def test_no_such_file(tmp_path):
    with pytest.raises(BaseModelError, match="no such file"):
        gguf.read_header(tmp_path / "none.gguf")
