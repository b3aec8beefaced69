"""The loss of a pack and its gradients equal the plain computation, and that of transformers and PEFT."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.mistral.modeling_mistral import MistralRMSNorm

from attaching import attach
from rung.compute import body
from rung.compute.load import tiny
from rung.compute.passes import over_tree
from rung.compute.tree import build
from rung.data.templates import Renderer
from rung.methods import METHODS
from rung.methods.method import Attached
from rung.records import Example, Message, Rendered
from rung.train.loss import count_targets, mean_loss, pack_loss, targets
from tiny_model import VOCABULARY, distance, gradients, plain_loss, random_rows, shake, tiny_model


@pytest.fixture(autouse=True)
def _norms_keep_the_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models' norms compute in fp32, which turns a difference of 1e-16 into one of 1e-7: not in fp64."""

    def forward(self: LlamaRMSNorm | MistralRMSNorm, hidden: Tensor) -> Tensor:
        wide = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * (wide * scale).to(hidden.dtype)

    for norm in (LlamaRMSNorm, MistralRMSNorm):
        monkeypatch.setattr(norm, "forward", forward)


METHOD_NAMES = [  # whose rows have nothing before them, and whose loss is that of the next token
    name for name, method in METHODS.items() if method.promises.identity_at_start and not method.classifies
]


def with_method(name: str, **kind: object) -> tuple[PreTrainedModel, Attached]:
    """A tiny model with a method on it that has moved; the same for the same arguments."""
    model = tiny_model(**kind)  # type: ignore[arg-type]
    attached = attach(name, model, rank=4, alpha=8.0)
    shake(attached.parameters())
    attached.updated()
    return model, attached


@pytest.mark.parametrize("name", METHOD_NAMES)
@pytest.mark.parametrize("window", [None, 6])
@pytest.mark.parametrize("seed", [0, 1])
def test_packed_equals_unpacked_in_fp64(name: str, window: int | None, seed: int) -> None:
    rows = random_rows(9, seed)
    ours, attached = with_method(name, dtype=torch.float64, window=window)
    theirs, plain = with_method(name, dtype=torch.float64, window=window, attention="sdpa")
    loss, wanted = pack_loss(ours, rows), plain_loss(theirs, rows)
    loss.backward()  # type: ignore[no-untyped-call]
    wanted.backward()  # type: ignore[no-untyped-call]
    assert distance(loss.detach(), wanted.detach()) < 1e-10
    pairs = zip(gradients(attached.parameters()), gradients(plain.parameters()), strict=True)
    assert all(bool(other.any()) for other in gradients(plain.parameters()))
    assert max(distance(mine, other) for mine, other in pairs) < 1e-10


def test_the_window_of_that_test_matters() -> None:
    rows = random_rows(9)
    narrow, wide = (plain_loss(tiny_model(window=w, attention="sdpa"), rows) for w in (6, None))
    assert distance(narrow, wide) > 1e-3


def padded(rows: Sequence[Rendered]) -> dict[str, Tensor]:
    """A batch the usual way: padded at the right, labels -100 where nothing is to be learned."""
    width = max(len(row.ids) for row in rows)
    shape = (len(rows), width)
    ids, seen = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, -100)
    for number, row in enumerate(rows):
        length = len(row.ids)
        ids[number, :length] = torch.tensor(row.ids)
        seen[number, :length] = 1
        for place, learned in enumerate(row.mask):
            if learned:
                labels[number, place] = row.ids[place]
    return {"input_ids": ids, "attention_mask": seen, "labels": labels}


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # by PEFT
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("rslora", [False, True])
def test_loss_and_lora_gradients_equal_transformers_with_peft(attention: str, rslora: bool) -> None:
    rows = random_rows(8, seed=2)
    model = tiny_model()
    lora = attach("lora", model, rank=4, alpha=8.0, rslora=rslora)
    shake(lora.parameters())
    state = lora.state()

    config = LoraConfig(
        r=4, lora_alpha=8, use_rslora=rslora, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    peft = get_peft_model(tiny_model(attention=attention), config)
    named = {_our_name(name): p for name, p in peft.named_parameters() if p.requires_grad}
    assert named.keys() == state.keys()
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(state[name])

    wanted = peft(**padded(rows)).loss  # the mean over all target tokens of the batch
    wanted.backward()
    loss = pack_loss(model, rows) / count_targets(rows)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
    ours = dict(zip(state, gradients(lora.parameters()), strict=True))
    theirs = dict(zip(named, gradients(list(named.values())), strict=True))
    assert max(distance(ours[name], theirs[name]) for name in state) < 1e-5


def _our_name(name: str) -> str:
    return re.sub(r"^base_model\.model\.", "", name).replace(".default.", ".")


def test_targets_are_predicted_from_the_token_before() -> None:
    rows = [
        Rendered("a", (10, 11, 12), (False, True, True)),
        Rendered("b", (20, 21, 22, 23), (False, False, True, False)),
    ]
    assert targets(build([row.ids for row in rows]), rows) == {(0, 11): 1, (1, 12): 1, (4, 22): 1}
    assert count_targets(rows) == 3


def test_a_first_token_is_never_a_target() -> None:
    rows = [Rendered("a", (10, 11), (True, True)), Rendered("b", (20, 21), (True, True))]
    assert targets(build([row.ids for row in rows]), rows) == {(0, 11): 1, (2, 21): 1}
    assert count_targets(rows) == 2


def test_the_order_of_rows_in_a_pack_does_not_matter() -> None:
    rows = random_rows(7)
    model = tiny_model(dtype=torch.float64)
    assert float(pack_loss(model, rows)) == pytest.approx(float(pack_loss(model, rows[::-1])), rel=1e-12)


def test_only_target_tokens_count() -> None:
    model = tiny_model(dtype=torch.float64)
    row = Rendered("a", (10, 11, 12, 13), (False, False, True, True))
    longer = Rendered("a", (10, 11, 12, 13, 14), (False, False, True, True, False))
    assert float(pack_loss(model, [longer])) == pytest.approx(float(pack_loss(model, [row])), rel=1e-12)


def test_hidden_states_are_those_of_the_asked_places() -> None:
    model = tiny_model()
    tree = build([row.ids for row in random_rows(4)])
    everywhere = body.hidden_states(model, over_tree(model, tree))
    assert everywhere.shape == (len(tree.ids), 32)
    some = body.hidden_states(model, over_tree(model, tree, torch.tensor([7, 2, 7])))
    assert distance(some, everywhere[[7, 2, 7]]) < 1e-6


def rows_that_share(seed: int) -> list[Rendered]:
    """Rows that branch off each other or are the same, with targets anywhere, on shared tokens too."""
    draw = random.Random(seed)
    rows: list[Rendered] = []
    for number in range(draw.randrange(2, 9)):
        begin: tuple[int, ...] = ()
        if rows and draw.random() < 0.8:
            other = draw.choice(rows).ids
            begin = other[: draw.choice([draw.randrange(2, len(other) + 1), len(other)])]
        more = draw.choice([0, 2, 12] if begin else [2, 20, 150])
        ids = (*begin, *(draw.randrange(3, VOCABULARY) for _ in range(more)))
        mask = [draw.random() < 0.5 for _ in ids]
        rows.append(Rendered(str(number), ids, (*mask[:-1], True)))
    return rows


def loss_and_gradient(
    name: str,
    rows: list[Rendered],
    plain: bool,
    dtype: torch.dtype,
    like: Attached | None = None,
    vocabulary: int = VOCABULARY,
) -> tuple[Attached, Tensor, Tensor]:
    """Loss and all gradients in one vector, ours or one row at a time; parameters as those of `like`."""
    attention = "sdpa" if plain else "rung"
    model, attached = with_method(name, dtype=dtype, attention=attention, vocabulary=vocabulary)
    if like is not None:
        with torch.no_grad():
            for mine, other in zip(attached.parameters(), like.parameters(), strict=True):
                mine.copy_(other)
        attached.updated()
    loss = plain_loss(model, rows) if plain else pack_loss(model, rows)
    loss.backward()  # type: ignore[no-untyped-call]
    vector = torch.cat([x.flatten().double() for x in gradients(attached.parameters())])
    return attached, loss.detach().double(), vector


@pytest.mark.parametrize("name", METHOD_NAMES)
@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("seed", range(4))
def test_shared_beginnings_with_targets_change_nothing(
    name: str, dtype: torch.dtype, most: float, seed: int
) -> None:
    rows = rows_that_share(seed)
    _, loss, together = loss_and_gradient(name, rows, False, dtype)
    _, wanted, alone = loss_and_gradient(name, rows, True, dtype)
    assert distance(loss, wanted) < most
    assert distance(together, alone) < most


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_in_bf16_sharing_is_on_average_no_further_from_fp32_than_plain_rows_are(name: str) -> None:
    """The tiny model's wide weights make plain bf16 itself err by some 5%; one pack varies."""
    ours, plains = [], []
    for seed in range(8):
        rows = rows_that_share(seed)
        like, loss, together = loss_and_gradient(name, rows, False, torch.bfloat16)
        _, _, alone = loss_and_gradient(name, rows, True, torch.bfloat16, like)
        _, wanted, exact = loss_and_gradient(name, rows, True, torch.float32, like)
        assert distance(loss, wanted) < 2e-2
        ours.append(distance(together, exact))
        plains.append(distance(alone, exact))
    assert sum(ours) < 1.25 * sum(plains), (ours, plains)


def test_a_target_that_rows_share_is_computed_once_and_weighs_each_row() -> None:
    begin = tuple(range(10, 22))
    rows = [
        Rendered("a", (*begin, 30), (False,) * 11 + (True, True)),
        Rendered("b", (*begin, 30), (False,) * 11 + (True, True)),
        Rendered("c", (*begin, 31), (False,) * 11 + (True, True)),
    ]
    tree = build([row.ids for row in rows])
    assert len(tree.ids) == 14
    assert targets(tree, rows) == {(10, 21): 3, (11, 30): 2, (11, 31): 1}


def two_turns(count: int) -> list[Rendered]:
    """Conversations that all begin with the same question and answer, which is learned too."""
    renderer = Renderer(tiny().tokenizer)
    first = (Message("user", "What is two and two?"), Message("assistant", "It is four."))
    rows = [
        (*first, Message("user", f"And {n}?"), Message("assistant", f"So it is {n}.")) for n in range(count)
    ]
    return [renderer.render(Example(str(n), row, n + 1)) for n, row in enumerate(rows)]


def test_the_loss_of_a_conversation_is_the_mean_over_the_tokens_of_all_its_answers() -> None:
    (row,) = two_turns(1)
    learned = [at for at, is_learned in enumerate(row.mask) if is_learned]
    text = tiny().tokenizer.decode([row.ids[at] for at in learned])
    assert text == "It is four.<|im_end|>So it is 0.<|im_end|>"
    model = tiny_model(dtype=torch.float64, vocabulary=300)
    plain = tiny_model(dtype=torch.float64, vocabulary=300, attention="sdpa")
    with torch.no_grad():
        said = plain(torch.tensor([row.ids])).logits[0].log_softmax(-1)
    nats = [-float(said[at - 1, row.ids[at]]) for at in learned]
    assert mean_loss(model, [row]) == pytest.approx(sum(nats) / len(nats), rel=1e-12)


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_a_first_answer_that_rows_share_is_learned_once_for_each_row(name: str) -> None:
    rows = two_turns(3)
    tree = build([row.ids for row in rows])
    assert len(tree.ids) < sum(len(row.ids) for row in rows)
    assert sorted(set(targets(tree, rows).values())) == [1, 3]
    _, loss, together = loss_and_gradient(name, rows, False, torch.float64, vocabulary=300)
    _, wanted, alone = loss_and_gradient(name, rows, True, torch.float64, vocabulary=300)
    assert distance(loss, wanted) < 1e-10
    assert distance(together, alone) < 1e-10


@pytest.mark.parametrize("pack_tokens", [1, 40, 10_000])
def test_mean_loss_weighs_every_token_the_same_whatever_the_packs(pack_tokens: int) -> None:
    rows = random_rows(20)
    model = tiny_model(dtype=torch.float64)
    wanted = float(plain_loss(tiny_model(dtype=torch.float64, attention="sdpa"), rows)) / count_targets(rows)
    assert mean_loss(model, rows, pack_tokens) == pytest.approx(wanted, rel=1e-12)


def test_mean_loss_of_a_model_that_knows_nothing_is_log_of_the_vocabulary() -> None:
    model = tiny_model(tied=False)
    with torch.no_grad():
        model.get_output_embeddings().weight.zero_()
    assert mean_loss(model, random_rows(5)) == pytest.approx(torch.tensor(VOCABULARY).log().item(), rel=1e-6)


def test_mean_loss_leaves_no_gradient_and_later_training_works() -> None:
    model, attached = with_method("lora")
    rows = random_rows(4)
    mean_loss(model, rows)
    assert all(p.grad is None for p in attached.parameters())
    pack_loss(model, rows).backward()  # type: ignore[no-untyped-call]
    assert len(gradients(attached.parameters())) == len(attached.parameters())


def test_a_pack_with_nothing_to_learn_loses_nothing() -> None:
    assert float(pack_loss(tiny_model(), [Rendered("a", (5, 6), (False, False))])) == 0.0
