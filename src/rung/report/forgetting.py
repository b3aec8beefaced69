"""The charts of forgetting: what quality costs in general ability, and what a weaker change gives up.

Forgetting is on a square-root scale: it shows 0, and tells 0.01 from 0.1 as well as 1 from 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from rung import numbers
from rung.records import Tradeoff
from rung.report.drawing import INK, Dot, as_svg, draw, drawing, limits, new_figure, place_labels, series

_AMOUNTS = (0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_LABEL = "forgotten, nats/token"


@dataclass(frozen=True, slots=True)
class Strengths:
    """One rung with its change at several strengths."""

    label: str
    tried: Sequence[Tradeoff]
    colour: int  # from 1


def quality_against_forgetting(
    dots: Sequence[Dot], axis: str, level: Dot | None = None, bound: float | None = None, narrow: bool = False
) -> str:
    """SVG of quality (linear) against nats a token: a dot with its 95% interval for each tuned rung.

    `level` is a rung without tuning, drawn as a horizontal line with its interval; `bound` is the most that
    may be forgotten, in nats a token, a vertical line.  Empty without dots.
    """
    if not dots:
        return ""
    with drawing(11 if narrow else 9.5):
        figure, axes = new_figure((4.5, 3.8) if narrow else (8.6, 3.9))
        _root_axis(axes, max([*(dot.x for dot in dots), bound or 0.0]), narrow)
        axes.set_ylim(*limits([*dots, *([level] if level else [])]))
        words = [f"{d.label}: {d.value:.1f}, forgot {_text(d.x)} nats a token" for d in dots]
        if level is not None:
            _draw_level(axes, level)
            words.append(f"without tuning, {level.label}: {level.value:.1f}")
        if bound is not None:
            _draw_bound(axes, bound)
            words.append(f"at most {bound:g} nats a token may be forgotten")
        for dot in dots:
            draw(axes, dot)
        axes.set_title(axis, loc="left", pad=10 if bound is None else 20)
        place_labels(figure, axes, dots)
        return as_svg(figure, f"{axis} against what was forgotten. {'; '.join(words)}")


def loss_by_strength(rungs: Sequence[Strengths], narrow: bool = False) -> str:
    """SVG of dev loss (nats a row) against nats a token, a line for each rung and a dot for each strength.

    The strength that was taken is outlined.  Empty where no rung tried two strengths.
    """
    rungs = [one for one in rungs if len(one.tried) > 1]
    if not rungs:
        return ""
    with drawing(11 if narrow else 9.5):
        figure, axes = new_figure((4.5, 3.3) if narrow else (8.6, 3.4))
        _root_axis(axes, max(point.kl for one in rungs for point in one.tried), narrow)
        dots = [
            Dot(f"{p.strength:.2f}", max(0.0, p.kl), p.loss, None, None, one.colour, "o", p.taken)
            for one in rungs
            for p in one.tried
        ]
        axes.set_ylim(*limits(dots))
        for one in rungs:
            points = sorted(one.tried, key=lambda point: point.strength)
            x, y = [max(0.0, point.kl) for point in points], [point.loss for point in points]
            axes.plot(x, y, color=series(one.colour), linewidth=1, alpha=0.55)
        for dot in dots:
            draw(axes, dot)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_title("loss on dev, nats a row", loc="left", pad=10)
        place_labels(figure, axes, dots)
        words = "; ".join(f"{one.label}: {_strengths(one.tried)}" for one in rungs)
        return as_svg(
            figure, f"Loss on dev against what was forgotten, by the strength of the change. {words}"
        )


def _strengths(tried: Sequence[Tradeoff]) -> str:
    return ", ".join(
        f"at {p.strength:.2f} loss {numbers.significant(p.loss)} and {_text(p.kl)} nats a token forgotten"
        f"{' (taken)' if p.taken else ''}"
        for p in tried
    )


def _root(values: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64)
    return np.asarray(np.sign(found) * np.sqrt(np.abs(found)))


def _square(values: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64)
    return np.asarray(np.sign(found) * found**2)


def _root_axis(axes: Axes, most: float, narrow: bool) -> None:
    """From a little left of 0 to a little right of `most`."""
    right = 1.15 * max(most, 0.001) ** 0.5
    axes.set_xscale("function", functions=(_root, _square))
    axes.set_xlim(-((0.06 * right) ** 2), right**2)
    gap, ticks = right / (4 if narrow else 8), [0.0]
    for amount in _AMOUNTS:
        if amount**0.5 - ticks[-1] ** 0.5 >= gap and amount**0.5 <= right:
            ticks.append(amount)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(_LABEL)


def _draw_level(axes: Axes, level: Dot) -> None:
    """A horizontal line with its interval, named at its right end."""
    colour = series(level.colour)
    if level.low is not None and level.high is not None:
        axes.axhspan(level.low, level.high, color=colour, alpha=0.08, linewidth=0)
    axes.axhline(level.value, color=colour, linewidth=1.4, linestyle=(0, (5, 3)))
    axes.annotate(
        level.label,
        (1, level.value),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        color=colour,
        fontweight="bold" if level.recommended else "normal",
        annotation_clip=False,
    )


def _draw_bound(axes: Axes, bound: float) -> None:
    """A vertical line, named over its upper end."""
    axes.axvline(bound, color=INK, linewidth=0.8, linestyle=(0, (4, 4)), alpha=0.6)
    axes.annotate(
        f"at most {bound:g}",
        (bound, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 4),
        textcoords="offset points",
        ha="center",
        va="bottom",
        color=INK,
        fontsize="small",
        annotation_clip=False,
    )


def _text(kl: float) -> str:
    return numbers.significant(max(0.0, kl))
