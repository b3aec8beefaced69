"""The cache's columns, masks and shared prefix give plain attention, whichever rows join or leave."""

import pytest
import torch
from torch import Tensor

from rung.compute.attention import Packed, Prefix, reference
from rung.compute.load import tiny
from rung.generate.cache import Decode, common_prefix, prefill, read_prefix

KV, HEADS, SIZE, SCALE = 2, 6, 8, 0.3


def pack(lengths: list[int]) -> Packed:
    """A pack as one layer of a pass would leave it, with random keys and values."""
    packed = Packed(lengths, keep=True)
    packed.keys.append(torch.randn(1, KV, sum(lengths), SIZE))
    packed.values.append(torch.randn(1, KV, sum(lengths), SIZE))
    return packed


class Shadow:
    """What each row should hold, kept the simple way: one tensor a row, the prefix in front."""

    def __init__(self, prefix: Prefix | None) -> None:
        none = torch.zeros(1, KV, 0, SIZE)
        self.front = (prefix.keys[0], prefix.values[0]) if prefix else (none, none)
        self.rows: list[tuple[Tensor, Tensor]] = []

    def change(self, keep: list[int], packed: Packed, chosen: list[int]) -> None:
        self.rows = [self.rows[i] for i in keep]
        keys, values = packed.keys[0].split(packed.lengths, 2), packed.values[0].split(packed.lengths, 2)
        for j in chosen:
            self.rows.append(
                (torch.cat([self.front[0], keys[j]], 2), torch.cat([self.front[1], values[j]], 2))
            )

    def attend(self, q: Tensor, k: Tensor, v: Tensor, window: int | None) -> Tensor:
        outs = []
        for i, (keys, values) in enumerate(self.rows):
            keys, values = torch.cat([keys, k[i : i + 1]], 2), torch.cat([values, v[i : i + 1]], 2)
            self.rows[i] = (keys, values)
            seen = slice(-window if window else None, None)
            outs.append(reference(q[i : i + 1], keys[:, :, seen], values[:, :, seen], SCALE)[0])
        return torch.cat(outs)


def steps(layout: Decode, shadow: Shadow, n: int, window: int | None) -> None:
    for _ in range(n):
        b = len(shadow.rows)
        at = layout.open()
        assert at[:, 0].tolist() == [keys.shape[2] for keys, _ in shadow.rows]
        q, k, v = (torch.randn(b, heads, 1, SIZE) for heads in (HEADS, KV, KV))
        torch.testing.assert_close(
            layout.attend(0, q, k, v, SCALE, window), shadow.attend(q, k, v, window), atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("window", [None, 3, 12, 22])
@pytest.mark.parametrize("shared", [0, 20])
@torch.no_grad()
def test_equals_plain_attention_as_rows_come_and_go(shared: int, window: int | None) -> None:
    torch.manual_seed(0)
    front = pack([20])
    prefix = Prefix(front.keys, front.values) if shared else None
    layout, shadow = Decode(prefix), Shadow(prefix)
    for keep, lengths, chosen in (
        ([], [5, 9, 1, 7], [0, 1, 2, 3]),
        ([0, 2, 3], [4, 30, 2], [1, 2]),
        ([1, 2], [3], []),
        ([1], [6, 6], [0, 1]),
    ):
        packed = pack(lengths)
        layout.change(keep, [(packed, chosen)], room=3)
        shadow.change(keep, packed, chosen)
        steps(layout, shadow, 8, window)


@pytest.mark.parametrize("window", [None, 3, 22])
@torch.no_grad()
def test_a_prefix_that_is_not_shared_becomes_columns(window: int | None) -> None:
    torch.manual_seed(0)
    front = pack([20])
    prefix = Prefix(front.keys, front.values)
    layout, shadow = Decode(None), Shadow(prefix)
    for keep, lengths, chosen in (([], [5, 9, 1], [0, 1, 2]), ([1], [40, 2], [0, 1])):
        packed = pack(lengths)
        packed.prefix = prefix
        layout.change(keep, [(packed, chosen)], room=3)
        shadow.change(keep, packed, chosen)
        assert layout.start == 0
        assert layout.width == layout.end
        steps(layout, shadow, 5, window)


@torch.no_grad()
def test_no_mask_where_all_rows_are_as_long() -> None:
    layout = Decode()
    layout.change([], [(pack([4, 4]), [0, 1])], room=0)
    assert layout._pad is None
    layout.change([0], [(pack([3]), [0])], room=0)
    assert layout._pad is not None


def test_columns_not_yet_in_use_are_masked() -> None:
    layout = Decode()
    layout.change([], [(pack([4, 4]), [0, 1])], room=2)
    assert layout._pad is not None
    assert layout._pad[0, 0, 0].isinf().tolist() == [False] * 4 + [True] * 2
    layout.open()
    assert layout._pad[0, 0, 0].isinf().tolist() == [False] * 5 + [True]


@torch.no_grad()
def test_a_forgotten_mask_would_show() -> None:
    torch.manual_seed(0)
    layout, shadow = Decode(), Shadow(None)
    packed = pack([3, 9])
    layout.change([], [(packed, [0, 1])])
    shadow.change([], packed, [0, 1])
    layout._pad = None
    with pytest.raises(AssertionError, match="not close"):
        steps(layout, shadow, 1, None)


def test_columns_left_of_all_rows_are_let_go() -> None:
    layout = Decode()
    layout.change([], [(pack([50, 3]), [0, 1])], room=2)
    layout.change([1], room=4)
    assert layout.keys[0].shape == (1, KV, 7, SIZE)
    layout.change([])
    assert layout.keys == []
    assert layout.width == 0


@pytest.mark.parametrize(
    ("prompts", "length"),
    [
        ([], 0),
        ([range(30)], 0),
        ([range(30), range(30)], 29),
        ([range(30), range(18), range(25)], 17),
        ([[*range(20), 1], [*range(20), 2], [*range(20), 3, 4]], 20),
        ([[*range(15), 1], [*range(15), 2]], 0),
        ([[1, *range(20)], [2, *range(20)]], 0),
    ],
)
def test_the_common_prefix_leaves_each_prompt_a_token(prompts: list[list[int]], length: int) -> None:
    assert common_prefix([tuple(prompt) for prompt in prompts]) == length


@torch.no_grad()
def test_prefill_reads_in_passes_and_gives_the_last_states(monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny()
    ids = list(range(40, 60))
    tails = [[70, 71, 72], [80], [90, 91], [100, 101, 102, 103]]
    prefix = read_prefix(base, ids)
    monkeypatch.setattr("rung.generate.cache.PASS_TOKENS", 5)
    passes = list(prefill(base, tails, prefix))
    assert [packed.lengths for packed, _ in passes] == [[3, 1], [2], [4]]
    states = torch.cat([some for _, some in passes])
    for tail, state in zip(tails, states, strict=True):
        whole = torch.tensor([[*ids, *tail]])
        at = torch.arange(whole.shape[1])[None]
        alone = base.model.base_model(whole, position_ids=at, use_cache=False).last_hidden_state[0, -1]
        torch.testing.assert_close(state, alone, atol=1e-5, rtol=1e-5)


def test_an_empty_prefix_is_none() -> None:
    assert read_prefix(tiny(), ()) is None
