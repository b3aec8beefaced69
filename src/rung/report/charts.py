"""Charts as inline SVG: no pyplot, no fonts or colours of their own, the same bytes for the same numbers.

Matplotlib draws with stand-in colours that are then replaced by ``currentColor`` and the page's CSS
variables, so one chart serves light and dark.  Text stays text and takes the page's font.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from rung import numbers
from rung.records import CurvePoint

SERIES = 6  # colours of the page, --series-1 to --series-6; more series begin again
_INK, _FAINT, _PAPER = "#010203", "#010204", "#010205"
_COLOURS = {_INK: "currentColor", _FAINT: "var(--line)", _PAPER: "var(--paper)"}
_COLOURS |= {f"#02030{n}": f"var(--series-{n})" for n in range(1, SERIES + 1)}
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


@dataclass(frozen=True, slots=True)
class Dot:
    """One rung of the quality chart; `colour` counts from 1."""

    label: str
    seconds: float
    value: float
    low: float | None
    high: float | None
    colour: int
    tuned: bool
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


def quality_against_time(dots: Sequence[Dot], axis: str, narrow: bool = False) -> str:
    """SVG of quality (linear) against seconds (log): a dot with its 95% interval for each rung.

    Empty where no dot has a time.
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
        axes.set_xlabel("time of the whole rung")
        axes.set_title(axis, loc="left", pad=10)
        _place_labels(figure, axes, dots)
        words = "; ".join(f"{d.label}: {d.value:.1f} in {numbers.seconds(d.seconds)}" for d in dots)
        return _svg(figure, f"{axis} against time. {words}")


def learning_curves(curves: Sequence[Curve], narrow: bool = False) -> str:
    """SVG of train loss (thin) and dev loss (dots) in nats per target token against tokens seen."""
    curves = [curve for curve in curves if len(curve.points) > 1]
    if not curves:
        return ""
    with _drawing(11 if narrow else 9.5):
        figure, axes = _figure((4.5, 3.3) if narrow else (8.6, 3.4))
        for curve in curves:
            colour = f"#02030{curve.colour}"
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
        axes.set_title("loss, nats per target token", loc="left", pad=10)
        return _svg(figure, "Learning curves. " + "; ".join(_ends(curve) for curve in curves))


@contextmanager
def _drawing(size: float) -> Iterator[None]:
    """Matplotlib's own defaults, whatever the user's are, with our style; quiet about glyphs it lacks."""
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
    colour = f"#02030{dot.colour}"
    if dot.low is not None and dot.high is not None:
        axes.vlines(dot.seconds, dot.low, dot.high, color=colour, linewidth=1.6, alpha=0.6)
    marker = "s" if dot.tuned else "o"
    if dot.recommended:
        axes.plot(dot.seconds, dot.value, marker, color="none", markeredgecolor=colour, markersize=14)
    axes.plot(dot.seconds, dot.value, marker, color=colour, markeredgecolor=_PAPER, markersize=8.5)


def _time_ticks(axes: Axes, most: int) -> None:
    low, high = axes.get_xlim()
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    step = -(-len(ticks) // most) or 1
    axes.xaxis.set_major_locator(FixedLocator(ticks[::step]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: numbers.seconds(value).replace(".0 s", " s"))


def _place_labels(figure: Figure, axes: Axes, dots: Sequence[Dot]) -> None:
    """Label each dot on the side with more room, pushed apart so that no two labels meet."""
    figure.draw_without_rendering()
    taken: list[tuple[float, float, float]] = []  # left, right, middle, in pixels
    right_edge = axes.bbox.x1
    for dot in sorted(dots, key=lambda d: -d.value):
        x, y = axes.transData.transform((dot.seconds, dot.value))
        length = 6.2 * len(dot.label) * figure.dpi / 72
        left = x + 14 + length > right_edge
        start = x - 14 - length if left else x + 14
        height = 13 * figure.dpi / 72
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
            color=f"#02030{dot.colour}",
            fontweight="bold" if dot.recommended else "normal",
        )


def _svg(figure: Figure, label: str) -> str:
    """The figure as an ``<svg>`` element that a page can hold beside others."""
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
