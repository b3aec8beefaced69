"""Hidden states of every layer: packed with shared prefixes, and the same as one row at a time."""

from __future__ import annotations

import pytest
import torch

from rung.bases.base import Base
from rung.compute.load import tiny
from rung.errors import DataError
from rung.generate import states


@pytest.fixture(scope="module")
def base() -> Base:
    return tiny(dtype=torch.float64)


ROWS = [[5, 6, 7, 8, 9, 10, 11, 12, 13, 14], [5, 6, 7, 8, 9, 10, 11, 12, 20, 21, 22], [30, 31], [40] * 70]


def _outputs(base: Base, row: list[int]) -> list[torch.Tensor]:
    """What each decoder layer gives in the model's own code."""
    seen: list[torch.Tensor] = []

    def keep(_module: torch.nn.Module, _inputs: object, out: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
        seen.append(out[0] if isinstance(out, tuple) else out)

    hooks = [layer.register_forward_hook(keep) for layer in base.model.base_model.layers]
    base.model(input_ids=torch.tensor([row]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return seen


def test_packed_equals_the_model_row_by_row(base: Base) -> None:
    depth = len(base.model.base_model.layers)
    own = [range(2, 8), range(11), [1], range(3, 70)]
    found = states.read(base, ROWS, own, list(range(1, depth + 1)))
    assert found.mean.shape == (depth, 4, base.model.config.hidden_size)
    for i, (row, mine) in enumerate(zip(ROWS, own, strict=True)):
        with torch.no_grad():
            seen = _outputs(base, row)
        for layer, h in enumerate(seen):
            h = h.view(len(row), -1)
            torch.testing.assert_close(found.mean[layer, i], h[list(mine)].mean(0), atol=1e-6, rtol=0)
            torch.testing.assert_close(found.last[layer, i], h[-1], atol=1e-6, rtol=0)


def test_packed_equals_alone(base: Base) -> None:
    own = [range(len(row)) for row in ROWS]
    packed = states.read(base, ROWS, own, [1, 2])
    for i, row in enumerate(ROWS):
        alone = states.read(base, [row], own[i : i + 1], [1, 2])
        torch.testing.assert_close(packed.mean[:, i : i + 1], alone.mean, atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(packed.last[:, i : i + 1], alone.last, atol=1e-10, rtol=1e-10)


def test_some_layers_are_the_same_as_all(base: Base) -> None:
    own = [range(len(row)) for row in ROWS]
    every = states.read(base, ROWS, own, [1, 2])
    seen: list[tuple[int, int]] = []
    second = states.read(base, ROWS, own, [2], lambda done, rows: seen.append((done, rows)))
    assert torch.equal(every.mean[1:], second.mean)
    assert seen[-1] == (4, 4)


def test_a_row_without_tokens_is_refused(base: Base) -> None:
    with pytest.raises(DataError, match="the prompt is empty"):
        states.read(base, [[]], [[]], [1])


def test_ends_are_the_normed_states_of_last_tokens(base: Base) -> None:
    seen = []
    found = states.ends(base, ROWS, lambda done, total: seen.append((done, total)))
    for place, row in enumerate(ROWS):
        with torch.no_grad():
            wanted = base.model.base_model(input_ids=torch.tensor([row]), use_cache=False).last_hidden_state
        torch.testing.assert_close(found[place], wanted[0, -1].float(), atol=1e-5, rtol=0)
    assert seen[-1] == (4, 4)
    assert not found.requires_grad
    with pytest.raises(DataError):
        states.ends(base, [[]])
