"""Values of config.json that would only show in the answers, or in the memory."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from rung.bases.tiny import save_tiny
from rung.bases.values import check_context, check_room, check_values
from rung.errors import BaseModelError

CONFIG = Path("config.json")
NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        *(("rms_norm_eps", value, "rms_norm_eps is") for value in (NAN, INFINITE, -1.0, 0, 2, True, "1")),
        *(("layer_norm_epsilon", value, "above 0") for value in (-1e-5, False)),
        *(("rope_theta", value, "rope_theta is") for value in (NAN, 0, -1.0, 1e300, True, "10000")),
        ("rope_parameters", {"rope_theta": 0.0}, "rope_theta is 0.0"),
        ("rope_parameters", {"rope_theta": {"__float__": "NaN"}}, "rope_theta is 'NaN'"),
        ("rms_norm_eps", {"__float__": "Infinity"}, "rms_norm_eps is 'Infinity'"),
        ("initializer_range", NAN, "initializer_range is nan, which is not a number"),
        ("anything", [1.0, [-INFINITE]], "anything is -inf"),
        *(("hidden_size", value, "hidden_size is") for value in (0, -1, 1.5, True, "32", 1 << 31)),
        *(("sliding_window", value, "sliding_window is") for value in (0, -4096, True)),
        *(("num_hidden_layers", value, "num_hidden_layers is") for value in (0, -1, True, 10**6)),
        ("num_local_experts", 10**6, "from 0 to 4,096"),
        ("pad_token_id", True, "pad_token_id is True and must be a whole number"),
        ("initializer_range", False, "initializer_range is False and must be a number"),
    ],
)
def test_a_value_out_of_range_is_named(key: str, value: Any, said: str) -> None:
    with pytest.raises(BaseModelError, match=said) as caught:
        check_values(CONFIG, {"model_type": "llama", key: value})
    assert caught.value.fix


def test_usual_values_pass() -> None:
    fine = {
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "hidden_size": 32,
        "num_local_experts": 0,
        "n_inner": None,
    }
    check_values(CONFIG, {"model_type": "llama", "time_step_limit": [0.0, INFINITE], **fine})


@pytest.mark.parametrize("length", ["x", True, 0, -1, [512]])
def test_a_context_that_is_no_number(length: Any) -> None:
    with pytest.raises(BaseModelError, match="model_max_length is"):
        check_context(Path("tokenizer_config.json"), {"model_max_length": length})
    check_context(Path("tokenizer_config.json"), {"model_max_length": 10**30})
    check_context(Path("tokenizer_config.json"), {})


@pytest.mark.parametrize(
    "changes",
    [
        {"vocab_size": 3 * 10**7},
        {"intermediate_size": 10**8},
        {"hidden_size": 1 << 20},
        {"head_dim": 1 << 24},
    ],
)
def test_a_config_that_asks_for_more_than_the_weights_hold(changes: dict[str, int], tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    shapes = {"model.embed_tokens.weight": (259, 32), "everything else": (20_000,)}
    check_room(folder, shapes)
    (folder / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(BaseModelError, match=r"asks for .* weights and the files hold 28,288") as caught:
        check_room(folder, shapes)
    assert caught.value.why.startswith("The largest would be ")
    assert math.prod(shapes["model.embed_tokens.weight"]) == 8288
