"""A base is written down and loaded again."""

from __future__ import annotations

import json

import pytest

from rung.errors import BaseModelError
from rung.ladder.prepare import Prepared
from rung.ladder.speaking import base_of, speaker_of
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
