"""Weaken the change of a tuned rung where dev or the bound on forgetting ask for it; `strength` decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rung import numbers, storage
from rung.bases.base import Base
from rung.data.split import sample
from rung.evaluation import forgetting
from rung.evaluation.forgetting import Text
from rung.ladder import strength
from rung.ladder.bound import too_much
from rung.ladder.label_rows import pairs_of
from rung.ladder.prepare import Prepared
from rung.ladder.strength import Tried
from rung.methods import METHODS, on_disk
from rung.methods.method import Attached
from rung.methods.on_disk import OnDisk
from rung.records import Choice, Example, Measure, Tradeoff
from rung.train.dpo import Dpo
from rung.train.keep import General, Keep
from rung.train.loss import row_losses

if TYPE_CHECKING:
    from rung.ladder.tuning import Tuned

_STATE = ".trained.tmp"
_CHECKS = 3  # of a bound, on all texts


@dataclass(frozen=True, slots=True)
class Held:
    """What the rung forgot with its change as it is now, and how that was chosen."""

    drift: tuple[Measure, Measure]
    strength: float = 1.0  # 1: as trained
    tradeoffs: tuple[Tradeoff, ...] = ()
    choices: tuple[Choice, ...] = ()
    notes: tuple[str, ...] = ()


def hold(prepared: Prepared, tuned: Tuned, texts: Sequence[Text], folder: Path) -> Held:
    """Measure what was forgotten on `texts`, and weaken the change where that helps or a bound asks for it.

    `folder` is for a temporary file.
    """
    bound = prepared.settings.max_forgetting
    first = forgetting.drift(prepared.base, tuned.attached, texts)
    aim = strength.NEGLIGIBLE if bound is None else bound
    if first[0].value is None or first[0].value <= aim:
        return Held(first)
    if not METHODS[tuned.applied["method"]].promises.scalable:
        return Held(first, notes=(_too_much(first[0].value, bound),) if bound else ())
    path = folder / _STATE
    with storage.explained(path), storage.step("write", path):
        storage.make_folder(folder)
        on_disk.write(tuned.attached.state(copy=False), path)
    try:
        return _weakened(prepared, tuned, texts, OnDisk(path), first, bound)
    finally:
        storage.remove(path)


def _weakened(
    prepared: Prepared,
    tuned: Tuned,
    texts: Sequence[Text],
    state: Mapping[str, Tensor],
    first: tuple[Measure, Measure],
    bound: float | None,
) -> Held:
    base, attached = prepared.base, tuned.attached
    dev = sample(prepared.split.dev, strength.DEV_ROWS, prepared.settings.seed)
    losses = _losses_of(prepared, tuned, dev)
    divergence = _Divergence(base, attached, texts[: strength.TEXTS], first[0].value or 0.0)

    def measure(at: float) -> Tried:
        attached.load_scaled(state, at)
        return Tried(at, tuple(losses()), divergence())

    tried = strength.search(measure(1.0), measure, bound)
    taken = strength.choose(tried, bound) or tried[-1]
    for check in range(_CHECKS + 1):
        attached.load_scaled(state, taken.strength)
        drift = first if taken.strength == 1 else forgetting.drift(base, attached, texts)
        kl = drift[0].value or 0.0
        if bound is None or kl <= bound or check == _CHECKS:
            break
        # the estimate was too low: as much weaker as the bound asks for
        taken = measure(taken.strength * (0.9 * bound / kl) ** (1 / strength.POWER))
        tried.append(taken)
    kept = bound is None or kl <= bound
    note = _what_it_saved(first[0], drift[0], tried[0], taken)
    return Held(
        drift,
        taken.strength,
        strength.record(tried, taken),
        (
            Choice(
                "strength of the change",
                f"{taken.strength:.2f}",
                {f"{one.strength:.2f}": one.loss for one in tried},
            ),
        ),
        tuple(filter(None, [note if kept else _too_much(kl, bound or 0.0)])),
    )


def _losses_of(prepared: Prepared, tuned: Tuned, dev: Sequence[Example]) -> Callable[[], list[float]]:
    """What gives the loss of each dev row with the change as it is, of pairs where these were trained on."""
    model, loss = prepared.base.model, tuned.loss
    if isinstance(loss, Dpo):
        pairs = pairs_of(prepared, dev)
        return lambda: loss.each(model, pairs)
    rows = [prepared.rendered[example.id] for example in dev]
    return lambda: row_losses(model, rows)


class _Divergence:
    """A fast estimate of what was forgotten: on a few texts, over the words that are likely to the base.

    It is `whole` for the change as it is now, and is proportional to the divergence on these texts.
    """

    def __init__(self, base: Base, attached: Attached, texts: Sequence[Text], whole: float) -> None:
        rows = [forgetting.as_row(text) for text in texts]
        with attached.disabled():
            self._keep = Keep(General.of(base.model, rows), weight=1.0)
        self._model, self._scale = base.model, 1.0
        self._scale = whole / max(self(), 1e-9)

    def __call__(self) -> float:
        """Nats a token, with the change as it is now."""
        texts = range(len(self._keep.general.rows))
        with torch.inference_mode():
            each = [float(self._keep.loss(self._model, [text])) for text in texts]
        return self._scale * fmean(each)


def _too_much(kl: float, most: float) -> str:
    return f"{too_much(kl, most)}: it cannot be recommended"


def _what_it_saved(before: Measure, now: Measure, whole: Tried, taken: Tried) -> str:
    if taken.strength == 1 or before.value is None or now.value is None:
        return ""
    return (
        f"its change was weakened to {taken.strength:.2f} of its strength: it forgot "
        f"{numbers.significant(now.value)} instead of {numbers.significant(before.value)} nats a token; "
        f"its dev loss is {taken.loss:.3f} instead of {whole.loss:.3f} nats a row"
    )
