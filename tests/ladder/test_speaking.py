"""A base is written down and loaded again."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
import torch

from rung.errors import BaseModelError
from rung.ladder.prepare import Prepared
from rung.ladder.speaking import base_of, device_of, speaker_of
from tiny_model import copy_of, same_bytes


def test_the_same_base_comes_back(prepared: Prepared) -> None:
    about = json.loads(json.dumps(base_of(prepared)))
    assert about["base"] == "tiny"
    again = speaker_of(about)
    assert same_bytes(copy_of(prepared.base.model), copy_of(again.base.model))
    assert again.base.dtype == prepared.base.dtype


def test_another_base_of_that_name_is_refused(prepared: Prepared) -> None:
    with pytest.raises(BaseModelError, match="not the one that was used"):
        speaker_of(base_of(prepared) | {"fingerprint": "f00d"})


def test_exact_answers_are_computed_with_the_threads_of_the_climb(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    before = torch.get_num_threads()
    try:
        for threads, others in ((1, 2), (2, 1)):
            about = base_of(replace(prepared, device=replace(prepared.device, threads=threads)))
            torch.set_num_threads(others)  # what this process would take by itself
            speaker_of(json.loads(json.dumps(about)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_more_threads_than_cores_and_an_earlier_file_leave_the_count_to_the_machine(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    about = base_of(prepared)
    free = device_of({name: about[name] for name in ("base", "fingerprint", "precision")}).threads
    assert device_of(about | {"threads": 64}).threads == free


def test_in_bf16_the_count_is_not_written_down(prepared: Prepared) -> None:
    fast = replace(prepared.device, dtype=torch.bfloat16)
    assert base_of(replace(prepared, device=fast))["threads"] is None
    assert base_of(prepared)["threads"] == prepared.device.threads
