"""Loading by name."""

from __future__ import annotations

import os
import shutil

import pytest
import torch

from rung.bases import gate
from rung.bases import load as loading
from rung.bases.base import OWN_ATTENTION
from rung.bases.load import license_of, load
from rung.bases.tiny import save_tiny
from rung.errors import BaseModelError


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("saved") / "mine")


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_folder(saved, dtype):
    base = load(str(saved), dtype=dtype)
    assert (base.name, base.path, base.context, base.dtype) == ("mine", saved, 2048, dtype)
    assert base.device == torch.device("cpu")
    assert not base.model.training
    assert base.model.config._attn_implementation == OWN_ATTENTION
    assert all(p.dtype is dtype and not p.requires_grad for p in base.model.parameters())


def test_tiny_by_name():
    base = load("tiny", dtype=torch.bfloat16)
    assert (base.name, base.path, base.dtype) == ("tiny", None, torch.bfloat16)


def test_nothing_is_said_on_the_way(saved, capfd):
    load(str(saved))
    assert capfd.readouterr() == ("", "")


def test_the_fingerprint_follows_content_and_not_place(saved, tmp_path):
    mark = load(str(saved)).fingerprint
    copy = shutil.copytree(saved, tmp_path / "elsewhere")
    assert load(str(copy), dtype=torch.bfloat16).fingerprint == mark
    (copy / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    other_template = load(str(copy)).fingerprint
    assert other_template != mark
    shutil.copy(saved / "chat_template.jinja", copy)
    save_tiny(copy, seed=9)
    assert load(str(copy)).fingerprint not in (mark, other_template)


def test_a_pad_token_is_never_missing(saved, tmp_path):
    copy = shutil.copytree(saved, tmp_path / "copy")
    path = copy / "tokenizer_config.json"
    path.write_text(path.read_text().replace('"pad_token": "<|im_end|>",', ""))
    assert "pad_token" not in path.read_text()
    assert load(str(copy)).tokenizer.pad_token_id == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\nlicense: mit\n---\n", "mit"),
        ("---\ntags:\n- x\nlicense: apache-2.0\nother: y\n---\n# A\n", "apache-2.0"),
        ("license: mit\n", ""),
        ("---\nname: x\n---\n\nlicense: mit\n", ""),
    ],
)
def test_license_from_the_model_card(tmp_path, text, expected):
    (tmp_path / "README.md").write_text(text)
    assert license_of(tmp_path) == expected
    assert license_of(tmp_path / "nowhere") == ""


def test_a_licence_that_cannot_be_read_is_none(tmp_path):
    os.mkfifo(tmp_path / "README.md")
    assert license_of(tmp_path) == ""
    for text in ("[]", "{", '{"license": ""}'):
        (tmp_path / "source.json").write_text(text)
        assert license_of(tmp_path) == ""


def test_a_folder_the_system_does_not_let_us_read(saved, monkeypatch):
    def closed(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(gate, "check_files", closed)
    with pytest.raises(
        BaseModelError, match=r"mine: the folder cannot be read: Permission denied\. Check its"
    ):
        load(str(saved))


def test_a_name_that_was_not_fetched_says_how(own_cache):
    with pytest.raises(BaseModelError, match="rung bases get smollm2-135m-instruct"):
        load("smollm2-135m-instruct")


@pytest.mark.parametrize(
    "name",
    [
        "smollm2-135m-instrct",
        "nowhere/at/all",
        "./nowhere",
        "/nowhere/x",
        "",
        "a/..",
        "~no-such-user",
        "x" * 5000,
        "a\0b",
    ],
)
def test_what_is_nothing_is_said_so(name):
    with pytest.raises(BaseModelError) as caught:
        load(name)
    assert "there is no base" in str(caught.value)
    assert "a folder" in caught.value.fix


def test_a_slip_gets_a_hint():
    with pytest.raises(BaseModelError, match="Did you mean 'gemma-3-270m'"):
        load("gemma-270m")


def test_a_gguf_file_that_is_not_there():
    with pytest.raises(BaseModelError, match="no such file"):
        load("nowhere/x.gguf")


def test_a_gguf_file_is_converted_once(saved, tmp_path, own_cache, monkeypatch):
    calls = []

    def convert(source, folder, *, sha256):
        calls.append(sha256)
        shutil.copytree(saved, folder)
        (folder / "manifest.json").write_text("{}")
        return folder

    monkeypatch.setattr(loading.gguf, "convert", convert)
    file = tmp_path / "some.gguf"
    file.write_bytes(b"content")
    first, second = load(str(file)), load(str(file))
    assert len(calls) == 1
    assert first.name == "some"
    assert first.path == second.path


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_the_hub_is_not_asked_when_offline(monkeypatch, tmp_path, variable):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv(variable, "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BaseModelError, match=f"{variable} is set"):
        load("someone/some-model")


def test_a_hub_snapshot_passes_the_gate_and_keeps_its_revision(saved, monkeypatch):
    asked = {}

    def snapshot(repo, **options):
        asked.update(options, repo=repo)
        return str(saved)

    monkeypatch.setattr(loading, "snapshot_download", snapshot)
    base = load("someone/some-model@v1.0")
    assert base.name == "someone/some-model@v1.0"
    assert (asked["repo"], asked["revision"]) == ("someone/some-model", "v1.0")
    assert not any(pattern.endswith((".bin", ".py")) for pattern in asked["allow_patterns"])


def test_a_hub_that_cannot_be_reached(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def snapshot(repo, **options):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(loading, "snapshot_download", snapshot)
    with pytest.raises(BaseModelError, match="no route to host"):
        load("someone/some-model")


@pytest.fixture
def one_thread():
    """A busy machine makes two threads wait for each other at every small product."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.base
@pytest.mark.usefixtures("default_base_folder", "one_thread")
def test_the_default_base_answers():
    base = load("smollm2-135m-instruct")
    tokenizer = base.tokenizer
    assert tokenizer("\n\n1")["input_ids"] == [1116, 33]
    turns = [{"role": "user", "content": "What is the capital of France?"}]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    answer = ""
    with torch.no_grad():
        while "Paris" not in answer and len(answer.split()) < 12:
            positions = torch.arange(len(ids))[None]
            states = base.model.base_model(
                input_ids=torch.tensor([ids]), position_ids=positions, use_cache=False
            )
            ids.append(int(base.model.lm_head(states.last_hidden_state[0, -1]).argmax()))
            answer += tokenizer.decode(ids[-1])
    assert answer == "The capital of France is Paris"
    assert (base.context, base.license) == (8192, "Apache-2.0")
