"""Charts of forgetting: every rung, line and bound is there, and named for those who cannot see."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from rung.records import Tradeoff
from rung.report.drawing import SERIES, Dot
from rung.report.forgetting import Strengths, loss_by_strength, quality_against_forgetting

DOTS = (
    Dot("lora", 0.0123, 88.3, 80.2, 96.5, 3, "s", True),
    Dot("full", 1.2, 90.0, None, None, 4, "s", False),
    Dot("head", 0.0, 70.0, 60.0, 80.0, 5, "s", False),
)
LEVEL = Dot("few-shot", 0.0, 60.0, 47.6, 72.4, 2, "o", False)
TRIED = (Tradeoff(0.25, 1.9, 0.02), Tradeoff(0.5, 1.21, 0.09, taken=True), Tradeoff(1.0, 1.2, 0.6))
CHARTS = [
    quality_against_forgetting(DOTS, "accuracy, %", LEVEL, 0.5),
    quality_against_forgetting(DOTS, "accuracy, %", LEVEL, 0.5, narrow=True),
    loss_by_strength([Strengths("lora", TRIED, 3), Strengths("full", TRIED[1:], 4)]),
]


@pytest.mark.parametrize("svg", CHARTS)
def test_charts_have_the_colours_of_the_page_and_no_fonts(svg: str) -> None:
    root = ElementTree.fromstring(svg)
    assert (root.tag, root.attrib["role"]) == ("svg", "img")
    assert "font-family" not in svg
    colours = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svg)) - {"none"}
    of_page = {f"var(--series-{n})" for n in range(1, SERIES + 1)}
    assert colours <= {"currentColor", "var(--line)", "var(--paper)", *of_page}
    assert "var(--series-3)" in colours


def test_rungs_the_prompt_and_the_bound_are_named() -> None:
    root = ElementTree.fromstring(CHARTS[0])
    texts = {node.text for node in root.iter("text")}
    assert {"lora", "full", "head", "few-shot", "at most 0.5", "0", "forgotten, nats/token"} <= texts
    assert root.attrib["aria-label"] == (
        "accuracy, % against what was forgotten. lora: 88.3, forgot 0.012 nats a token; full: 90.0, forgot "
        "1.20 nats a token; head: 70.0, forgot 0 nats a token; without tuning, few-shot: 60.0; at most 0.5 "
        "nats a token may be forgotten"
    )


def test_a_chart_without_prompt_and_bound() -> None:
    svg = quality_against_forgetting(DOTS[:1], "accuracy, %")
    assert "at most" not in svg
    assert "without tuning" not in svg
    assert quality_against_forgetting(DOTS[:1], "accuracy, %") == svg
    assert quality_against_forgetting([], "accuracy, %", LEVEL, 0.5) == ""
    assert "<svg" in quality_against_forgetting(DOTS[2:], "accuracy, %")  # 0 can be drawn


def test_ticks_of_small_amounts_do_not_meet() -> None:
    svg = quality_against_forgetting([Dot("a", 0.004, 50, 40, 60, 1, "s", False)], "accuracy, %", narrow=True)
    texts = [node.text or "" for node in ElementTree.fromstring(svg).iter("text")]
    assert {"0", "0.001"} <= set(texts)
    assert "0.1" not in texts


def test_strengths_are_named_and_the_one_taken_is_marked() -> None:
    root = ElementTree.fromstring(CHARTS[2])
    texts = [node.text for node in root.iter("text")]
    assert (texts.count("0.25"), texts.count("0.50"), texts.count("1.00")) == (1, 2, 2)
    assert (
        "lora: at 0.25 loss 1.90 and 0.020 nats a token forgotten, at 0.50 loss 1.21 and 0.090 nats a token "
        "forgotten (taken), at 1.00 loss 1.20 and 0.600"
    ) in root.attrib["aria-label"]
    assert loss_by_strength([Strengths("lora", TRIED[:1], 3), Strengths("full", (), 4)]) == ""
