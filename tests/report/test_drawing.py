"""How charts are drawn: limits of the axis, colours, and one well-formed element; see also test_charts."""

from __future__ import annotations

from xml.etree import ElementTree

from rung.report.drawing import SERIES, Dot, as_svg, colour_of, draw, drawing, limits, new_figure, series


def dot(value: float, low: float | None = None, high: float | None = None) -> Dot:
    return Dot("a", 1.0, value, low, high, 1, "o", True)


def test_limits_have_room_for_intervals_and_end_near_100() -> None:
    low, high = limits([dot(50, 40, 60), dot(70)])
    assert low < 40
    assert 70 < high < 103
    assert limits([dot(99, 90, 100)])[1] <= 103
    assert limits([dot(0)])[1] > 0
    assert limits([dot(-5, -8, -2)])[0] < -8


def test_a_drawing_is_one_element_in_the_colours_of_the_page() -> None:
    with drawing(9.5):
        figure, axes = new_figure((4.0, 3.0))
        draw(axes, dot(50, 40, 60))
        svg = as_svg(figure, 'a "dot"')
    assert ElementTree.fromstring(svg).attrib["aria-label"] == 'a "dot"'
    assert "var(--series-1)" in svg
    assert series(1) not in svg


def test_colours_begin_again() -> None:
    assert [colour_of(n) for n in (0, SERIES - 1, SERIES)] == [1, SERIES, 1]
