"""Charts: valid, deterministic, without colours or fonts of their own."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import matplotlib
import pytest

from rung.records import CurvePoint
from rung.report.charts import Curve, cost_against_volume, learning_curves, quality_against_time
from rung.report.costs import Costs, Line, break_evens
from rung.report.drawing import SERIES, Dot

DOTS = (
    Dot("zero-shot", 31, 33.3, 21.4, 45.3, 1, "o", False),
    Dot("few-shot", 96, 60.0, 47.6, 72.4, 2, "o", False),
    Dot("lora", 362, 88.3, 80.2, 96.5, 3, "s", True),
    Dot("full", 1121, 90.0, None, None, 4, "s", False),
)
POINTS = tuple(CurvePoint(n, n * 1000, n, 2.0 / (n + 1), 2.2 / (n + 1) if n % 2 else None) for n in range(9))
CURVES = (Curve("lora", POINTS, 3), Curve("full", POINTS[:5], 4))
COSTS = Costs(
    (
        Line("constant", 0.01, 1e-6, 0.2, floor=True),
        Line("words", 1.2, 0.0004, 0.6),
        Line("few-shot", 60.0, 1.4, 0.7),
        Line("lora", 300.0, 0.3, 0.8),
    ),
    None,
)
COLOURS = {"constant": 1, "words": 2, "few-shot": 3, "lora": 4}
POINTS_OF_COST = break_evens(COSTS.lines)
CHARTS = [
    quality_against_time(DOTS, "accuracy, %"),
    learning_curves(CURVES),
    cost_against_volume(COSTS, POINTS_OF_COST, 10_000, COLOURS),
]


@pytest.mark.parametrize("svg", CHARTS)
def test_svg_is_one_well_formed_element_that_is_at_home_in_a_page(svg: str) -> None:
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg"
    assert root.attrib["role"] == "img"
    assert len(root.attrib["aria-label"]) > 30
    for foreign in ("<?xml", "<!DOCTYPE", "<style", "metadata", "http", "DejaVu", "font-family"):
        assert foreign not in svg


@pytest.mark.parametrize("svg", CHARTS)
def test_colours_come_from_the_page(svg: str) -> None:
    colours = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svg)) - {"none"}
    assert colours <= {
        "currentColor",
        "var(--line)",
        "var(--paper)",
        *(f"var(--series-{n})" for n in range(1, SERIES + 1)),
    }
    assert "var(--series-3)" in colours


def test_every_rung_is_labelled_and_named_for_those_who_cannot_see() -> None:
    svg = CHARTS[0]
    texts = [node.text for node in ElementTree.fromstring(svg).iter("text")]
    assert {"zero-shot", "few-shot", "lora", "full", "accuracy, %"} <= set(texts)
    assert "lora: 88.3 in 6 min 2 s" in svg


def test_same_numbers_same_bytes_whatever_the_users_style() -> None:
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "text.usetex": False}):
        assert quality_against_time(DOTS, "accuracy, %") == CHARTS[0]
    assert learning_curves(CURVES) == CHARTS[1]


def test_ids_of_two_charts_do_not_meet() -> None:
    both = "".join([*CHARTS, quality_against_time(DOTS, "accuracy, %", narrow=True)])
    ids = re.findall(r' id="([^"]+)"', both)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', both)) <= set(ids)


def test_labels_of_rungs_that_are_alike_do_not_overlap() -> None:
    same = [Dot(f"rung-{n}", 100, 80, None, None, 1, "s", False) for n in range(4)]
    root = ElementTree.fromstring(quality_against_time(same, "accuracy, %"))
    heights = sorted(float(t.attrib["y"]) for t in root.iter("text") if (t.text or "").startswith("rung-"))
    assert min(b - a for a, b in itertools.pairwise(heights)) > 9


def test_foreign_labels_are_text() -> None:
    label = "<img src=x onerror=alert(1)> $x^2$ \u65e5\u672c"
    svg = quality_against_time([Dot(label, 9, 50, 40, 60, 1, "^", False)], '"><script>')
    root = ElementTree.fromstring(svg)
    assert label in [node.text for node in root.iter("text")]
    assert "<img" not in svg
    assert "<script" not in svg


def test_the_cost_chart_names_its_lines_and_break_even_points() -> None:
    root = ElementTree.fromstring(CHARTS[2])
    texts = [node.text for node in root.iter("text")]
    assert {*COLOURS, "220"} <= set(texts)
    label = root.attrib["aria-label"]
    assert "few-shot: 3 h 54 min" in label
    assert "few-shot is cheaper than lora up to 220 answers" in label


def test_names_of_lines_that_meet_do_not_overlap() -> None:
    same = Costs(tuple(Line(f"rung-{n}", 10.0, 0.1, 0.5) for n in range(5)), None)
    colours = {line.rung: 1 for line in same.lines}
    root = ElementTree.fromstring(cost_against_volume(same, [], 1000, colours))
    heights = sorted(float(t.attrib["y"]) for t in root.iter("text") if (t.text or "").startswith("rung-"))
    assert len(heights) == 5
    assert min(b - a for a, b in itertools.pairwise(heights)) > 9


def test_costs_in_money_have_ticks_of_numbers() -> None:
    priced = Costs((Line("a", 0.02, 0.0001, 0.5), Line("b", 0.5, 0.00001, 0.6)), "EUR")
    svg = cost_against_volume(priced, break_evens(priced.lines), 10_000, {"a": 1, "b": 2}, narrow=True)
    texts = [node.text for node in ElementTree.fromstring(svg).iter("text")]
    assert "making and all answers, EUR" in texts
    assert "0.1" in texts


def test_nothing_to_draw() -> None:
    assert cost_against_volume(Costs((), None), [], 10_000, {}) == ""
    assert quality_against_time([], "accuracy, %") == ""
    assert learning_curves([Curve("lora", POINTS[:1], 1)]) == ""


def test_one_dot_and_bare_train_loss_can_be_drawn() -> None:
    assert "<svg" in quality_against_time([Dot("a", 0.2, 0, None, None, 1, "o", False)], "accuracy, %")
    bare = [CurvePoint(n, n, n, 1.0) for n in range(3)]
    assert "no dev loss" in learning_curves([Curve("a", bare, 1)])
