"""Batched decoding says what a plain model says, one prompt at a time, from scratch at every token."""

import random
from collections.abc import Sequence

import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, MistralConfig, MistralForCausalLM

from rung.bases.base import Base
from rung.compute.attention import NAME
from rung.compute.load import tiny
from rung.errors import BaseModelError, DataError, UsageError
from rung.generate import batch, cache, checks
from rung.generate.engine import Engine, Generated
from rung.generate.sample import Sampler

STOPS = frozenset(range(20, 40))


def windowed(kind: str, window: int = 6) -> Base:
    """A small model whose layers (Mistral: all, Gemma 3: half) see `window` tokens only."""
    base = tiny()
    shape = {
        "vocab_size": 259,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "initializer_range": 0.18,
        "sliding_window": window,
        "attn_implementation": NAME,
    }
    torch.manual_seed(1)
    if kind == "mistral":
        base.model = MistralForCausalLM(MistralConfig(**shape)).eval()
    else:
        layers = ["sliding_attention", "full_attention"]
        base.model = Gemma3ForCausalLM(Gemma3TextConfig(**shape, layer_types=layers)).eval()
    return base


def plain(base: Base, prompts: Sequence[Sequence[int]], new: int) -> list[Generated]:
    """The oracle: transformers' eager attention, one row, no cache."""
    base.model.set_attn_implementation("eager")
    answers = []
    with torch.no_grad():
        for prompt in prompts:
            ids, stop = list(prompt), None
            while len(ids) < len(prompt) + new:
                token = int(base.model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
                if token in STOPS:
                    stop = token
                    break
                ids.append(token)
            answers.append(Generated(tuple(ids[len(prompt) :]), stop))
    base.model.set_attn_implementation(NAME)
    return answers


def ragged(seed: int, shared: int, n: int = 13) -> list[list[int]]:
    """Prompts that begin with `shared` common tokens and continue with 1 to 30 of their own."""
    draw = random.Random(seed)
    start = [draw.randrange(40, 259) for _ in range(shared)]
    return [start + [draw.randrange(40, 259) for _ in range(draw.randint(1, 30))] for _ in range(n)]


@pytest.mark.parametrize("shared", [0, 25, 70])
@pytest.mark.parametrize("rows", [1, 4, 64])
def test_says_what_the_plain_model_says(shared: int, rows: int) -> None:
    base, prompts = tiny(), ragged(0, shared)
    got = Engine(base, rows).generate(prompts, max_new_tokens=12, stop_ids=STOPS)
    assert got == plain(base, prompts, 12)
    assert len({answer.truncated for answer in got}) == 2  # some stop early and some do not
    assert len({len(answer.ids) for answer in got}) >= 3


@pytest.mark.parametrize("kind", ["mistral", "gemma3"])
@pytest.mark.parametrize("copied", [0, 64])
@pytest.mark.parametrize(("shared", "window"), [(0, 6), (20, 6), (20, 25), (20, 100)])
def test_respects_sliding_windows(
    kind: str, shared: int, window: int, copied: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "COPIED", copied)
    base, prompts = windowed(kind, window), ragged(1, shared, n=7)
    got = Engine(base, 4).generate(prompts, max_new_tokens=10, stop_ids=STOPS)
    assert got == plain(base, prompts, 10)


def test_windows_matter_to_that_model() -> None:
    prompts = ragged(1, 20, n=7)
    narrow, wide = (
        Engine(windowed("mistral", w)).generate(prompts, max_new_tokens=8, stop_ids=()) for w in (6, 99)
    )
    assert narrow != wide


def test_the_shared_prefix_changes_nothing_but_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    base, prompts = tiny(), ragged(2, 40)
    read: list[int] = []
    original = batch.read_prefix
    monkeypatch.setattr(batch, "read_prefix", lambda base, ids: read.append(len(ids)) or original(base, ids))
    on = Engine(base).generate(prompts, max_new_tokens=8, stop_ids=STOPS)
    monkeypatch.setattr(batch, "common_prefix", lambda prompts: 0)
    off = Engine(base).generate(prompts, max_new_tokens=8, stop_ids=STOPS)
    assert on == off
    assert read[0] >= 40
    assert read[1] == 0


def test_a_wrong_prefix_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    base, prompts = tiny(), ragged(2, 40)
    right = Engine(base).generate(prompts, max_new_tokens=8, stop_ids=STOPS)
    original = batch.read_prefix
    monkeypatch.setattr(batch, "read_prefix", lambda base, ids: original(base, ids[::-1]))
    assert Engine(base).generate(prompts, max_new_tokens=8, stop_ids=STOPS) != right


def test_buffers_grow_and_rows_leave_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "BLOCK", 1)
    monkeypatch.setattr(cache, "PASS_TOKENS", 20)
    base, prompts = tiny(), ragged(3, 0)
    assert Engine(base, 8).generate(prompts, max_new_tokens=60, stop_ids=STOPS) == plain(base, prompts, 60)


def test_identical_prompts_get_identical_answers() -> None:
    base = tiny()
    prompts = [list(range(50, 90))] * 3
    got = Engine(base).generate(prompts, max_new_tokens=5, stop_ids=())
    assert got == plain_no_stop(base, prompts, 5)


def plain_no_stop(base: Base, prompts: Sequence[Sequence[int]], new: int) -> list[Generated]:
    return [Engine(base).generate([prompt], max_new_tokens=new, stop_ids=())[0] for prompt in prompts]


def test_bf16_agrees_with_itself_row_by_row() -> None:
    base, prompts = tiny(dtype=torch.bfloat16), ragged(4, 20)
    together = Engine(base).generate(prompts, max_new_tokens=6, stop_ids=STOPS)
    alone = [Engine(base).generate([prompt], max_new_tokens=6, stop_ids=STOPS)[0] for prompt in prompts]
    same = sum(a.ids[:1] == b.ids[:1] for a, b in zip(together, alone, strict=True))
    assert same >= len(prompts) - 2  # rounding may turn a near tie


def test_the_stop_token_is_kept_apart_and_the_limit_is_told() -> None:
    base, prompt = tiny(), ragged(5, 10, n=1)[0]
    whole = Engine(base).generate([prompt], max_new_tokens=6, stop_ids=())[0]
    assert whole.truncated
    assert len(whole.ids) == 6
    first = whole.ids.index(whole.ids[3])
    stopped = Engine(base).generate([prompt], max_new_tokens=6, stop_ids={whole.ids[3]})[0]
    assert stopped == Generated(whole.ids[:first], stop=whole.ids[3])
    assert not stopped.truncated


def test_the_context_limits_new_tokens() -> None:
    base, prompt = tiny(), list(range(40, 60))
    base.context = 24
    assert len(Engine(base).generate([prompt], max_new_tokens=9, stop_ids=())[0].ids) == 4


def test_progress_counts_rows_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    Engine(tiny(), 4).generate(
        ragged(6, 0),
        max_new_tokens=5,
        stop_ids=STOPS,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (13, 13)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_a_sampler_is_asked() -> None:
    base, prompts = tiny(), ragged(7, 0, n=3)
    engine = Engine(base)
    greedy = engine.generate(prompts, max_new_tokens=6, stop_ids=())
    cold = engine.generate(prompts, max_new_tokens=6, stop_ids=(), sampler=Sampler(0.0))
    warm = engine.generate(prompts, max_new_tokens=6, stop_ids=(), sampler=Sampler(2.0, seed=1))
    assert cold == greedy
    assert warm != greedy


def test_no_prompts_no_answers() -> None:
    assert Engine(tiny()).generate([], max_new_tokens=3, stop_ids=()) == []


def test_a_prompt_too_long_or_empty_is_named() -> None:
    base = tiny()
    base.context = 30
    with pytest.raises(DataError, match=r"prompt 2 of 3.* 30 tokens"):
        Engine(base).generate([[50], [50] * 30, [50]], max_new_tokens=3, stop_ids=())
    with pytest.raises(DataError, match=r"prompt 3 of 3.*empty"):
        Engine(base).generate([[50], [50], []], max_new_tokens=3, stop_ids=())


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(UsageError):
        Engine(tiny(), 0)
    with pytest.raises(UsageError):
        Engine(tiny()).generate([[50]], max_new_tokens=0, stop_ids=())


def test_logits_that_are_not_finite_stop_it() -> None:
    base = tiny()
    with torch.no_grad():
        next(base.model.parameters()).fill_(float("nan"))
    with pytest.raises(BaseModelError, match="not finite"):
        Engine(base).generate([[50, 51]], max_new_tokens=3, stop_ids=())


def test_dropout_is_off_and_the_mode_comes_back() -> None:
    base = tiny()
    base.model.train()
    for module in base.model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.9
    Engine(base).generate([[50, 51]], max_new_tokens=3, stop_ids=())
    assert base.model.training


def test_few_rows_share_the_memory_of_a_long_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny()
    per_token = 2 * 2 * 2 * 8 * 4
    monkeypatch.setattr(checks, "CACHE_BYTES", 3 * 100 * per_token)
    assert checks.places_for(base, 100) == 3
    assert checks.places_for(base, 10**9) == 1
    prompts = ragged(8, 0)
    assert Engine(base).generate(prompts, max_new_tokens=90, stop_ids=STOPS) == plain(base, prompts, 90)
