"""Where A and B begin: the directions that PiSSA and EVA find are the right ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from attaching import attach
from families import base_of, model_of
from rung.compute.linears import weight_of
from rung.compute.sites import site_of
from rung.errors import UsageError
from rung.methods.lora import Lora, LoraSettings
from rung.methods.low_rank import LowRankChange
from rung.methods.starts import Directions, pissa
from rung.records import Rendered
from tiny_model import distance, random_rows, tiny_model


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spread(rows: int, columns: int, fall: float = 0.7) -> Tensor:
    """A matrix whose singular values fall."""
    u = torch.linalg.qr(torch.randn(rows, rows, generator=draw(1), dtype=torch.float64))[0]
    v = torch.linalg.qr(torch.randn(columns, columns, generator=draw(2), dtype=torch.float64))[0]
    count = min(rows, columns)
    return u[:, :count] * fall ** torch.arange(count) @ v[:count]


def same_space(found: Tensor, wanted: Tensor) -> float:
    """1 where rows (r, n), orthonormal, span the same space."""
    return float((found @ wanted.T).norm() ** 2 / len(wanted))


def test_the_leading_directions_of_a_matrix_seen_in_parts() -> None:
    x = spread(40, 30)
    found = Directions(30, 3, draw(), x)
    for number in range(6):
        if number:
            found.turn()
        for part in x.split(7):
            found.add(part)
    best = found.best(3)
    assert torch.allclose(best @ best.T, torch.eye(3, dtype=torch.float64), atol=1e-10)
    assert same_space(best, torch.linalg.svd(x)[2][:3]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("shape", [(24, 40), (40, 24)])
def test_pissa_begins_at_the_largest_singular_values(shape: tuple[int, int]) -> None:
    base = nn.Linear(shape[1], shape[0]).double()
    with torch.no_grad():
        base.weight.copy_(spread(*shape))
    change = LowRankChange(base, 4, 0.7, draw())
    pissa(change, base, draw())
    u, sizes, v = torch.linalg.svd(base.weight.detach(), full_matrices=False)
    wanted = u[:, :4] * sizes[:4] @ v[:4]
    assert distance(change.scale * (change.b @ change.a).detach(), wanted) < 1e-4
    assert torch.allclose(change.a.norm(dim=1), change.b.norm(dim=0))  # the root of a singular value each
    assert not change.delta().any()


def test_pissa_has_no_room_above_the_width_of_a_layer() -> None:
    model = tiny_model()
    with pytest.raises(
        UsageError, match=r"rank 17 is above the width of model\.layers\.0\.self_attn\.k_proj, which is 16"
    ):
        Lora(model, LoraSettings(rank=17, start="pissa"))
    assert not any(hasattr(module, "changes") for module in model.modules())


def what_is_read(kind: str, name: str, rows: list[Rendered]) -> Tensor:
    """All that a layer of the plain model reads in `rows`, one row at a time (tokens, in)."""
    model = model_of(kind)
    read: list[Tensor] = []
    handle = model.get_submodule(name).register_forward_pre_hook(
        lambda _m, x: read.append(x[0].flatten(0, -2))
    )
    with torch.no_grad():
        for row in rows:
            model(input_ids=torch.tensor([row.ids]))
    handle.remove()
    return torch.cat(read)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])  # the three paths
def test_eva_begins_at_what_the_layers_read(kind: str) -> None:
    base, rows = base_of(kind), random_rows(12, seed=2)
    lora = attach("lora", base.model, rank=3, start="eva")
    assert isinstance(lora, Lora)
    at_first = {name: change.a.detach().clone() for name, change in lora.changes.items()}
    lora.begin(rows)
    for name, change in lora.changes.items():
        a = change.a.detach()
        x = what_is_read(kind, name, rows)
        best = float((x @ torch.linalg.svd(x)[2][:3].T).norm())
        assert torch.allclose(a @ a.T, torch.eye(3), atol=1e-4)
        assert float((x @ a.T).norm()) > 0.98 * best > float((x @ at_first[name].T).norm())
        assert not change.b.any()
        assert site_of(base.model, name).on is change


def test_eva_leaves_a_layer_that_reads_nothing_as_it_is() -> None:
    """Mamba multiplies by the weight of its time steps itself."""
    base = base_of("mamba")
    lora = attach("lora", base.model, rank=2, start="eva")
    assert isinstance(lora, Lora)
    at_first = lora.state()
    lora.begin(random_rows(4))
    unchanged = {
        name.rpartition(".lora_A")[0].rpartition(".")[2]
        for name, tensor in lora.state().items()
        if "lora_A" in name and torch.equal(tensor, at_first[name])
    }
    assert unchanged <= {"dt_proj"}


def test_the_same_seed_begins_the_same() -> None:
    def begin(seed: int) -> list[Tensor]:
        lora = Lora(tiny_model(), LoraSettings(rank=4, start="eva"), seed=seed)
        lora.begin(random_rows(6))
        return [parameter.detach() for parameter in lora.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(begin(0), begin(0), strict=True))


def test_the_weight_of_gpt2_is_the_other_way_round() -> None:
    model = model_of("gpt2")
    lora = Lora(model, LoraSettings(rank=3, targets=("c_fc",), start="pissa"))
    for name, change in lora.changes.items():
        weight = weight_of(site_of(model, name).base)
        taken = change.scale * (change.b @ change.a).detach()
        assert float((weight - taken).norm()) < 0.97 * float(weight.norm())
