"""Numbers in 4 and 8 bits, against a plain computation one number at a time, and against bitsandbytes."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from rung.compute.blockwise import BLOCK, FORMATS, NF4, SCALES, dynamic

CPU = torch.device("cpu")
LENGTHS = [64, 40, 64 * 3 + 7, 64 * 257, 64 * 4099 + 1]  # one block; a short one; more than a block of scales
DTYPES = [torch.float32, torch.bfloat16]


def numbers(n: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return (torch.randn(n, generator=torch.Generator().manual_seed(seed)) * 0.05).to(dtype)


def unpacked(parts: dict[str, Tensor], bits: int, n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    out = torch.full((n,), torch.nan, dtype=dtype)
    FORMATS[bits].unpack(parts, out)
    return out


def round_trip(flat: Tensor, bits: int) -> Tensor:
    return unpacked(FORMATS[bits].pack(flat), bits, len(flat), flat.dtype)


def blocks_of(flat: Tensor) -> list[np.ndarray]:
    wide = flat.double().numpy()
    return [wide[at : at + BLOCK] for at in range(0, len(wide), BLOCK)]


def test_the_levels_are_quantiles_of_a_normal() -> None:
    """As in the code of the paper: 8 steps above 0 and 7 below, ends at the mean of two offsets."""
    end = 0.5 * ((1 - 1 / 32) + (1 - 1 / 30))
    above = norm.ppf(np.linspace(end, 0.5, 9)[:-1])
    below = -norm.ppf(np.linspace(end, 0.5, 8)[:-1])
    levels = np.sort(np.concatenate([above, [0.0], below])) / above.max()
    assert np.abs(levels - np.array(NF4)).max() < 2e-7
    assert torch.tensor(NF4).double().tolist() == list(NF4)  # so they are fp32 numbers


def test_the_levels_of_scales() -> None:
    levels = dynamic(CPU).tolist()
    assert len(levels) == len(set(levels)) == 256
    assert levels == sorted(levels)
    assert levels[-1] == 1.0
    positive = [x for x in levels if x > 0]
    assert positive[:3] == pytest.approx([0.55e-6, 0.325e-5, 0.775e-5])  # 1, 2, 4, ... levels in a decade
    assert [sum(10**k < x <= 10 ** (k + 1) for x in positive) for k in range(-7, 0)] == [
        *(1, 2, 4, 8, 16, 32, 65)  # and 1 itself
    ]
    assert {-x for x in levels if x < 0} == set(positive) - {1.0}


@pytest.mark.parametrize("n", LENGTHS[:4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_four_bits_one_number_at_a_time(n: int, dtype: torch.dtype) -> None:
    flat = numbers(n, dtype)
    parts = FORMATS[4].pack(flat)
    found = [half for byte in parts["codes"].tolist() for half in (byte >> 4, byte & 15)]
    blocks = blocks_of(flat)
    most = np.array([np.abs(block).max() for block in blocks])
    for number, (block, m) in enumerate(zip(blocks, most, strict=True)):
        for place, w in enumerate(block):
            away = [abs(w / m - level) for level in NF4]
            code = found[number * BLOCK + place]
            assert away[code] <= min(away) + 1e-7
    offset = most.mean()
    assert float(parts["offset"]) == pytest.approx(offset, rel=1e-6)
    levels = dynamic(CPU).double().numpy()
    for at in range(0, len(most), SCALES):
        some = most[at : at + SCALES] - offset
        step = np.abs(some).max()
        assert float(parts["steps"][at // SCALES]) == pytest.approx(step, rel=1e-4, abs=1e-8)
        if len(most) == 1:
            continue  # its distance from the mean is 0
        for scale, m in zip(parts["scales"][at : at + SCALES].tolist(), some, strict=True):
            away = np.abs(m / step - levels)
            assert away[scale] <= away.min() + 1e-5
    values = unpacked(parts, 4, n, dtype)
    for i, value in enumerate(values.tolist()):
        block = i // BLOCK
        m = levels[int(parts["scales"][block])] * float(parts["steps"][block // SCALES]) + offset
        wanted = torch.tensor(NF4[found[i]] * m, dtype=dtype)
        assert value == pytest.approx(float(wanted), rel=1e-2 if dtype is torch.bfloat16 else 1e-5, abs=1e-9)


@pytest.mark.parametrize("n", LENGTHS[:4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_eight_bits_one_number_at_a_time(n: int, dtype: torch.dtype) -> None:
    flat = numbers(n, dtype)
    parts = FORMATS[8].pack(flat)
    values = unpacked(parts, 8, n)
    for number, block in enumerate(blocks_of(flat)):
        m = float(np.abs(block).max())
        assert float(parts["scales"][number]) == pytest.approx(m / 127, rel=1e-6)
        for place, w in enumerate(block):
            code = int(parts["codes"][number * BLOCK + place])
            assert abs(code - 127 * w / m) <= 0.5 + 1e-4
            assert float(values[number * BLOCK + place]) == pytest.approx(code * m / 127, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("bits", [4, 8])
def test_no_number_is_further_off_than_half_a_step(n: int, bits: int) -> None:
    flat = numbers(n)
    off = (round_trip(flat, bits) - flat).abs()
    most = torch.tensor([float(np.abs(block).max()) for block in blocks_of(flat)])
    if bits == 8:
        bound = most / 254
    else:  # half of the widest gap between two levels, and what the scale in 8 bits adds
        gap = max(high - low for low, high in pairwise(NF4))
        bound = most * gap / 2 + 0.04 * (most - most.mean()).abs().max()
    assert bool((off <= bound.repeat_interleave(BLOCK)[:n] * 1.001 + 1e-9).all())
    assert float(off.norm() / flat.norm()) < {4: 0.1, 8: 0.008}[bits]


@pytest.mark.parametrize("bits", [4, 8])
def test_zeros_stay_zeros(bits: int) -> None:
    flat = torch.cat([numbers(64), torch.zeros(128), numbers(64, seed=1)])
    back = round_trip(flat, bits)
    assert torch.equal(back[64:192], torch.zeros(128))
    assert torch.equal(round_trip(torch.zeros(100), bits), torch.zeros(100))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_is_no_number_does_not_become_one(bits: int, wrong: float) -> None:
    flat = numbers(256)
    flat[70] = wrong
    assert not bool(round_trip(flat, bits)[64:128].isfinite().any())


@pytest.mark.parametrize("bits", [4, 8])
def test_levels_stay_as_they_are(bits: int) -> None:
    """In blocks with the same largest number, which the offset holds exactly."""
    whole = torch.tensor(NF4).repeat(4) if bits == 4 else torch.arange(-127, 128, 2)[64:].flip(0)[:64] / 127
    flat = torch.cat([whole, whole.roll(5)]) * 0.75
    assert torch.allclose(round_trip(flat, bits), flat, rtol=1e-6)


def test_bits_for_a_number() -> None:
    flat = numbers(64 * 256 * 8)
    for bits, wanted in ((4, 4 + 8 / 64 + 32 / (64 * 256)), (8, 8.5)):
        held = sum(part.nbytes for part in FORMATS[bits].pack(flat).values()) * 8 / len(flat)
        assert held == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("n", LENGTHS[2:])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_as_bitsandbytes(n: int, dtype: torch.dtype) -> None:
    """Codes and values bit for bit; its CPU code rounds scales in a coarser table."""
    theirs = pytest.importorskip("bitsandbytes.functional")
    flat = numbers(n, dtype)
    codes, state = theirs.quantize_4bit(flat, blocksize=BLOCK, compress_statistics=True, quant_type="nf4")
    parts = FORMATS[4].pack(flat)
    codes = codes.flatten()
    assert torch.equal(parts["codes"][: n // 2], codes[: n // 2])
    assert torch.equal(parts["steps"], state.state2.absmax)
    assert torch.equal(parts["offset"], state.offset)
    assert torch.equal(dynamic(CPU), state.state2.code)
    off = (parts["scales"].int() - state.absmax.int()).abs()
    assert int(off.max()) <= 1
    assert float(off.float().mean()) < 0.01
    held = {"scales": state.absmax, "steps": state.state2.absmax, "offset": state.offset}
    held["codes"] = torch.nn.functional.pad(codes, (0, len(parts["codes"]) - len(codes)))
    assert torch.equal(unpacked(held, 4, n, dtype), theirs.dequantize_4bit(codes[:, None], state).view(-1))
