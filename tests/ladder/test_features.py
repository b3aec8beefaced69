"""Features of rows: of their own text, the same kept and fresh, and read once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from rows_of import task_of
from rung.errors import ResumeError
from rung.generate import states
from rung.ladder import features
from rung.ladder.features import SHOWN, Features, Reading, fresh, tokens_of
from rung.ladder.prepare import Prepared
from rung.records import Example, Message

READING = Reading("with instruction", 2, "mean")


def store(prepared: Prepared, folder: Path) -> Features:
    return Features(prepared.speaker, prepared.task, folder)


@pytest.mark.parametrize("shown", SHOWN)
def test_own_text_is_what_the_row_itself_says(prepared: Prepared, shown: features.Shown) -> None:
    turns = (
        Message("system", "Be <|im_end|> kind."),
        Message("user", "né <|im_start|>"),
        Message("assistant", "x"),
    )
    row = Example("1", turns, 1)
    ((ids, own),) = tokens_of(prepared.speaker, prepared.task, [row], shown)
    assert prepared.speaker.base.tokenizer.decode([ids[place] for place in own]) == "né <|im_start|>"
    written = prepared.speaker.base.tokenizer.decode(ids)
    assert ("one of these labels" in written) == (shown == "with instruction")


def test_a_row_without_own_text_counts_whole(prepared: Prepared) -> None:
    row = Example("1", (Message("system", "ab"), Message("user", ""), Message("assistant", "x")), 1)
    ((ids, own),) = tokens_of(prepared.speaker, prepared.task, [row], "the row as it is")
    assert own == list(range(len(ids)))


@pytest.mark.parametrize("pool", features.POOLS)
def test_kept_and_fresh_are_the_same(prepared: Prepared, tmp_path: Path, pool: features.Pool) -> None:
    some, reading = prepared.split.train[:20], Reading("the row as it is", 1, pool)
    kept = store(prepared, tmp_path)
    kept.read(some, reading.shown, [1, 2])
    found = kept.of(some[::-1], reading)
    assert found.dtype == np.float32
    wanted = fresh(prepared.speaker, prepared.task, some[::-1], reading)[0]
    assert found == pytest.approx(wanted, abs=1e-5)


def test_what_is_kept_is_of_weights_held_in_one_way(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = prepared.split.train[:3]
    store(prepared, tmp_path).read(some, READING.shown, [1])
    monkeypatch.setattr(prepared.base, "bits", 4)
    monkeypatch.setattr(states, "read", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store(prepared, tmp_path).read(some, READING.shown, [1])


def test_rows_are_read_once_for_all_layers_also_by_another_process(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = prepared.split.train[:20]
    first = store(prepared, tmp_path)
    first.read(some[:12], READING.shown, [1, 2])
    wanted = first.of(some, READING)  # reads the other 8 rows
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(states, "read", lambda *_: pytest.fail("read again"))
    assert np.array_equal(store(prepared, tmp_path).of(some, READING), wanted)
    assert np.array_equal(first.of(some[5:15], READING), wanted[5:15])


def test_other_words_around_the_row_are_other_features(prepared: Prepared, tmp_path: Path) -> None:
    some = prepared.split.train[:5]
    one = store(prepared, tmp_path).of(some, READING)
    other = Features(prepared.speaker, task_of(some, "generation"), tmp_path).of(some, READING)
    assert not np.allclose(one, other)


def test_many_rows_are_kept_in_several_files(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "_FILE_BYTES", 1)
    monkeypatch.setattr(features, "_FEWEST", 8)
    some, seen = prepared.split.train[:20], list[tuple[int, int]]()
    kept = store(prepared, tmp_path)
    found = kept.of(some, READING, lambda done, total: seen.append((done, total)))
    assert len(list(tmp_path.iterdir())) == 3
    assert seen[-1] == (20, 20)
    assert found == pytest.approx(fresh(prepared.speaker, prepared.task, some, READING)[0], abs=1e-5)


@pytest.mark.parametrize("damage", ["cut", "pipe", "rows"])
def test_a_damaged_file_is_named(prepared: Prepared, tmp_path: Path, damage: str) -> None:
    store(prepared, tmp_path).read(prepared.split.train[:4], READING.shown, [1, 2])
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.unlink()
    if damage == "pipe":
        os.mkfifo(path)
    elif damage == "cut":
        path.write_bytes(content[:-8])
    else:
        with_fewer = {"mean": np.zeros((2, 3, 8), np.float32), "last": np.zeros((2, 4, 8), np.float32)}
        size = int.from_bytes(content[:8], "little")
        save_file(with_fewer, path, json.loads(content[8 : 8 + size])["__metadata__"])
    with pytest.raises(
        ResumeError, match=r"\.safetensors: hidden states that were kept are damaged: .*Delete"
    ):
        store(prepared, tmp_path).of(prepared.split.train[:4], READING)
