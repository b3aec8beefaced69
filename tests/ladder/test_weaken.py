"""The change of a tuned rung is weakened as far as a bound asks for, or the run says that it cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rung.config import make_settings
from rung.evaluation import forgetting
from rung.evaluation.forgetting import Text
from rung.ladder import tuning, weaken
from rung.ladder.plan import Plan
from rung.ladder.prepare import Prepared
from rung.ladder.tuning import Tuned
from rung.ladder.watch import Silent
from rung.records import Rendered
from tiny_model import copy_of, same_bytes

LONG = Plan(
    quotes=(),
    dev_rows=30,
    test_rows=40,
    train_rows=40,
    epochs=4.0,
    step_tokens=200,
    pack_tokens=256,
    budget=None,
    setup_seconds=0.0,
    precision="fp32",
)
TEXTS = tuple(Text(tuple(range(5, 15 + i)), tuple(range(30 + i, 60))) for i in range(8))


def trained(prepared: Prepared, method: str, folder: Path, **settings: object) -> tuple[Prepared, Tuned]:
    own = replace(prepared, settings=make_settings({"base": "tiny", **settings}))
    return own, tuning.train(own, LONG, method, folder, Silent())


@pytest.mark.parametrize("method", ["lora", "full", "ia3"])
def test_a_bound_is_kept(prepared: Prepared, method: str, tmp_path: Path) -> None:
    before = copy_of(prepared.base.model)
    own, tuned = trained(prepared, method, tmp_path)
    whole = forgetting.drift(own.base, tuned.attached, TEXTS)[0].value
    assert whole is not None
    bound = whole / 5
    own = replace(own, settings=make_settings({"base": "tiny", "max_forgetting": bound}))
    held = weaken.hold(own, tuned, TEXTS, tmp_path)
    now = forgetting.drift(own.base, tuned.attached, TEXTS)
    assert held.drift == now
    assert now[0].value is not None
    assert bound / 4 < now[0].value <= bound
    (taken,) = (one for one in held.tradeoffs if one.taken)
    assert taken.strength < 1
    assert held.choices[0].chosen == f"{taken.strength:.2f}"
    assert any("instead of" in note for note in held.notes)
    assert list(tmp_path.glob(".trained*")) == []
    tuned.attached.detach()
    assert same_bytes(copy_of(prepared.base.model), before)


def test_nothing_is_weakened_where_the_bound_is_kept_anyway(prepared: Prepared, tmp_path: Path) -> None:
    own, tuned = trained(prepared, "lora", tmp_path, max_forgetting=1000)
    state = tuned.attached.state()
    held = weaken.hold(own, tuned, TEXTS, tmp_path)
    assert held.tradeoffs == held.choices == held.notes == ()
    assert same_bytes(tuned.attached.state(), state)
    tuned.attached.detach()


def test_a_change_that_cannot_be_scaled_is_said(prepared: Prepared, tmp_path: Path) -> None:
    own, tuned = trained(prepared, "prefix", tmp_path, max_forgetting=1e-6)
    held = weaken.hold(own, tuned, TEXTS, tmp_path)
    (note,) = held.notes
    assert "at most 1e-06 were allowed: it cannot be recommended" in note
    assert held.tradeoffs == ()
    tuned.attached.detach()


@pytest.mark.parametrize("free", [True, False])
def test_without_a_bound_the_loss_on_dev_decides(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: bool
) -> None:
    """Where a weaker change costs nothing on dev it is taken, until what is forgotten is negligible."""
    own, tuned = trained(prepared, "lora", tmp_path)
    whole = forgetting.drift(own.base, tuned.attached, TEXTS)[0].value
    assert whole is not None
    state, asked = tuned.attached.state(), []

    def losses(_model: object, rows: Sequence[Rendered]) -> list[float]:
        asked.append(1)
        return [1.0 if free else float(len(asked))] * len(rows)

    monkeypatch.setattr(weaken, "row_losses", losses)
    monkeypatch.setattr(weaken.strength, "NEGLIGIBLE", whole / 10)
    held = weaken.hold(own, tuned, TEXTS, tmp_path)
    (taken,) = (one for one in held.tradeoffs if one.taken)
    assert len(held.tradeoffs) == len(asked) > 1
    assert held.drift[0].value is not None
    if free:
        assert held.drift[0].value == pytest.approx(taken.kl, rel=0.3)
        assert held.drift[0].value <= whole / 10
    else:
        assert taken.strength == 1
        assert same_bytes(tuned.attached.state(), state)
    tuned.attached.detach()
