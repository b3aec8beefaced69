"""Weights in few bits, in blocks of 64 numbers with one scale each; n numbers, m = max |w| of a block.

    4 bits   code = the NF4 level next to w / m       (QLoRA, arXiv 2305.14314: 16 quantiles of a normal)
             and m in 8 bits ("double quantisation"): mean(m) apart, the rest in blocks of 256 as
             levels of the dynamic map (arXiv 1511.04561) times the largest of the block
    8 bits   code = round(127 w / m), and m / 127 in fp32

A number takes 4 + 8 / 64 + 32 / (64 * 256) = 4.13 bits, or 8.5. The 4-bit layout is that of bitsandbytes (two
codes a byte, the first in the upper half), and so are codes and values, bit for bit. Its scales may be one
level off where two levels are equally near: on the CPU it looks them up in a coarser table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import pad

BLOCK = 64  # numbers with one scale
SCALES = 256  # scales with one scale of their own
NF4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635),
    *(-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725),
    *(0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941),
    *(0.7229568362236023, 1.0),
)
_LEVELS = torch.tensor(NF4)
_BOUNDS = ((_LEVELS[:-1] + _LEVELS[1:]) / 2).tolist()  # half way between two levels
_CHUNK = 4096  # blocks at a time: their values in fp32, 1 MiB, stay in a core's cache
_LEAST = 1e-38  # in place of the m of a block of zeros
Parts = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Format:
    """How numbers are held: `pack` makes named tensors of n numbers, `unpack` writes n numbers from them."""

    pack: Callable[[Tensor], Parts]  # flat (n,), any float format
    unpack: Callable[[Mapping[str, Tensor], Tensor], None]  # the parts, and where to: flat (n,)


def _pack_4(flat: Tensor) -> Parts:
    most = _most(flat, BLOCK)  # (n / 64,)
    codes = torch.empty(len(most) * BLOCK // 2, dtype=torch.uint8, device=flat.device)
    for at, some in _chunks(flat, len(most)):
        share = _share(some, most[at : at + len(some)])
        close = torch.zeros_like(share, dtype=torch.uint8)  # (blocks, 64)
        for bound in _BOUNDS:  # for 16 levels twice as fast as a search
            close += share > bound
        pairs = (close[:, ::2] << 4) | close[:, 1::2]
        codes[at * BLOCK // 2 :][: pairs.numel()] = pairs.flatten()
    offset = most.mean()
    most -= offset
    steps = _most(most, SCALES)
    whole = pad(most, (0, len(steps) * SCALES - len(most))).view(-1, SCALES)
    levels = dynamic(flat.device)
    scales = torch.bucketize(_share(whole, steps), (levels[:-1] + levels[1:]) / 2, out_int32=True)
    scales = scales.flatten()[: len(most)].to(torch.uint8)
    return {"codes": codes, "scales": scales, "steps": steps, "offset": offset}


def _unpack_4(parts: Mapping[str, Tensor], out: Tensor) -> None:
    scales = parts["scales"]
    steps = parts["steps"].repeat_interleave(SCALES)[: len(scales)]
    most = dynamic(out.device)[scales.int()].mul_(steps).add_(parts["offset"])  # (n / 64,)
    pairs = _pairs(out.device)
    codes = parts["codes"]
    for at in range(0, len(most), _CHUNK):
        bytes_ = codes[at * BLOCK // 2 : (at + _CHUNK) * BLOCK // 2]
        values = torch.index_select(pairs, 0, bytes_.int()).view(torch.float32).view(-1, BLOCK)
        values *= most[at : at + _CHUNK, None]
        place = out[at * BLOCK : (at + _CHUNK) * BLOCK]
        place.copy_(values.view(-1)[: len(place)])


def _pack_8(flat: Tensor) -> Parts:
    most = _most(flat, BLOCK)
    codes = torch.empty(len(flat), dtype=torch.int8, device=flat.device)
    for at, some in _chunks(flat, len(most)):
        whole = torch.round(some * (127 / most[at : at + len(some)].clamp_min(_LEAST))[:, None])
        place = codes[at * BLOCK : (at + _CHUNK) * BLOCK]
        place.copy_(whole.clamp_(-127, 127).flatten()[: len(place)])
    return {"codes": codes, "scales": most / 127}


def _unpack_8(parts: Mapping[str, Tensor], out: Tensor) -> None:
    codes, scales = parts["codes"], parts["scales"]
    full = len(codes) // BLOCK
    for at in range(0, full, _CHUNK):
        stop = min(at + _CHUNK, full)
        some, place = (numbers[at * BLOCK : stop * BLOCK].view(-1, BLOCK) for numbers in (codes, out))
        torch.mul(some, scales[at:stop, None], out=place)
    out[full * BLOCK :].copy_(codes[full * BLOCK :] * scales[full:])


FORMATS = {4: Format(_pack_4, _unpack_4), 8: Format(_pack_8, _unpack_8)}


def _most(flat: Tensor, size: int) -> Tensor:
    """The largest |number| of each block of `size`, in fp32: (n,) -> (blocks,); the last may be short."""
    full = len(flat) // size * size
    found: Tensor = torch.linalg.vector_norm(flat[:full].view(-1, size), torch.inf, 1).float()
    if full < len(flat):
        found = torch.cat([found, flat[full:].abs().amax()[None].float()])
    return found


def _chunks(flat: Tensor, blocks: int) -> Iterator[tuple[int, Tensor]]:
    """The number of the first block, and some blocks (blocks, 64) in fp32; the last is filled with zeros."""
    for at in range(0, blocks, _CHUNK):
        some = flat[at * BLOCK : (at + _CHUNK) * BLOCK].float()
        yield at, pad(some, (0, -len(some) % BLOCK)).view(-1, BLOCK)


def _share(blocks: Tensor, most: Tensor) -> Tensor:
    """Each number over the largest of its block, from -1 to 1; blocks (blocks, size), most (blocks,)."""
    return blocks * (1 / most.clamp_min(_LEAST))[:, None]


@cache
def _pairs(device: torch.device) -> Tensor:
    """For every byte the levels of its halves, two fp32 numbers as one of 64 bits: one look-up for both."""
    byte = torch.arange(256, device=device)
    levels = _LEVELS.to(device)
    pairs = torch.stack([levels[byte >> 4], levels[byte & 15]], 1)
    return pairs.view(torch.int64).flatten()


@cache
def dynamic(device: torch.device) -> Tensor:
    """The 256 levels of the dynamic map, sorted: of 7 decades below 1, each finer than the one below it."""
    found = [0.0, 1.0]
    for decade in range(7):
        edges = torch.linspace(0.1, 1, 2**decade + 1)
        middles = 10.0 ** (decade - 6) * ((edges[:-1] + edges[1:]) / 2)
        found += [*middles.tolist(), *(-middles).tolist()]
    return torch.tensor(sorted(found), device=device)
