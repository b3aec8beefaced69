"""Every family through one suite: what rung computes with it is what its own code computes, row by row.

Also shown: the path that each family takes, so that a change of transformers that moves one is seen.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import peft
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from families import FAMILIES, VOCABULARY, base_of, model_of
from rung.bases.base import Base
from rung.compute import body
from rung.compute.attention import Packed, positions
from rung.compute.passes import Pass
from rung.compute.plain import outputs, own_states
from rung.evaluation.forgetting import Text, drift
from rung.generate import states
from rung.generate.choose import log_likelihoods
from rung.generate.engine import Engine
from rung.methods.lora import Lora
from rung.methods.lora_settings import LoraSettings
from rung.methods.slots import slots_of
from rung.records import Rendered
from rung.train.loss import pack_loss
from rung.train.trainer import Trainer, TrainSettings
from tiny_model import distance, plain_loss, shake

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
SHARED = 9  # tokens; long enough to be computed once
SETTINGS = LoraSettings(rank=2, alpha=4.0)
# PEFT refuses state spaces, and does not find the linear layers next to some fused experts.
WITHOUT_PEFT = {"mamba", "mamba2", "falcon_h1", "deepseek_v3", "qwen3_next", "llama4_text"}
NEW = 5  # tokens


def rows() -> list[Rendered]:
    """Two rows with a common beginning and one without; longer than the windows."""
    draw = random.Random(0)
    start = [draw.randrange(3, VOCABULARY) for _ in range(SHARED)]
    found = []
    for front, own in ((start, 4), (start, 7), ([], 10)):
        ids = (*front, *(draw.randrange(3, VOCABULARY) for _ in range(own)))
        found.append(Rendered("", ids, tuple(place >= 2 for place in range(len(ids)))))
    return found


@pytest.fixture(scope="module", params=FAMILIES)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def base(kind: str) -> Base:
    return base_of(kind)


@pytest.fixture(scope="module")
def own(kind: str) -> PreTrainedModel:
    """The same weights in transformers' own code."""
    return model_of(kind)


def test_the_path(kind: str, base: Base) -> None:
    assert base.route.path == FAMILIES[kind][0]
    assert bool(base.route.why) is (base.route.path != "fused")


def test_the_page_on_models_says_so(kind: str) -> None:
    table = [
        line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")
    ]
    paths = {name: cells[2].strip() for cells in table for name in cells[1].strip().split(", ")}
    assert paths[kind] == FAMILIES[kind][0]


def test_rows_of_a_pack_are_those_rows_alone(base: Base, own: PreTrainedModel) -> None:
    """Last states of all rows, and what comes out of the first layer, pooled as a probe reads it."""
    ids = [row.ids for row in rows()]
    lengths = [len(row) for row in ids]
    packed = torch.tensor([[token for row in ids for token in row]])
    with torch.no_grad():
        found = body.hidden_states(base.model, Pass(packed, positions(lengths), Packed(lengths)))
        with outputs(own, 1) as first:
            last = [own_states(own, torch.tensor([row]))[0] for row in ids]
        features = states.read(base, ids, [range(n) for n in lengths], [1])
    assert distance(found, torch.cat(last)) < 1e-4
    assert distance(features.mean[0], torch.cat([one.mean(1) for one in first])) < 1e-4
    assert distance(features.last[0], torch.cat([one[:, -1] for one in first])) < 1e-4


@pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys")  # PEFT's for fused experts
def test_loss_and_lora_gradients_are_those_of_peft(kind: str) -> None:
    """Without PEFT: those of our LoRA in the model's own code."""
    base, theirs = base_of(kind), model_of(kind)
    lora = Lora(base.model, SETTINGS)
    draw = torch.Generator().manual_seed(2)
    state = {name: 0.2 * torch.randn(one.shape, generator=draw) for name, one in lora.state().items()}
    lora.load(state)
    if kind in WITHOUT_PEFT:
        same = Lora(theirs, SETTINGS)
        same.load(state)
        oracle = {name: (layer.a, layer.b) for name, layer in same.changes.items()}
    else:
        names = list(lora.changes)
        config = peft.LoraConfig(r=SETTINGS.rank, lora_alpha=SETTINGS.alpha, target_modules=names)
        config.fan_in_fan_out = lora.turned
        peft.inject_adapter_in_model(config, theirs)
        peft.set_peft_model_state_dict(theirs, state)
        modules = {name: theirs.get_submodule(name) for name in names}
        oracle = {name: (m.lora_A.default.weight, m.lora_B.default.weight) for name, m in modules.items()}
    losses = pack_loss(base.model, rows()), plain_loss(theirs, rows())
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
    assert distance(*(loss.detach() for loss in losses)) < 1e-5
    ours = {name: (layer.a, layer.b) for name, layer in lora.changes.items()}
    assert distance(*(flat(pairs[name] for name in ours) for pairs in (ours, oracle))) < 1e-3


def flat(pairs: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """All gradients in one vector; a layer that the loss does not depend on has none."""
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for a in pairs for p in a]
    )


def test_it_writes_and_scores_what_its_own_code_does(base: Base, own: PreTrainedModel) -> None:
    prompts = [row.ids for row in rows()]
    written = Engine(base).generate(prompts, max_new_tokens=NEW, stop_ids=(2,))
    choices = [(5, 6, 7), (5, 9), (11,)]
    scores = log_likelihoods(base, prompts, choices)
    for prompt, answer, found in zip(prompts, written, scores, strict=True):
        with torch.no_grad():
            # the caches of transformers do not know the layers of RecurrentGemma
            cached = base.name != "recurrent_gemma"
            ids = torch.tensor([prompt])
            theirs = own.generate(ids, max_new_tokens=NEW, do_sample=False, use_cache=cached)
            assert [*answer.ids, *([2] if answer.stop else [])] == theirs[0, len(prompt) :].tolist()
            for choice, score in zip(choices, found, strict=True):
                table = own(torch.tensor([[*prompt, *choice]]), use_cache=False).logits[0].log_softmax(-1)
                right = sum(float(table[len(prompt) - 1 + i, token]) for i, token in enumerate(choice))
                assert score == pytest.approx(right, abs=1e-3)


def test_rows_with_different_adapters_are_written_together_or_one_after_the_other(base: Base) -> None:
    """The same either way: what each is with its own adapter alone."""
    held = [Lora(base.model, LoraSettings(rank=2), seed, slot) for seed, slot in enumerate(("a", "b"))]
    for seed, lora in enumerate(held):
        shake(lora.parameters(), seed)
        lora.updated()
    prompts = [row.ids for row in rows()][:3]
    slots = ["b", None, "a"]
    alone = []
    for prompt, slot in zip(prompts, slots, strict=True):
        with slots_of(base.model).using(slot):
            alone += Engine(base).generate([prompt], max_new_tokens=NEW, stop_ids=(2,))
    assert Engine(base).generate(prompts, max_new_tokens=NEW, stop_ids=(2,), slots=slots) == alone
    for lora in held:
        lora.detach()


@pytest.mark.parametrize("some", ["gpt2", "mamba", "gemma2"])
def test_it_is_trained_and_what_it_forgot_is_measured(some: str) -> None:
    base = base_of(some)
    lora = Lora(base.model, LoraSettings(rank=4))
    texts = [Text(row.ids[:4], row.ids[4:]) for row in rows()]
    assert [measure.value for measure in drift(base, lora, texts)] == [0.0, 1.0]
    settings = TrainSettings(learning_rate=2e-2, epochs=4, step_tokens=40, evaluations=2)
    outcome = Trainer(base.model, lora, rows(), rows(), settings).run()
    start, *_, end = (point.dev_loss for point in outcome.curve)
    assert end < 0.9 * start
    assert drift(base, lora, texts)[0].value > 0.01
    (layers, *_) = outcome.mechanisms
    assert (layers.on, layers.why) == (False, body.why_not(base.model))
