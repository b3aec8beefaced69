"""Learning curves: what points say about more training, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import expit, logit

from rung.ladder.learning_curve import CHANCES, chance_above, forecast, with_chance
from rung.records import Forecast, Point

AMOUNTS = (50, 100, 200, 400)


def rectified(amount: float) -> float:
    """0.2 without training and 0.9 at the end: 0.9 - 0.7 / (1 + D / 100)."""
    return 0.9 - 0.7 / (1 + amount / 100)


def points(curve: Callable[[float], float], error: float = 0.01) -> list[Point]:
    return [Point(amount, curve(amount), error) for amount in AMOUNTS]


def width(found: Forecast) -> float:
    return found.high - found.low


@pytest.mark.parametrize(
    ("curve", "value"),
    [
        (rectified, 0.822),  # 0.9 - 0.7 / 9
        (lambda amount: 0.95 - 0.6 * (amount / 50) ** -0.5, 0.8),  # a power law: 0.95 - 0.6 / 4
        (lambda amount: float(expit(-1 + 0.4 * np.log(amount / 50))), 0.527),  # logistic in log D
    ],
)
def test_points_on_a_curve_give_its_value(curve: Callable[[float], float], value: float) -> None:
    assert curve(800) == pytest.approx(value, abs=0.001)
    found = forecast(points(curve), 800)
    assert found.value == pytest.approx(value, abs=0.05)
    assert found.low < value < found.high


def test_a_curve_with_no_noise_is_no_trouble() -> None:
    assert forecast(points(rectified, 0.0), 800).value == pytest.approx(rectified(800), abs=0.03)


def test_where_the_points_are_the_forecast_is_the_points() -> None:
    found = forecast(points(rectified), 400)
    assert found.value == pytest.approx(rectified(400), abs=0.02)


def test_noise_widens_and_more_data_narrows() -> None:
    exact, noisy = (forecast(points(rectified, error), 800) for error in (0.01, 0.1))
    assert width(noisy) > 1.2 * width(exact)
    two = forecast(points(rectified, 0.06)[:2], 800)
    four = forecast(points(rectified, 0.06), 800)
    assert width(two) > 1.2 * width(four)


def test_further_away_is_wider() -> None:
    widths = [width(forecast(points(rectified), at)) for at in (500, 2000, 20_000)]
    assert widths == sorted(widths)


def test_a_flat_curve_gives_no_gain() -> None:
    found = forecast([Point(amount, 0.5, 0.02) for amount in (50, 100, 200)], 400)
    assert found.value == pytest.approx(0.5, abs=0.05)
    assert chance_above(found, 0.7) < 0.05


def test_more_training_is_never_worse() -> None:
    falling = [Point(10, 0.6, 0.03), Point(20, 0.5, 0.03), Point(40, 0.4, 0.03)]
    for some in (points(rectified, 0.03), falling):
        values = [forecast(some, at).value for at in (400, 800, 1600, 3200)]
        assert all(after > before - 0.01 for before, after in pairwise(values))


def test_the_same_seed_gives_the_same_forecast() -> None:
    first, again, other = (forecast(points(rectified), 800, seed=seed) for seed in (3, 3, 4))
    assert first == again != other
    assert other.value == pytest.approx(first.value, abs=0.02)
    assert forecast(points(rectified)[::-1], 800, seed=3) == first


def test_one_point_gives_a_wide_interval() -> None:
    found = forecast([Point(10, 0.3, 0.08)], 800)
    assert width(found) > 0.4
    assert found.low < 0.3 < found.high


def test_the_base_is_a_point_without_training() -> None:
    known = forecast([Point(0, 0.6, 0.02), Point(50, 0.62, 0.02)], 800)
    assert known.value > 0.6
    assert forecast([Point(0, 0.6, 0.02)], 800).low > 0.4


def test_a_probe_says_where_it_ends() -> None:
    one = [Point(10, 0.3, 0.08)]
    alone, low, high = (forecast(one, 800, probe=probe) for probe in (None, 0.35, 0.9))
    assert low.value < alone.value < high.value
    assert width(low) < width(alone)


def test_points_of_100_are_shares_of_their_bound() -> None:
    share = forecast(points(rectified, 0.02), 800)
    scaled = [Point(one.amount, 100 * one.score, 100 * one.error) for one in share.points]
    found = forecast(scaled, 800, bound=100)
    assert found.value == pytest.approx(100 * share.value)
    assert (found.low, found.high) == pytest.approx((100 * share.low, 100 * share.high))
    assert chance_above(found, 80, bound=100) == pytest.approx(chance_above(share, 0.8))


def test_scores_at_the_ends_of_the_scale() -> None:
    none = forecast([Point(amount, 0.0, 0.03) for amount in (50, 100, 200)], 400)
    every = forecast([Point(amount, 1.0, 0.03) for amount in (50, 100, 200)], 400)
    assert 0 <= none.low < none.value < 0.1
    assert 0.95 < every.value < every.high <= 1


def test_chances_are_those_of_the_levels() -> None:
    found = forecast(points(rectified), 800)
    assert len(found.levels) == len(CHANCES)
    assert (found.low, found.value, found.high) == (found.levels[3], found.levels[7], found.levels[11])
    assert chance_above(found, found.value) == pytest.approx(0.5)
    assert chance_above(found, found.high) == pytest.approx(0.1)
    assert (chance_above(found, 0.0), chance_above(found, 1.0)) == (1.0, 0.0)
    halfway = (found.levels[7] + found.levels[8]) / 2  # of the chances 0.5 and 0.4
    assert chance_above(found, halfway) == pytest.approx(0.45)


def test_an_uncertain_bar_brings_chances_nearer_to_a_half() -> None:
    found = forecast(points(rectified), 800)
    assert chance_above(found, 0.95, error=0.1) > 2 * chance_above(found, 0.95)
    one = with_chance(found, "probe", 0.95, error=0.1)
    assert (one.best, one.bar) == ("probe", 0.95)
    assert one.chance == chance_above(found, 0.95, error=0.1)
    assert one.levels == found.levels


@pytest.mark.parametrize(
    ("some", "at"),
    [
        ([], 10),
        ([Point(1, 0.5, 0.1)], 0),
        ([Point(-1, 0.5, 0.1)], 10),
        ([Point(1, 1.5, 0.1)], 10),
        ([Point(1, 0.5, -0.1)], 10),
    ],
)
def test_what_cannot_be_is_refused(some: list[Point], at: float) -> None:
    with pytest.raises(ValueError, match="point"):
        forecast(some, at)


def stretched(start: float, end: float, half: float, power: float) -> Callable[[float], float]:
    """An exponential approach, which none of the curves is."""
    return lambda amount: start + (end - start) * (1 - np.exp(-((amount / half) ** power)))


def gompertz(start: float, end: float, half: float, power: float) -> Callable[[float], float]:
    return lambda amount: start + (end - start) * np.exp(-((amount / half) ** -power))


@pytest.mark.parametrize("family", [stretched, gompertz])
@pytest.mark.parametrize(
    ("shares", "rows"), [((1 / 8, 1 / 4, 1 / 2), 64), ((1 / 80, 1 / 40, 1 / 20), 32)], ids=["near", "far"]
)
def test_intervals_cover_curves_of_other_families(
    family: Callable[..., Callable[[float], float]], shares: tuple[float, ...], rows: int
) -> None:
    """80% intervals hold between 70% and 92% of true scores. Points are scores on so many rows, and every
    training is off by 0.15 logits."""
    rng, trials, inside = np.random.default_rng(7), 150, 0
    for seed in range(trials):
        start = rng.uniform(0, 0.5)
        curve = family(
            start, rng.uniform(start, 1), float(np.exp(rng.uniform(-4, 0.7))), rng.uniform(0.5, 1.3)
        )

        def trained(amount: float, curve: Callable[[float], float] = curve) -> float:
            share = np.clip(curve(amount), 0.002, 0.998)
            return float(expit(logit(share) + 0.15 * rng.standard_normal()))

        some = []
        for share in shares:
            right = rng.binomial(rows, trained(share))
            fair = (right + 1) / (rows + 2)
            some.append(Point(share, right / rows, float(np.sqrt(fair * (1 - fair) / rows))))
        found = forecast(some, 1.0, seed=seed)
        inside += found.low <= trained(1.0) <= found.high
    assert 0.70 <= inside / trials <= 0.92
