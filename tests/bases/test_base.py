"""A base's small helpers."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import pytest
from transformers import GPT2Config, LlamaConfig, MambaConfig, Phi3Config
from transformers.utils import logging

import rung.bases
from rung.bases.base import UNSTATED_CONTEXT, context_of, quiet


def test_context_is_found_under_the_name_each_architecture_uses():
    assert context_of(LlamaConfig(max_position_embeddings=77)) == 77
    assert context_of(GPT2Config(n_positions=99)) == 99


def test_context_ends_where_a_longer_row_would_change_the_others():
    rope = {"rope_type": "longrope", "original_max_position_embeddings": 64, "rope_theta": 1e4}
    rope |= {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    shape = {"hidden_size": 32, "num_attention_heads": 4, "pad_token_id": 0}
    shape |= {"max_position_embeddings": 256, "original_max_position_embeddings": 64}
    config = Phi3Config(**shape, rope_parameters=rope)
    assert context_of(config) == 64


def test_context_has_a_default_where_none_is_stated():
    assert context_of(MambaConfig()) == UNSTATED_CONTEXT


@pytest.mark.parametrize("bars", [True, False])
def test_quiet_puts_everything_back_after_an_error(bars):
    before = logging.is_progress_bar_enabled()
    (logging.enable_progress_bar if bars else logging.disable_progress_bar)()
    level = logging.get_verbosity()
    try:
        with suppress(ZeroDivisionError), quiet():
            inside = logging.is_progress_bar_enabled(), logging.get_verbosity()
            raise ZeroDivisionError
        assert inside == (False, logging.ERROR)
        assert logging.is_progress_bar_enabled() is bars
        assert logging.get_verbosity() == level
    finally:
        (logging.enable_progress_bar if before else logging.disable_progress_bar)()


def test_the_package_names_what_it_has_and_nothing_else():
    assert rung.bases.CATALOG["tiny"].wheels == ()
    assert "fetch" in dir(rung.bases)
    with pytest.raises(AttributeError, match="nothing"):
        rung.bases.nothing  # noqa: B018


def test_the_catalog_imports_no_torch():
    code = "import sys, rung.bases; rung.bases.CATALOG; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
