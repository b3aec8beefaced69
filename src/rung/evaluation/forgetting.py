"""Side effects of tuning: how far general behaviour drifted from the base.

The plain base answers a fixed set of general prompts once, greedily. On those texts base and tuned model are
compared token by token, over the whole vocabulary:

    KL(base || tuned) = sum over words w of  p_base(w) (log p_base(w) - log p_tuned(w))     (nats per token)

Zero means nothing moved. The divergence on what the base itself would say tracks forgetting of earlier
abilities (Shenfeld et al. 2025, "RL's Razor", measure it on the new task's inputs).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor

from rung import storage
from rung.bases.base import Base
from rung.compute.body import hidden_states
from rung.compute.head import target_logits
from rung.compute.passes import over_segments
from rung.data.templates import Renderer
from rung.errors import DataError, ResourceError, ResumeError, RungError
from rung.evaluation.stats import interval, mean_of, mean_rows
from rung.generate.cache import read_prefix
from rung.generate.checks import evaluating
from rung.generate.engine import Engine
from rung.methods.method import Attached
from rung.records import Measure, Message, Rendered

NEW_TOKENS = 64
BATCH_TEXTS = 8
BATCH_LOGITS = 2**25  # logits of one model held at a time: 128 MiB in fp32
HEAD_ROWS = 64


@dataclass(frozen=True, slots=True)
class Text:
    """A prompt and what the base wrote after it."""

    prompt: tuple[int, ...]
    written: tuple[int, ...]


def as_row(text: Text, name: str = "") -> Rendered:
    """The text as a row whose written part is learned."""
    mask = (False,) * len(text.prompt) + (True,) * len(text.written)
    return Rendered(name, text.prompt + text.written, mask)


def general_prompts() -> tuple[str, ...]:
    """The fixed general prompts that drift is measured on, in order."""
    return _lines("general_prompts.txt")


def replay_prompts() -> tuple[str, ...]:
    """Other general prompts: what the base writes after them may be trained on."""
    return _lines("replay_prompts.txt")


def _lines(name: str) -> tuple[str, ...]:
    lines = (files("rung.evaluation") / name).read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip())


def reference(
    engine: Engine,
    renderer: Renderer,
    folder: Path,
    prompts: Sequence[str] | None = None,
    new_tokens: int = NEW_TOKENS,
) -> tuple[Text, ...]:
    """What the plain base writes after `prompts`, the general ones if not given, at most `new_tokens` each.

    Kept in `folder`, one JSON file for each base, chat template and set of prompts, and read back from there.
    Call it before anything is attached to the base. Prompts that leave no room in the base's context, or
    after which it writes nothing, are left out. Raises `DataError` where nothing is left.
    """
    prompts = general_prompts() if prompts is None else prompts
    base = engine.base
    held = [base.fingerprint, *([base.bits] if base.bits else [])]
    key = storage.fingerprint([*held, renderer.fingerprint, new_tokens, *prompts])
    path = folder / f"reference-{key}.json"
    if path.exists() and (kept := _parse(path)):
        return kept
    ids = [renderer.prompt_ids([Message("user", prompt)]) for prompt in prompts]
    ids = [one for one in ids if len(one) + new_tokens <= engine.base.context]
    answers = engine.generate(ids, max_new_tokens=new_tokens, stop_ids=renderer.stop_ids)
    texts = tuple(Text(tuple(p), a.ids) for p, a in zip(ids, answers, strict=True) if a.ids)
    if not texts:
        raise DataError(
            "the base wrote nothing after any of the general prompts, so drift cannot be measured",
            where=engine.base.name,
            fix="Check its chat template, or turn the forgetting measure off",
        )
    with suppress(ResourceError):  # then they are written again next time
        storage.write_json(path, {"texts": [[text.prompt, text.written] for text in texts]})
    return texts


def _parse(path: Path) -> tuple[Text, ...]:
    """The texts of a file; none where it is damaged, so that they are written again."""
    try:
        pairs = storage.read_json(path)["texts"]
        return tuple(Text(tuple(map(int, prompt)), tuple(map(int, written))) for prompt, written in pairs)
    except (ResumeError, LookupError, TypeError, ValueError):
        return ()


def drift(base: Base, attached: Attached, texts: Sequence[Text], seed: int = 0) -> tuple[Measure, Measure]:
    """KL(base || tuned) in nats per token, and the share of tokens where both would say the same word.

    Both are means over texts of the mean over a text's written tokens, with a 95% interval over texts.
    Computed in fp32 over the whole vocabulary. A model equal to its base gives exactly 0 and 1.
    """
    kls: list[float] = []
    agreements: list[float] = []
    batches = list(_batches(texts, int(base.model.config.get_text_config().vocab_size)))
    # One buffer for the base's log-probabilities, reused by every batch: new ones would fragment the heap.
    most = max((_rows(batch) for batch in batches), default=0)
    plain: Tensor | None = None  # (most, vocabulary), in fp32
    with torch.no_grad(), evaluating(base.model):
        for batch in batches:
            with attached.disabled():
                for first, logs in _log_probabilities(base, batch):
                    if plain is None:
                        plain = logs.new_empty(most, logs.shape[1])
                    plain[first : first + len(logs)] = logs
            assert plain is not None
            kl, same = [], []
            for first, tuned in _log_probabilities(base, batch):
                p = plain[first : first + len(tuned)]
                kl.append((p.exp() * (p - tuned)).sum(-1).clamp_min(0.0))
                same.append((p.argmax(-1) == tuned.argmax(-1)).float())
            sizes = [len(text.written) for text in batch]
            kls += [float(part.double().mean()) for part in torch.split(torch.cat(kl), sizes)]
            agreements += [float(part.double().mean()) for part in torch.split(torch.cat(same), sizes)]
    return (
        _measure("kl", kls, seed, higher_is_better=False, unit="nats/token"),
        _measure("top1_agreement", agreements, seed, higher_is_better=True, unit=""),
    )


def _batches(texts: Sequence[Text], vocabulary: int) -> Iterator[list[Text]]:
    rows = max(1, BATCH_LOGITS // vocabulary)
    batch: list[Text] = []
    for text in texts:
        if not text.written:
            continue
        size = _rows(batch) + len(text.written)
        if batch and (len(batch) == BATCH_TEXTS or size > rows):
            yield batch
            batch = []
        batch.append(text)
    if batch:
        yield batch


def _rows(batch: Sequence[Text]) -> int:
    return sum(len(text.written) for text in batch)


def _log_probabilities(base: Base, batch: Sequence[Text]) -> Iterator[tuple[int, Tensor]]:
    """Log-probabilities (rows, vocabulary) in fp32 at every written token, some rows at a time, and which
    row is the first of them."""
    ids = [text.prompt + text.written[:-1] for text in batch]
    one, layout = over_segments(base.model, ids, read_prefix(base, ()))
    states = hidden_states(base.model, one)
    tails = [
        part[-len(text.written) :]
        for part, text in zip(torch.split(states, layout.lengths), batch, strict=True)
    ]
    first = 0
    for rows in torch.split(torch.cat(tails), HEAD_ROWS):
        yield first, target_logits(base.model, rows).float().log_softmax(-1)
        first += len(rows)


def _measure(name: str, values: Sequence[float], seed: int, *, higher_is_better: bool, unit: str) -> Measure:
    if not values:
        return Measure(
            name, None, higher_is_better=higher_is_better, unit=unit, note="no texts to compare on"
        )
    if not all(math.isfinite(value) for value in values):
        raise RungError(
            "the tuned model or its base gives probabilities that are not finite: drift cannot be measured",
            fix="Train again with a lower learning rate, or in float32",
        )
    value, low, high = interval(mean_rows(values), mean_of, seed)
    note = "mean over texts the base wrote after general prompts"
    return Measure(name, value, low, high, len(values), higher_is_better, unit, note)
