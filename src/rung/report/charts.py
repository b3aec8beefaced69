"""Charts as inline SVG: no pyplot, no fonts or colours of their own, the same bytes for the same numbers.

Matplotlib draws with stand-in colours that are then replaced by ``currentColor`` and the page's CSS
variables, so one chart serves light and dark.  Text stays text and takes the page's font.
"""

from __future__ import annotations

import hashlib
import html
import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from rung import numbers
from rung.records import CurvePoint
from rung.report.costs import BreakEven, Costs, efficient, sentences
from rung.report.view import FROZEN, NO_MODEL, REMOTE, TUNED

SERIES = 10  # colours of the page, --series-1 to --series-10; more series begin again
_INK, _FAINT, _PAPER = "#010203", "#010204", "#010205"


def _series(number: int) -> str:
    """The stand-in for the page's colour of that number, from 1."""
    return f"#0203{number:02d}"


_COLOURS = {_INK: "currentColor", _FAINT: "var(--line)", _PAPER: "var(--paper)"}
_COLOURS |= {_series(n): f"var(--series-{n})" for n in range(1, SERIES + 1)}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rung",
    "text.parse_math": False,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.formatter.useoffset": False,
}
_TICKS: tuple[float, ...] = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_TICKS += tuple(3600 * h for h in (2, 5, 10, 24, 48, 120, 240))
_DECADES = (0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 36_000, *(86_400 * days for days in (10, 100, 1000)))
_LINE = 13  # points that a line of text takes


MARKERS = {NO_MODEL: "^", FROZEN: "o", TUNED: "s", REMOTE: "D"}  # matplotlib's names of shapes
SHAPES = {
    NO_MODEL: "triangles use no language model",
    FROZEN: "circles use the base as it is",
    TUNED: "squares were tuned",
    REMOTE: "diamonds are hosted",
}


@dataclass(frozen=True, slots=True)
class Dot:
    """One rung of the quality chart; `colour` counts from 1."""

    label: str
    seconds: float
    value: float
    low: float | None
    high: float | None
    colour: int
    marker: str  # matplotlib's name of a shape
    recommended: bool


@dataclass(frozen=True, slots=True)
class Curve:
    """The learning curve of one rung."""

    label: str
    points: Sequence[CurvePoint]
    colour: int


def colour_of(place: int) -> int:
    """The colour (from 1) of the rung at `place` (from 0) on the ladder."""
    return place % SERIES + 1


def quality_against_time(
    dots: Sequence[Dot], axis: str, narrow: bool = False, of: str = "time of the whole rung"
) -> str:
    """SVG of quality (linear) against seconds (log): a dot with its 95% interval for each rung.

    `of` says what the time is of.  Empty where no dot has a time.
    """
    dots = [dot for dot in dots if dot.seconds > 0]
    if not dots:
        return ""
    with _drawing(11 if narrow else 9.5):
        figure, axes = _figure((4.5, 3.8) if narrow else (8.6, 3.9))
        low, high = min(dot.seconds for dot in dots), max(dot.seconds for dot in dots)
        axes.set_xscale("log")
        axes.set_xlim(low / 1.8, high * (2.6 if narrow else 1.8))
        axes.set_ylim(*_limits(dots))
        for dot in dots:
            _draw(axes, dot)
        _time_ticks(axes, 3 if narrow else 5)
        axes.set_xlabel(of)
        axes.set_title(axis, loc="left", pad=10)
        _place_labels(figure, axes, dots)
        words = "; ".join(f"{d.label}: {d.value:.1f} in {numbers.seconds(d.seconds)}" for d in dots)
        return _svg(figure, f"{axis} against time. {words}")


def learning_curves(curves: Sequence[Curve], narrow: bool = False) -> str:
    """SVG of train loss (thin) and dev loss (dots) in nats per target against tokens seen."""
    curves = [curve for curve in curves if len(curve.points) > 1]
    if not curves:
        return ""
    with _drawing(11 if narrow else 9.5):
        figure, axes = _figure((4.5, 3.3) if narrow else (8.6, 3.4))
        for curve in curves:
            colour = _series(curve.colour)
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
        return _svg(figure, "Learning curves. " + "; ".join(_ends(curve) for curve in curves))


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
    with _drawing(11 if narrow else 9.5):
        figure, axes = _figure((4.5, 4.4) if narrow else (8.6, 4.4))
        axes.set_xscale("log")
        axes.set_yscale("log")
        for line in found.lines:
            width, alpha = (2.0, 1.0) if line in worth_it else (1.0, 0.6)
            costs = [max(line.at(v), 1e-6) for v in volumes]
            axes.plot(volumes, costs, color=_series(colours[line.rung]), linewidth=width, alpha=alpha)
        axes.set_xlim(1, most)
        _cost_ticks(axes, found.currency is None)
        axes.xaxis.set_major_formatter(lambda value, _: numbers.short(value).replace(".0 ", " "))
        axes.axvline(volume, color=_INK, linewidth=0.8, linestyle=(0, (4, 4)), alpha=0.6)
        for point in points:
            axes.plot(point.volume, point.cost, "o", color=_PAPER, markeredgecolor=_INK, markersize=5.5)
        axes.set_xlabel("answers")
        axes.set_title(f"making and all answers, {found.unit}", loc="left", pad=10)
        _name_points(figure, axes, points)
        _name_lines(figure, axes, found, colours)
        totals = "; ".join(f"{line.rung}: {found.text(line.at(volume))}" for line in found.lines)
        words = [f"Total cost at {numbers.count(volume)} answers. {totals}", *sentences(points)]
        return _svg(figure, ". ".join(words))


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
        if all(abs(x - a) > 45 * figure.dpi / 72 or abs(y - b) > _LINE * figure.dpi / 72 for a, b in taken):
            taken.append((x, y))
            axes.annotate(
                numbers.roughly(point.volume),
                (point.volume, point.cost),
                xytext=(0, 6),
                textcoords="offset points",
                ha="right",
                va="bottom",
                color=_INK,
                fontsize="small",
            )


def _name_lines(figure: Figure, axes: Axes, found: Costs, colours: Mapping[str, int]) -> None:
    """The name of each line at its right end, moved apart so that no two names overlap."""
    figure.draw_without_rendering()
    most = axes.get_xlim()[1]
    heights = {
        line.rung: axes.transData.transform((most, max(line.at(most), 1e-6)))[1] for line in found.lines
    }
    height, last = _LINE * figure.dpi / 72, float("-inf")
    for rung, wanted in sorted(heights.items(), key=lambda item: item[1]):
        last = max(wanted, last + height)
        axes.annotate(
            rung,
            (1, axes.transAxes.inverted().transform((0, last))[1]),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=_series(colours[rung]),
            annotation_clip=False,
        )


@contextmanager
def _drawing(size: float) -> Iterator[None]:
    """Matplotlib's defaults with our style, not the user's settings; no warnings about missing glyphs."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**_STYLE, "font.size": size, "axes.titlesize": size})
        yield


def _ends(curve: Curve) -> str:
    dev = [p.dev_loss for p in curve.points if p.dev_loss is not None]
    if not dev:
        return f"{curve.label}: no dev loss"
    first, last = numbers.significant(dev[0]), numbers.significant(dev[-1])
    return f"{curve.label}: dev loss from {first} to {last}, lowest {numbers.significant(min(dev))}"


def _figure(inches: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.grid(axis="y", color=_FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6)
    return figure, axes


def _limits(dots: Sequence[Dot]) -> tuple[float, float]:
    ends = [x for dot in dots for x in (dot.value, dot.low, dot.high) if x is not None]
    low, high = min(ends), max(ends)
    margin = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
    bottom = low - margin if low < 0 else max(low - margin, -0.02 * high)
    return bottom, high + margin if high > 100 else min(high + margin, 103.0)


def _draw(axes: Axes, dot: Dot) -> None:
    colour = _series(dot.colour)
    if dot.low is not None and dot.high is not None:
        axes.vlines(dot.seconds, dot.low, dot.high, color=colour, linewidth=1.6, alpha=0.6)
    if dot.recommended:
        axes.plot(dot.seconds, dot.value, dot.marker, color="none", markeredgecolor=colour, markersize=14)
    axes.plot(dot.seconds, dot.value, dot.marker, color=colour, markeredgecolor=_PAPER, markersize=8.5)


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


def _place_labels(figure: Figure, axes: Axes, dots: Sequence[Dot]) -> None:
    """Label each dot on the side with more room, moved apart so that no two labels overlap."""
    figure.draw_without_rendering()
    taken: list[tuple[float, float, float]] = []  # left, right, middle, in pixels
    right_edge = axes.bbox.x1
    for dot in sorted(dots, key=lambda d: -d.value):
        x, y = axes.transData.transform((dot.seconds, dot.value))
        height = _LINE * figure.dpi / 72
        length = 6.2 * len(dot.label) * figure.dpi / 72
        spots = [axes.transData.transform((other.seconds, other.value)) for other in dots if other is not dot]
        meets = any(x < a < x + 14 + length and abs(b - y) < 3 * height for a, b in spots)
        left = x + 14 + length > right_edge or (meets and x - 14 - length > axes.bbox.x0)
        start = x - 14 - length if left else x + 14
        while any(start < b and a < start + length and abs(y - m) < height for a, b, m in taken):
            y -= height / 4
        taken.append((start, start + length, y))
        anchor = axes.transData.inverted().transform((x, y))
        axes.annotate(
            dot.label,
            (dot.seconds, anchor[1]),
            xytext=(-11 if left else 11, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            color=_series(dot.colour),
            fontweight="bold" if dot.recommended else "normal",
        )


def _svg(figure: Figure, label: str) -> str:
    """The figure as an ``<svg>`` element that a page can hold next to others."""
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r"font-family: [^;\"]*; ", "", text)
    used = set(re.findall(r'(?:href="#|url\(#)(\w+)', text))
    mark = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:6]
    text = re.sub(r' id="([^"]*)"', lambda m: f' id="{m[1]}-{mark}"' if m[1] in used else "", text)
    text = re.sub(r'(href="#|url\(#)(\w+)', rf"\1\2-{mark}", text)
    for stand_in, colour in _COLOURS.items():
        text = text.replace(stand_in, colour)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    assert size is not None
    head = f'<svg viewBox="0 0 {size[1]} {size[2]}" role="img" aria-label="{html.escape(label, quote=True)}">'
    return head + text[text.index(">") + 1 :].strip()
