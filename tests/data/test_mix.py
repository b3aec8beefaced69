"""Mixtures of sources: shares by hand, and which rows are drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from rows_of import rows
from rung.data.mix import EVEN, Mixture, by_loss, mix, mixed_line, mixture, shares, source_of
from rung.errors import UsageError
from rung.records import Example


def of_sources(**counts: int) -> list[Example]:
    found = [
        replace(one, source=name)
        for name, n in counts.items()
        for one in rows((f"{name} {i}", str(i)) for i in range(n))
    ]
    return [replace(one, id=f"{i:016x}") for i, one in enumerate(found)]


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("proportional", Mixture()),
        ("temperature", Mixture(2.0)),
        ("temperature=4", Mixture(4.0)),
        (" a=2 , b=0.5", Mixture(given={"a": 2.0, "b": 0.5})),
        ("a=b=3", Mixture(given={"a=b": 3.0})),
    ],
)
def test_what_the_user_says(text: str, how: Mixture) -> None:
    assert mixture(text) == how


@pytest.mark.parametrize(
    "text", ["", "even", "dev", "a=", "=2", "a=x", "a=-1", "a=nan", "a=1,a=2", "temperature=0.5"]
)
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        mixture(text)


def test_shares_by_hand() -> None:
    counts = {"a": 900, "b": 100}
    assert shares(counts, Mixture()) == pytest.approx({"a": 0.9, "b": 0.1})
    assert shares(counts, Mixture(2.0)) == pytest.approx({"a": 0.75, "b": 0.25})  # 30 to 10
    assert shares(counts, Mixture(given={"b": 3.0})) == pytest.approx({"a": 0.75, "b": 0.25})  # 900 to 300
    assert shares(counts, Mixture(given={"a": 0.0}))["b"] == 1


def test_sources_that_count_the_same_and_by_their_loss() -> None:
    counts = {"a": 9000, "b": 100, "c": 100}
    assert shares(counts, Mixture(EVEN)) == pytest.approx(dict.fromkeys(counts, 1 / 3), abs=0.002)
    weights = by_loss(counts, {"a": 2.0, "b": 6.0, "d": 1.0})
    found = shares(counts, Mixture(given=weights))
    assert found["c"] == pytest.approx(100 / 9200)  # its loss is not known
    assert found["b"] == pytest.approx(3 * found["a"])
    assert by_loss(counts, {"a": 0.0}) == {}


def test_an_unknown_source_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no source 'newz'.*news"):
        shares({"news": 3, "mail": 3}, Mixture(given={"newz": 2.0}))
    with pytest.raises(UsageError, match="nothing to learn"):
        shares({"news": 3}, Mixture(given={"news": 0.0}))


def test_a_small_source_comes_again_and_a_large_one_gives_way() -> None:
    examples = of_sources(a=90, b=10)
    mixed = mix(examples, Mixture(2.0), seed=1)
    assert Counter(map(source_of, mixed)) == {"a": 75, "b": 25}
    assert len({one.id for one in mixed}) == len(mixed) == 100
    again = Counter(one.prompt[0].content for one in mixed if one.source == "b")
    assert set(again.values()) == {2, 3}  # evenly, not one row ten times
    assert mix(examples, Mixture(2.0), seed=1) == mixed
    assert mix(examples, Mixture(2.0), seed=2) != mixed
    assert mix(examples, Mixture(), seed=1) == tuple(examples)
    assert "a 90 -> 75, b 10 -> 25; 15 rows come again" in mixed_line(examples, mixed)


def test_a_weight_of_0_leaves_a_source_out() -> None:
    mixed = mix(of_sources(a=5, b=7), Mixture(given={"a": 0.0}), seed=0)
    assert {one.source for one in mixed} == {"b"}
    assert len(mixed) == 12


def test_a_column_wins_over_the_file() -> None:
    (row,) = of_sources(a=1)
    assert source_of(row) == "a"
    assert source_of(replace(row, facts={"source": "news"})) == "news"
