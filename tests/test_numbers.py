"""How numbers and text from outside are written."""

from __future__ import annotations

import math

import pytest

from rung import numbers
from rung.records import Measure


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (math.nan, "-"),
        (0.0, "0.0 s"),
        (0.04, "<0.1 s"),
        (4.25, "4.2 s"),
        (42.4, "42 s"),
        (59.7, "1 min"),
        (250, "4 min 10 s"),
        (3599.8, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (97_200, "1 d 3 h"),
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert numbers.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0 B"), (512, "512 B"), (9_800_000, "9.8 MB"), (999_700, "1.0 MB"), (269e6, "269 MB")],
)
def test_size(value: float | None, text: str) -> None:
    assert numbers.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (0.0123, "0.012"),
        (0.0101, "0.010"),
        (0.148, "0.148"),
        (1.2345, "1.23"),
        (-0.031, "-0.031"),
        (0.0001, "<0.001"),
        (-0.0001, ">-0.001"),
        (1234.5, "1,234"),
    ],
)
def test_significant(value: float | None, text: str) -> None:
    assert numbers.significant(value) == text


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        (Measure("accuracy", 0.631, 0.58, 0.682), "63.1 (58.0 to 68.2)"),
        (Measure("chrf", 54.04, 51.0, 57.2, unit="points"), "54.0 (51.0 to 57.2)"),
        (Measure("kl", 0.0123, 0.009, 0.02, unit="nats/token"), "0.012 (0.009 to 0.020)"),
        (Measure("accuracy", 0.5), "50.0"),
        (Measure("accuracy", None), "-"),
        (Measure("accuracy", math.inf), "-"),
        (None, "-"),
    ],
)
def test_quality(measure: Measure | None, text: str) -> None:
    assert numbers.quality(measure) == text


@pytest.mark.parametrize(
    ("names", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_listed(names: list[str], text: str) -> None:
    assert numbers.listed(names) == text


def test_named_has_name_and_unit() -> None:
    assert numbers.named(Measure("accuracy", 0.631, 0.58, 0.682)) == "accuracy 63.1% (58.0 to 68.2)"
    assert numbers.named(Measure("chrf", 54.04, 51.0, 57.2, unit="points")) == "chrF 54.0 (51.0 to 57.2)"
    assert numbers.named(Measure("kl", 0.0123, unit="nats/token")) == "drift (KL) 0.012 nats/token"
    assert numbers.named(Measure("accuracy", None)) == "accuracy -"
    assert numbers.named(None) == "nothing was measured"


def test_differences_have_a_sign_and_are_points() -> None:
    gain = Measure("accuracy", 0.142, 0.101, 0.18)
    assert numbers.quality(gain, difference=True) == "+14.2 (10.1 to 18.0)"
    assert numbers.unit(gain, difference=True) == "points"
    assert numbers.quality(Measure("accuracy", -0.01, -0.04, 0.02), difference=True) == "-1.0 (-4.0 to 2.0)"
    assert numbers.quality(Measure("accuracy", 0.00001), difference=True) == "0.0"


def test_money_and_p() -> None:
    assert [numbers.money(x, "USD") for x in (None, 0, 0.001, 1234.5)] == [
        "-",
        "0.00 USD",
        "<0.01 USD",
        "1,234.50 USD",
    ]
    assert [numbers.p_value(x) for x in (None, 0.0004, 0.03, 1.0)] == ["-", "<0.001", "0.030", "1.000"]


def test_roughly() -> None:
    shown = [numbers.roughly(x) for x in (1.4, 99, 99.6, 1210, 38_651, 7_777_777)]
    assert shown == ["2", "99", "100", "1,300", "39,000", "7,800,000"]


def test_short() -> None:
    assert [numbers.short(x) for x in (None, 950, 412_300, 4_884_480, 134_515_008)] == [
        "-",
        "950",
        "412 k",
        "4.9 M",
        "135 M",
    ]


def test_clean_shows_what_cannot_be_seen_and_keeps_the_rest() -> None:
    assert numbers.clean("a\x1b[31mb\x07\x9b") == "a\\x1b[31mb\\x07\\x9b"
    assert numbers.clean("x\u202ey\u200b\ufeff\ud800") == "x<U+202E>y<U+200B><U+FEFF><U+D800>"
    kept = "Grüße\t日本語\nशुक्रिया 👩\u200d💻"
    assert numbers.clean(kept) == kept
    assert numbers.clean("a\r\nb") == "a\nb"
    assert numbers.one_line(" a\n\tb ") == "a b"


def test_moment() -> None:
    assert numbers.moment("2026-03-01T14:05:00Z") == "2026-03-01 14:05 UTC"
    assert numbers.moment("") == "-"
    assert numbers.moment("long ago") == "long ago"


def test_plain_values_and_entries() -> None:
    assert numbers.plain([1, "a", None]) == "1, a, -"
    assert numbers.plain(list(range(100))).endswith("59 and 40 more")
    assert numbers.plain(True) == "yes"
    assert numbers.plain({}) == "-"
    assert numbers.entries({"memory_bytes": 8e9, "rows": {"train": 820}, "took_seconds": 61}) == (
        ("memory", "8.0 GB"),
        ("rows: train", "820"),
        ("took", "1 min 1 s"),
    )


def test_a_chance_never_reads_as_more_than_it_is() -> None:
    shown = [numbers.chance(value) for value in (0.0, 0.004, 0.29, 0.949, 0.95, 0.9999, 1.0)]
    assert shown == ["<1%", "<1%", "29%", "94%", "95%", ">99%", ">99%"]
    assert [numbers.chance(x, words=True) for x in (0.004, 0.97, 0.995)] == [
        "less than 1%",
        "97%",
        "more than 99%",
    ]


def test_points_and_intervals_of_a_sentence() -> None:
    assert [numbers.points(x) for x in (1.0, 2.0, 0.5)] == ["1 point", "2 points", "0.5 points"]
    assert [numbers.signed(x) for x in (14.23, -3.0, -0.01, 0.0)] == ["+14.2", "-3.0", "0.0", "0.0"]
    assert numbers.interval(10.11, 25.26) == "95% interval 10.1 to 25.3"
    assert numbers.interval(None, 1.0) == ""
    assert numbers.factor(Measure("accuracy", 0.5)) == 100.0
    assert numbers.factor(Measure("chrf", 50.0, unit="points")) == 1.0
