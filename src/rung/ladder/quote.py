"""Speeds for the forecast: a few real steps are timed on this machine; the rest is arithmetic."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cached_property

import torch

from rung.ladder.forecast import TrainRate
from rung.ladder.prepare import Prepared
from rung.methods import METHODS, MethodSettings
from rung.records import Rendered
from rung.train import optim
from rung.train.loss import mean_loss, pack_loss

_FORWARD_SHARE = 1.15  # prefill and scoring spend a little more than the bare forward pass


class Timing:
    """Speeds of this machine with this base and these rows; each is measured when it is first asked for.

    Measuring takes some seconds in all and leaves the model as it was. See `rung.ladder.forecast.Speeds`.
    """

    def __init__(self, prepared: Prepared, pack_tokens: int) -> None:
        self.prepared = prepared
        self.rows = _sample(prepared, pack_tokens)
        self.tokens = sum(len(row.ids) for row in self.rows)
        self.train: Mapping[str, TrainRate] = _TrainRates(self)

    @cached_property
    def prefill(self) -> float:
        """Tokens per second, forward only."""
        forward = _best(lambda: mean_loss(self.prepared.base.model, self.rows))
        return self.tokens / forward / _FORWARD_SHARE

    @cached_property
    def decode(self) -> float:
        """Tokens per second, all rows of a full batch together."""
        return _decode_rate(self.prepared)


class _TrainRates(dict[str, TrainRate]):
    """Method -> its speed."""

    def __init__(self, timing: Timing) -> None:
        super().__init__()
        self.timing = timing

    def __missing__(self, method: str) -> TrainRate:
        timing = self.timing
        self[method] = _train_rate(timing.prepared, method, timing.rows, timing.tokens)
        return self[method]


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
