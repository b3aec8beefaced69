"""Every kind of wrong model folder is refused by name (numbers: the project's list of bad inputs)."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from rung.bases import gate
from rung.bases.load import load
from rung.bases.tiny import save_tiny
from rung.errors import BaseModelError


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("good") / "base")


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "base")


def edit(path, **changes):
    value = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in value.items() if v is not ...}))


def refused(folder, *words):
    with pytest.raises(BaseModelError) as caught:
        load(str(folder))
    text = str(caught.value)
    for word in words:
        assert word in text, text
    assert caught.value.fix
    assert str(folder.parent) not in text


def test_a_good_folder_passes(folder):
    checked = gate.check_folder(folder)
    assert [path.name for path in checked.weights] == ["model.safetensors"]
    assert checked.config["model_type"] == "llama"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not JSON"),  # 69
        ('{"model_type": "lla', "not JSON"),
        ("[" * 200_000, "nested too deeply"),
        ("[" * 500 + "]" * 500, "not a JSON object"),
        ('{"a":' + "[" * 500 + "]" * 500 + "}", "nested too deeply"),
        ("[1]", "not a JSON object"),
        ("\udcff", "not JSON"),
    ],
)
def test_config_that_is_no_object(folder, text, word):
    (folder / "config.json").write_text(text, errors="surrogateescape")
    refused(folder, "config.json", word)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"model_type": ...}, "no model_type"),  # 70
        ({"model_type": "lama"}, "Did you mean 'llama'"),  # 71
        ({"auto_map": {"AutoModel": "evil--code.Model"}}, "'auto_map'"),  # 73
        ({"attn_implementation": "evil/kernel"}, "'attn_implementation'"),  # 74
        ({"_attn_implementation_internal": "evil/kernel"}, "'_attn_implementation_internal'"),
        ({"text_config": {"_attn_implementation": "evil/kernel"}}, "'_attn_implementation'"),
        ({"_experts_implementation_internal": "x"}, "'_experts_implementation_internal'"),
        ({"trust_remote_code": True}, "'trust_remote_code'"),  # 75
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),  # 76
        ({"hidden_size": -1}, "hidden_size is -1"),  # 77
        ({"hidden_size": "32"}, "hidden_size is '32'"),  # 78
        ({"num_key_value_heads": True}, "num_key_value_heads is True"),
        ({"num_hidden_layers": 3}, "says 3 layers and the weights hold 2"),  # 79
        ({"num_hidden_layers": 1}, "says 1 layers and the weights hold 2"),  # 80
        ({"num_hidden_layers": 10**9}, "a whole number from 1 to 4,096"),
        ({"architectures": ["BertForMaskedLM"], "model_type": "bert"}, "BertForMaskedLM is not"),  # 93
        ({"architectures": ..., "model_type": "bert"}, "bert is not a model that continues text"),
        ({"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"}, "T5ForConditionalGeneration"),
        ({"architectures": ["BartForConditionalGeneration"], "model_type": "bart"}, "BartFor"),
        ({"is_encoder_decoder": True}, "continues text"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantised"),
        ({"transformers_weights": "../x.safetensors"}, "transformers_weights"),
    ],
)
def test_config_that_asks_for_the_wrong_thing(folder, changes, word):
    edit(folder / "config.json", **changes)
    refused(folder, "config.json", word)


def test_code_is_refused_in_the_tokenizer_too(folder):
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil--code.T", None]})
    refused(folder, "tokenizer_config.json", "auto_map")


def test_shapes_that_do_not_fit(folder):  # 81
    edit(folder / "config.json", intermediate_size=48)
    refused(folder, "belong together")


def test_a_config_that_stops_transformers_is_an_error_of_ours(folder):
    edit(folder / "config.json", rope_parameters={"rope_type": "nonsense", "rope_theta": 1.0})
    refused(folder, "transformers cannot load it")


def test_pickle_only(folder):  # 82
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, "pytorch_model.bin", "can run code")


def test_no_weights_at_all(folder):
    (folder / "model.safetensors").unlink()
    refused(folder, "no weights")


def index(folder, names):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    halves = sorted(tensors)[::2], sorted(tensors)[1::2]
    table = {}
    for name, half in zip(names, halves, strict=True):
        save_file({key: tensors[key] for key in half}, folder / name, metadata={"format": "pt"})
        table |= dict.fromkeys(half, name)
    (folder / gate.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": table}))


def test_shards_are_read(folder):
    before = load(str(folder))
    index(folder, ["model-1.safetensors", "model-2.safetensors"])
    after = load(str(folder))
    assert torch.equal(*(base.model.get_input_embeddings().weight for base in (before, after)))


@pytest.mark.parametrize(
    "name", ["../out.safetensors", "/etc/passwd", "a/../b.safetensors", "x.bin", "..\\x.safetensors"]
)
def test_a_shard_outside_the_folder(folder, name):  # 83
    index(folder, ["model-1.safetensors", "model-2.safetensors"])
    table = json.loads((folder / gate.INDEX).read_text())
    table["weight_map"]["lm_head.weight"] = name
    (folder / gate.INDEX).write_text(json.dumps(table))
    refused(folder, gate.INDEX, "not a file of this folder")


def test_a_missing_shard(folder):  # 84
    index(folder, ["model-1.safetensors", "model-2.safetensors"])
    (folder / "model-2.safetensors").unlink()
    refused(folder, "model-2.safetensors", "missing")


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_weights_cut_short(folder, keep):  # 85
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(folder, "model.safetensors", "damaged or cut short")


def test_a_header_that_lies_about_its_length(folder):
    path = folder / "model.safetensors"
    path.write_bytes((1 << 60).to_bytes(8, "little") + path.read_bytes()[8:])
    refused(folder, "model.safetensors", "damaged")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(folder, bad):  # 86
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.self_attn.q_proj.weight"][3, 4] = bad
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, "q_proj", "NaN or infinity")


@pytest.mark.parametrize("change", ["drop", "add"])
def test_a_tensor_too_few_or_too_many(folder, change):
    tensors = load_file(folder / "model.safetensors")
    if change == "drop":
        del tensors["model.layers.1.mlp.up_proj.weight"]
    else:
        tensors["model.layers.1.mlp.odd.weight"] = torch.zeros(3)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, "up_proj" if change == "drop" else "odd", "do not belong together")


@pytest.mark.parametrize(
    "text", ["{}", "", '{"version": "1.0", "model": {"type": "BPE", "vocab"', "[" * 200_000]
)
def test_a_broken_tokenizer(folder, text):  # 87
    (folder / "tokenizer.json").write_text(text)
    refused(folder, "tokenizer cannot be read")


def test_a_merge_of_words_that_are_not_there(folder):  # 88
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = [["no", "pe"]]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    refused(folder, "tokenizer cannot be read")


def test_more_words_than_embeddings(folder):  # 89
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["extra"] = 259
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    refused(folder, "token 259", "up to 258")


def test_no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    refused(folder, "no tokenizer")


def test_no_end_of_text(folder):  # 92
    edit(folder / "tokenizer_config.json", eos_token=...)
    refused(folder, "tokenizer_config.json", "no end-of-text token")


def test_an_adapter_is_not_a_base(folder):
    (folder / "adapter_config.json").write_text("{}")
    refused(folder, "adapter_config.json", "not a base")


@pytest.mark.parametrize("name", ["tokenizer.json", "README.md"])
def test_a_link_out_of_the_folder(folder, name):  # 95
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to("/etc/passwd")
    refused(folder, name, "link to a file outside")


def test_links_of_the_hub_cache_are_fine(good, tmp_path):
    repo = tmp_path / "models--someone--base"
    snapshot = repo / "snapshots" / "0123"
    (repo / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for i, file in enumerate(sorted(good.iterdir())):
        shutil.copy(file, repo / "blobs" / f"b{i}")
        (snapshot / file.name).symlink_to(f"../../blobs/b{i}")
    assert gate.check_folder(snapshot).config["model_type"] == "llama"


def test_a_pipe_does_not_hang(folder):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    refused(folder, "config.json", "no such file")
