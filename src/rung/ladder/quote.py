"""The forecast: a few real steps are timed on this machine, then each rung's time is arithmetic.

training  = tokens / rate + steps * seconds per optimizer step + looks at dev
answering = prompt tokens / prefill rate + answer tokens / decode rate
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from rung.ladder.prepare import Prepared
from rung.methods import METHODS, MethodSettings
from rung.records import Rendered
from rung.train import optim
from rung.train.loss import mean_loss, pack_loss

_FORWARD_SHARE = 1.15  # prefill and scoring spend a little more than the bare forward pass


@dataclass(frozen=True, slots=True)
class TrainRate:
    """Speed of one method."""

    tokens_per_second: float  # forward and backward
    step_seconds: float  # the optimizer's own work in a step
    attach_seconds: float
    parameters: int


@dataclass(frozen=True, slots=True)
class Rates:
    """What this machine does with this base and these rows."""

    prefill: float  # tokens per second, forward only
    decode: float  # tokens per second, all rows of a full batch together
    train: dict[str, TrainRate]


def measure(prepared: Prepared, methods: Sequence[str], pack_tokens: int) -> Rates:
    """Time a few real steps: some seconds in all. Leaves the model as it was."""
    rows = _sample(prepared, pack_tokens)
    model = prepared.base.model
    tokens = sum(len(row.ids) for row in rows)
    forward = _best(lambda: mean_loss(model, rows))
    return Rates(
        prefill=tokens / forward / _FORWARD_SHARE,
        decode=_decode_rate(prepared),
        train={name: _train_rate(prepared, name, rows, tokens) for name in methods},
    )


def method_settings(prepared: Prepared) -> MethodSettings:
    """The user's settings, as a method reads them."""
    s = prepared.settings
    return MethodSettings(
        rank=s.rank,
        alpha=s.alpha,
        rslora=s.rslora,
        b_rate=s.lora_plus,
        targets=s.targets,
        top_layers=s.top_layers,
        seed=s.seed,
    )


def training_memory(prepared: Prepared, parameters: int, pack_tokens: int) -> int:
    """Bytes at the peak of training: weights, 16 bytes for each trained number, activations of one pack.

    A plain decoder layer keeps about 6d + 2kv + 4f values a token (d hidden, kv key/value width, f
    intermediate), and the loss one chunk of logits in fp32.
    """
    model = prepared.base.model
    config = model.config.get_text_config()
    size = torch.finfo(prepared.base.dtype).bits // 8
    d, f = config.hidden_size, getattr(config, "intermediate_size", 4 * config.hidden_size)
    heads = config.num_attention_heads
    kv = d // heads * (getattr(config, "num_key_value_heads", None) or heads)
    values = config.num_hidden_layers * (6 * d + 2 * kv + 4 * f)
    weights = sum(p.numel() for p in model.parameters()) * size
    return int(weights + 16 * parameters + pack_tokens * values * size + 256 * config.vocab_size * 8)


def _sample(prepared: Prepared, pack_tokens: int) -> list[Rendered]:
    rows: list[Rendered] = []
    room = pack_tokens
    for example in prepared.split.train:
        row = prepared.rendered[example.id]
        if rows and len(row.ids) > room:
            break
        rows.append(row)
        room -= len(row.ids)
    return rows


def _train_rate(prepared: Prepared, name: str, rows: list[Rendered], tokens: int) -> TrainRate:
    model = prepared.base.model
    start = time.perf_counter()
    attached = METHODS[name].attach(model, method_settings(prepared))
    attach_seconds = time.perf_counter() - start
    try:
        vectors = optim.flatten(attached.parameters(), attached.rates())
        parameters = list(vectors.values())
        optimizer = optim.adamw(vectors, 0.0)

        def passes() -> None:
            pack_loss(model, rows).backward()  # type: ignore[no-untyped-call]

        def step() -> None:
            optim.clip(parameters, 1.0)
            optimizer.step()
            attached.updated()

        seconds = _best(passes)
        return TrainRate(
            tokens_per_second=tokens / seconds,
            step_seconds=_best(step),
            attach_seconds=attach_seconds,
            parameters=sum(p.numel() for p in parameters),
        )
    finally:
        attached.detach()


def _decode_rate(prepared: Prepared) -> float:
    speaker = prepared.speaker
    some = prepared.split.train[: speaker.engine.rows]
    prompts = [speaker.renderer.prompt_ids(example.prompt) for example in some]
    new = 12
    start = time.perf_counter()
    speaker.engine.generate(prompts, max_new_tokens=1, stop_ids=())
    between = time.perf_counter()
    speaker.engine.generate(prompts, max_new_tokens=1 + new, stop_ids=())
    seconds = (time.perf_counter() - between) - (between - start)
    return len(prompts) * new / max(seconds, 1e-3)


def _best(work: Callable[[], object]) -> float:
    """Seconds of the faster of two runs, after one to warm up."""
    work()
    times = []
    for _ in range(2):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
