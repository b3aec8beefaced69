"""How every chart is drawn: inline SVG, no pyplot, no fonts or colours of its own.

Matplotlib draws with stand-in colours that are then replaced by ``currentColor`` and the page's CSS
variables, so one chart serves light and dark.  Text stays text and takes the page's font.  The same numbers
give the same bytes.
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

SERIES = 10  # colours of the page, --series-1 to --series-10; more series begin again
INK, FAINT, PAPER = "#010203", "#010204", "#010205"


def series(number: int) -> str:
    """The stand-in for the page's colour of that number, from 1."""
    return f"#0203{number:02d}"


_COLOURS = {INK: "currentColor", FAINT: "var(--line)", PAPER: "var(--paper)"}
_COLOURS |= {series(n): f"var(--series-{n})" for n in range(1, SERIES + 1)}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rung",
    "text.parse_math": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.formatter.useoffset": False,
}
LINE = 13  # points that a line of text takes


@dataclass(frozen=True, slots=True)
class Dot:
    """A point with its interval, such as a rung; `colour` counts from 1."""

    label: str
    x: float  # as the axis has it: seconds, or nats a token
    value: float
    low: float | None
    high: float | None
    colour: int
    marker: str  # matplotlib's name of a shape
    recommended: bool


def colour_of(place: int) -> int:
    """The colour (from 1) of the rung at `place` (from 0) on the ladder."""
    return place % SERIES + 1


@contextmanager
def drawing(size: float) -> Iterator[None]:
    """Matplotlib's defaults with our style, not the user's settings; no warnings about missing glyphs."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**_STYLE, "font.size": size, "axes.titlesize": size})
        yield


def new_figure(inches: tuple[float, float]) -> tuple[Figure, Axes]:
    """An empty chart of that width and height, with horizontal grid lines."""
    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6)
    return figure, axes


def limits(dots: Sequence[Dot]) -> tuple[float, float]:
    """Where the axis of quality begins and ends, so that all values and intervals have room."""
    ends = [x for dot in dots for x in (dot.value, dot.low, dot.high) if x is not None]
    low, high = min(ends), max(ends)
    margin = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
    bottom = low - margin if low < 0 else max(low - margin, -0.02 * high)
    return bottom, high + margin if high > 100 else min(high + margin, 103.0)


def draw(axes: Axes, dot: Dot) -> None:
    """The dot with its interval; the recommended one has an outline."""
    colour = series(dot.colour)
    if dot.low is not None and dot.high is not None:
        axes.vlines(dot.x, dot.low, dot.high, color=colour, linewidth=1.6, alpha=0.6)
    if dot.recommended:
        axes.plot(dot.x, dot.value, dot.marker, color="none", markeredgecolor=colour, markersize=14)
    axes.plot(dot.x, dot.value, dot.marker, color=colour, markeredgecolor=PAPER, markersize=8.5)


def place_labels(figure: Figure, axes: Axes, dots: Sequence[Dot]) -> None:
    """Label each dot on the side with more room, moved apart so that no two labels overlap."""
    figure.draw_without_rendering()
    taken: list[tuple[float, float, float]] = []  # left, right, middle, in pixels
    right_edge = axes.bbox.x1
    for dot in sorted(dots, key=lambda d: -d.value):
        x, y = axes.transData.transform((dot.x, dot.value))
        height = LINE * figure.dpi / 72
        length = 6.2 * len(dot.label) * figure.dpi / 72
        spots = [axes.transData.transform((other.x, other.value)) for other in dots if other is not dot]
        meets = any(x < a < x + 14 + length and abs(b - y) < 3 * height for a, b in spots)
        left = x + 14 + length > right_edge or (meets and x - 14 - length > axes.bbox.x0)
        start = x - 14 - length if left else x + 14
        while any(start < b and a < start + length and abs(y - m) < height for a, b, m in taken):
            y -= height / 4
        taken.append((start, start + length, y))
        anchor = axes.transData.inverted().transform((x, y))
        axes.annotate(
            dot.label,
            (dot.x, anchor[1]),
            xytext=(-11 if left else 11, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            color=series(dot.colour),
            fontweight="bold" if dot.recommended else "normal",
        )


def as_svg(figure: Figure, label: str) -> str:
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
