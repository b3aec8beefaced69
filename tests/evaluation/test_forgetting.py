"""Drift is zero where nothing moved, known where the answer is known, and the base is asked once."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from rung.bases.base import Base
from rung.compute.load import tiny
from rung.errors import DataError, RungError
from rung.evaluation import forgetting
from rung.evaluation.forgetting import Text, drift, general_prompts, reference
from rung.generate.engine import Engine
from rung.records import Message

TEXTS = [Text((50, 51, 52), (60, 61)), Text((70,), (80, 81, 82, 83)), Text((90, 91), (99,))] * 4


class Bytes:
    """A renderer for `tiny`: bytes after its three special tokens."""

    stop_ids = frozenset({2})
    fingerprint = "bytes"

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        return [3 + byte for byte in messages[-1].content.encode()[:12]]


class Swapped:
    """An attached method that adds `change` to the last norm's weight and can take it back."""

    def __init__(self, base: Base, change: torch.Tensor | float) -> None:
        self.weight = base.model.base_model.norm.weight.data
        self.change = change
        self.weight += change

    @contextmanager
    def disabled(self) -> Iterator[None]:
        self.weight -= self.change
        yield
        self.weight += self.change


def test_the_general_prompts_are_many_different_and_plain() -> None:
    prompts = general_prompts()
    assert len(prompts) >= 120
    assert len(set(prompts)) == len(prompts)
    assert len({prompt.split()[0] for prompt in prompts}) > 30
    assert all(10 < len(prompt) < 300 and "{" not in prompt for prompt in prompts)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_equal_to_its_base_gives_exactly_zero_and_one(dtype: torch.dtype) -> None:
    base = tiny(dtype=dtype)
    kl, agreement = drift(base, Swapped(base, 0.0), TEXTS)
    assert (kl.value, kl.low, kl.high) == (0.0, 0.0, 0.0)
    assert (agreement.value, agreement.low, agreement.high) == (1.0, 1.0, 1.0)
    assert (kl.name, kl.unit, kl.higher_is_better, kl.n) == ("kl", "nats/token", False, len(TEXTS))
    assert (agreement.name, agreement.unit, agreement.higher_is_better) == ("top1_agreement", "", True)


def test_drift_equals_the_plain_computation() -> None:
    base = tiny()
    attached = Swapped(base, torch.linspace(-0.5, 0.5, 32))

    def table(text: Text) -> torch.Tensor:
        ids = torch.tensor([[*text.prompt, *text.written]])
        logits = base.model(ids, use_cache=False).logits[0].double()
        return logits[len(text.prompt) - 1 : -1].log_softmax(-1)

    kls, same = [], []
    with torch.no_grad():
        for text in TEXTS:
            tuned = table(text)
            with attached.disabled():
                plain = table(text)
            kls.append(float((plain.exp() * (plain - tuned)).sum(-1).mean()))
            same.append(float((plain.argmax(-1) == tuned.argmax(-1)).double().mean()))
    kl, agreement = drift(base, attached, TEXTS)
    assert kl.value == pytest.approx(sum(kls) / len(kls), abs=1e-5)
    assert agreement.value == pytest.approx(sum(same) / len(same))
    assert kl.value is not None
    assert kl.value > 0.01
    assert kl.low is not None
    assert kl.high is not None
    assert kl.low < kl.value < kl.high


def test_more_change_is_more_drift_and_less_agreement() -> None:
    base = tiny()
    small, large = (drift(base, Swapped(base, c * torch.linspace(-1, 1, 32)), TEXTS) for c in (0.1, 1.0))
    assert small[0].value is not None
    assert large[0].value is not None
    assert 0 < small[0].value < large[0].value


def test_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny()
    attached = Swapped(base, torch.linspace(-0.5, 0.5, 32))
    whole = drift(base, attached, TEXTS)
    monkeypatch.setattr(forgetting, "BATCH_LOGITS", 5 * 259)
    monkeypatch.setattr(forgetting, "HEAD_ROWS", 2)
    parts = drift(base, attached, TEXTS)
    assert parts[0].value == pytest.approx(whole[0].value, abs=1e-6)
    assert parts[1].value == whole[1].value


def test_nothing_to_compare_is_none_not_zero() -> None:
    base = tiny()
    kl, agreement = drift(base, Swapped(base, 0.0), [])
    assert kl.value is None
    assert agreement.value is None


def test_broken_weights_are_an_error() -> None:
    base = tiny()
    with pytest.raises(RungError, match="not finite"):
        drift(base, Swapped(base, math.nan), TEXTS)


def test_the_base_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "general_prompts", lambda: ("What is rain?", "Count to ten.", "Why?"))
    engine = Engine(tiny())
    texts = reference(engine, Bytes(), tmp_path)
    assert [len(text.prompt) for text in texts] == [12, 12, 4]
    assert all(0 < len(text.written) <= 64 for text in texts)
    kept = [path.name for path in tmp_path.iterdir()]
    assert len(kept) == 1

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(engine, "generate", refuse)
    assert reference(engine, Bytes(), tmp_path) == texts
    for name, other in (("bits", 4), ("fingerprint", "another base")):
        setattr(engine.base, name, other)
        with pytest.raises(AssertionError, match="asked again"):
            reference(engine, Bytes(), tmp_path)
        engine.base.bits = None


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"texts": [[1]]}', '{"texts": []}', '{"texts": [["x", "y"]]}']
)
def test_a_damaged_file_is_written_anew(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "general_prompts", lambda: ("What is rain?", "Why?"))
    engine = Engine(tiny())
    texts = reference(engine, Bytes(), tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(damage)
    assert reference(engine, Bytes(), tmp_path) == texts
    assert file.read_text() != damage


def test_a_base_that_says_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bytes, "stop_ids", frozenset(range(259)))
    with pytest.raises(DataError, match="wrote nothing"):
        reference(Engine(tiny()), Bytes(), tmp_path)
