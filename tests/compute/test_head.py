"""The loss of the head equals cross-entropy over the model's own logits, gradients and weights included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    PreTrainedModel,
)

from rung.compute import head
from tiny_model import VOCABULARY, distance, gradients, tiny_model


@pytest.fixture(params=[7, 256], ids=["many-chunks", "one-chunk"], autouse=True)
def _chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "CHUNK", request.param)


def rows(count: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden rows, targets and weights."""
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(count, 32, generator=draw, dtype=torch.float64).to(dtype)
    targets = torch.randint(VOCABULARY, (count,), generator=draw)
    return hidden, targets, torch.rand(count, generator=draw, dtype=torch.float64) * 3


def plain(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    losses = cross_entropy(logits, targets, reduction="none")
    return losses.sum() if weights is None else (losses * weights).sum()


def head_of(model: PreTrainedModel) -> nn.Linear:
    layer = model.get_output_embeddings()
    assert isinstance(layer, nn.Linear)
    return layer


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("count", [1, 20])
def test_loss_and_both_gradients_equal_cross_entropy(count: int, weighted: bool) -> None:
    model = tiny_model(dtype=torch.float64).requires_grad_(True)
    weight = head_of(model).weight
    hidden, targets, weights = rows(count)
    share = weights if weighted else None
    ours, theirs = (hidden.clone().requires_grad_() for _ in range(2))
    loss = head.loss_sum(model, ours, targets, share)
    (3 * loss).backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    mine = weight.grad.clone()
    weight.grad = None
    wanted = plain(theirs @ weight.T, targets, share)
    (3 * wanted).backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx(float(wanted.detach()), rel=1e-12)
    assert ours.grad is not None
    assert theirs.grad is not None
    assert distance(ours.grad, theirs.grad) < 1e-10
    assert distance(mine, gradients([weight])[0]) < 1e-10


def test_weights_count_a_row_more_than_once() -> None:
    model = tiny_model(dtype=torch.float64)
    hidden, targets, _ = rows(3)
    twice = head.loss_sum(model, hidden, targets, torch.tensor([2.0, 0.0, 1.0], dtype=torch.float64))
    spelled = head.loss_sum(model, hidden[[0, 0, 2]], targets[[0, 0, 2]])
    assert float(twice) == pytest.approx(float(spelled), rel=1e-12)


def test_in_bf16_sums_are_kept_in_fp32() -> None:
    model = tiny_model(dtype=torch.bfloat16)
    hidden, targets, _ = rows(2000, torch.bfloat16)
    loss = head.loss_sum(model, hidden, targets)
    wanted = plain((hidden @ head_of(model).weight.T).float(), targets, None)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(wanted), rel=1e-5)


def test_no_rows_lose_nothing() -> None:
    model = tiny_model(dtype=torch.float64)
    hidden, targets, _ = rows(0)
    loss = head.loss_sum(model, hidden.requires_grad_(), targets)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0.0


def test_confident_and_hopeless_rows_stay_finite() -> None:
    model = tiny_model()
    hidden, targets, _ = rows(4, torch.float32)
    hidden = (1e4 * hidden).requires_grad_()
    loss = head.loss_sum(model, hidden, targets)
    loss.backward()  # type: ignore[no-untyped-call]
    assert hidden.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(hidden.grad).all()


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts matrix products."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.matmul)
        return func(*args, **(kwargs or {}))


def test_gradients_nobody_asks_for_are_not_formed() -> None:
    """A measurement of dev loss costs one product a chunk, also while every weight is trained."""
    model = tiny_model(dtype=torch.float32).requires_grad_(True)
    hidden, targets, _ = rows(7, torch.float32)
    with torch.inference_mode(), Products() as seen:
        head.loss_sum(model, hidden, targets)
    assert seen.count == 1
    with Products() as seen:
        head.loss_sum(model, hidden.requires_grad_(), targets)
    assert seen.count == 3


SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "initializer_range": 0.3,
    "attn_implementation": "rung",
}
ODD = {
    "granite": lambda: GraniteForCausalLM(GraniteConfig(**SHAPE, logits_scaling=3.0)),
    "cohere": lambda: CohereForCausalLM(CohereConfig(**SHAPE, logit_scale=0.25)),
    "gemma2": lambda: Gemma2ForCausalLM(
        Gemma2Config(**SHAPE, final_logit_softcapping=2.0, attn_logit_softcapping=None)
    ),
}


@pytest.mark.parametrize("name", [*ODD, "llama"])
def test_logits_equal_the_models_own(name: str) -> None:
    torch.manual_seed(0)
    model = ODD[name]().double().eval() if name in ODD else tiny_model(dtype=torch.float64)
    assert head.is_plain(model) is (name == "llama")
    ids = torch.randint(3, VOCABULARY, (1, 9))
    with torch.no_grad():
        wanted = model(input_ids=ids, use_cache=False).logits[0]
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0]
        logits = head.target_logits(model, hidden)
        if name != "llama":  # what is scaled or capped must show
            assert distance(head_of(model)(hidden), wanted) > 0.01
    assert distance(logits, wanted) < 1e-6
    _, targets, weights = rows(9)
    loss = head.loss_sum(model, hidden, targets, weights).detach()
    assert float(loss) == pytest.approx(float(plain(wanted, targets, weights).detach()), rel=1e-5)
