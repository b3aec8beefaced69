"""The charts of every report: quality against time, learning curves, cost against the number of answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from rung import numbers
from rung.records import CurvePoint
from rung.report.costs import BreakEven, Costs, efficient, sentences
from rung.report.drawing import (
    INK,
    LINE,
    PAPER,
    Dot,
    as_svg,
    draw,
    drawing,
    limits,
    new_figure,
    place_labels,
    series,
)
from rung.report.view import FROZEN, NO_MODEL, REMOTE, TUNED

_TICKS: tuple[float, ...] = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_TICKS += tuple(3600 * h for h in (2, 5, 10, 24, 48, 120, 240))
_DECADES = (0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 36_000, *(86_400 * days for days in (10, 100, 1000)))


MARKERS = {NO_MODEL: "^", FROZEN: "o", TUNED: "s", REMOTE: "D"}  # matplotlib's names of shapes
SHAPES = {
    NO_MODEL: "triangles use no language model",
    FROZEN: "circles use the base as it is",
    TUNED: "squares were tuned",
    REMOTE: "diamonds are hosted",
}


@dataclass(frozen=True, slots=True)
class Curve:
    """The learning curve of one rung."""

    label: str
    points: Sequence[CurvePoint]
    colour: int


def quality_against_time(
    dots: Sequence[Dot], axis: str, narrow: bool = False, of: str = "time of the whole rung"
) -> str:
    """SVG of quality (linear) against seconds (log): a dot with its 95% interval for each rung.

    `of` says what the time is of.  Empty where no dot has a time.
    """
    dots = [dot for dot in dots if dot.x > 0]
    if not dots:
        return ""
    with drawing(11 if narrow else 9.5):
        figure, axes = new_figure((4.5, 3.8) if narrow else (8.6, 3.9))
        low, high = min(dot.x for dot in dots), max(dot.x for dot in dots)
        axes.set_xscale("log")
        axes.set_xlim(low / 1.8, high * (2.6 if narrow else 1.8))
        axes.set_ylim(*limits(dots))
        for dot in dots:
            draw(axes, dot)
        _time_ticks(axes, 3 if narrow else 5)
        axes.set_xlabel(of)
        axes.set_title(axis, loc="left", pad=10)
        place_labels(figure, axes, dots)
        words = "; ".join(f"{d.label}: {d.value:.1f} in {numbers.seconds(d.x)}" for d in dots)
        return as_svg(figure, f"{axis} against time. {words}")


def learning_curves(curves: Sequence[Curve], narrow: bool = False) -> str:
    """SVG of train loss (thin) and dev loss (dots) in nats per target against tokens seen."""
    curves = [curve for curve in curves if len(curve.points) > 1]
    if not curves:
        return ""
    with drawing(11 if narrow else 9.5):
        figure, axes = new_figure((4.5, 3.3) if narrow else (8.6, 3.4))
        for curve in curves:
            colour = series(curve.colour)
            train = [(p.tokens, p.train_loss) for p in curve.points if p.train_loss is not None]
            dev = [(p.tokens, p.dev_loss) for p in curve.points if p.dev_loss is not None]
            if train:
                axes.plot(*zip(*train, strict=True), color=colour, linewidth=1, alpha=0.55)
            if dev:
                axes.plot(*zip(*dev, strict=True), color=colour, linewidth=1.8, marker="o", markersize=4)
        axes.set_ylim(bottom=0)
        axes.margins(x=0.02)
        axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 6))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(lambda value, _: numbers.short(value).replace(".0 ", " "))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel("tokens seen in training")
        axes.set_title("loss, nats per target", loc="left", pad=10)
        return as_svg(figure, "Learning curves. " + "; ".join(_ends(curve) for curve in curves))


def cost_against_volume(
    found: Costs, points: Sequence[BreakEven], volume: int, colours: Mapping[str, int], narrow: bool = False
) -> str:
    """SVG of the total cost of every rung against the number of answers, both log; break-even points named.

    Rungs that another one beats in quality and in both costs are thin.  Empty where no cost was measured.
    """
    if not found.lines:
        return ""
    most = 10.0 ** math.ceil(math.log10(max(10.0 * volume, *(2 * point.volume for point in points), 10.0)))
    volumes = [most ** (step / 80) for step in range(81)]  # 1 to most
    worth_it = efficient(found.lines)
    with drawing(11 if narrow else 9.5):
        figure, axes = new_figure((4.5, 4.4) if narrow else (8.6, 4.4))
        axes.set_xscale("log")
        axes.set_yscale("log")
        for line in found.lines:
            width, alpha = (2.0, 1.0) if line in worth_it else (1.0, 0.6)
            costs = [max(line.at(v), 1e-6) for v in volumes]
            axes.plot(volumes, costs, color=series(colours[line.rung]), linewidth=width, alpha=alpha)
        axes.set_xlim(1, most)
        _cost_ticks(axes, found.currency is None)
        axes.xaxis.set_major_formatter(lambda value, _: numbers.short(value).replace(".0 ", " "))
        axes.axvline(volume, color=INK, linewidth=0.8, linestyle=(0, (4, 4)), alpha=0.6)
        for point in points:
            axes.plot(point.volume, point.cost, "o", color=PAPER, markeredgecolor=INK, markersize=5.5)
        axes.set_xlabel("answers")
        axes.set_title(f"making and all answers, {found.unit}", loc="left", pad=10)
        _name_points(figure, axes, points)
        _name_lines(figure, axes, found, colours)
        totals = "; ".join(f"{line.rung}: {found.text(line.at(volume))}" for line in found.lines)
        words = [f"Total cost at {numbers.count(volume)} answers. {totals}", *sentences(points)]
        return as_svg(figure, ". ".join(words))


def _cost_ticks(axes: Axes, in_time: bool) -> None:
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = axes.get_ylim()
    ticks = [tick for tick in _DECADES if low <= tick <= high]
    if in_time and len(ticks) > 1:
        axes.yaxis.set_major_locator(FixedLocator(ticks))
        axes.yaxis.set_major_formatter(lambda value, _: _duration(value))
    else:
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.8f}".rstrip("0").rstrip("."))


def _name_points(figure: Figure, axes: Axes, points: Sequence[BreakEven]) -> None:
    """The number of answers over each break-even point; of points that meet, over the first."""
    figure.draw_without_rendering()
    taken: list[tuple[float, float]] = []  # in pixels
    for point in points:
        x, y = axes.transData.transform((point.volume, point.cost))
        if all(abs(x - a) > 45 * figure.dpi / 72 or abs(y - b) > LINE * figure.dpi / 72 for a, b in taken):
            taken.append((x, y))
            axes.annotate(
                numbers.roughly(point.volume),
                (point.volume, point.cost),
                xytext=(0, 6),
                textcoords="offset points",
                ha="right",
                va="bottom",
                color=INK,
                fontsize="small",
            )


def _name_lines(figure: Figure, axes: Axes, found: Costs, colours: Mapping[str, int]) -> None:
    """The name of each line at its right end, moved apart so that no two names overlap."""
    figure.draw_without_rendering()
    most = axes.get_xlim()[1]
    heights = {
        line.rung: axes.transData.transform((most, max(line.at(most), 1e-6)))[1] for line in found.lines
    }
    height, last = LINE * figure.dpi / 72, float("-inf")
    for rung, wanted in sorted(heights.items(), key=lambda item: item[1]):
        last = max(wanted, last + height)
        axes.annotate(
            rung,
            (1, axes.transAxes.inverted().transform((0, last))[1]),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=series(colours[rung]),
            annotation_clip=False,
        )


def _ends(curve: Curve) -> str:
    dev = [p.dev_loss for p in curve.points if p.dev_loss is not None]
    if not dev:
        return f"{curve.label}: no dev loss"
    first, last = numbers.significant(dev[0]), numbers.significant(dev[-1])
    return f"{curve.label}: dev loss from {first} to {last}, lowest {numbers.significant(min(dev))}"


def _time_ticks(axes: Axes, most: int) -> None:
    low, high = axes.get_xlim()
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    step = -(-len(ticks) // most) or 1
    axes.xaxis.set_major_locator(FixedLocator(ticks[::step]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: _duration(value))


def _duration(seconds: float) -> str:
    """A round time without its zeros: ``1 h``."""
    if seconds < 0.05:
        return f"{seconds:g} s"
    return numbers.seconds(seconds).replace(".0 s", " s").replace(" 00 min", "").replace(" 0 h", "")
