"""Few-shot prompting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from contexts import SLOW, WORK, context_of
from rows_of import rows
from rung.config import make_settings
from rung.ladder.context import Context
from rung.ladder.prepare import Prepared
from rung.ladder.rungs.few_shot import FEW_DEV, FEWEST_POOL, POOL_SHARE, FewShot
from rung.ladder.ways import Way


def with_shots(prepared: Prepared, shots: str, dev: int = FEW_DEV) -> Context:
    context = context_of(replace(prepared, settings=make_settings({"shots": shots})))
    context.size = replace(context.size, dev=dev)
    return context


def test_there_is_a_way_for_each_number_of_shots_in_each_layout(prepared: Prepared) -> None:
    context = with_shots(prepared, "4,1")
    ways = FewShot().ways(context)
    assert [(way.name, len(way.shots), way.plain) for way in ways] == [
        ("1 example", 1, False),
        ("4 examples", 4, False),
        ("1 example, plain layout", 1, True),
        ("4 examples, plain layout", 4, True),
    ]
    assert all(set(way.shots) <= set(prepared.split.train) for way in ways)


def test_retrieved_examples_follow_in_the_layout_that_was_best(prepared: Prepared) -> None:
    context = with_shots(prepared, "1,2,8,16")
    further = FewShot().further(context, Way("16 examples, plain layout", plain=True))
    assert [(way.name, way.retrieved, way.plain, way.similarity, way.shots) for way in further] == [
        ("2 retrieved examples, plain layout", 2, True, "words", ()),
        ("8 retrieved examples, plain layout", 8, True, "words", ()),
        ("8 retrieved examples by hidden states, plain layout", 8, True, "states", ()),
    ]
    first, second = FewShot().further(with_shots(prepared, "16"), Way("16 examples"))
    assert (first.name, first.plain) == ("16 retrieved examples", False)
    assert (second.name, second.plain) == ("16 retrieved examples by hidden states", False)


def test_rows_are_read_for_similar_ones_where_that_is_a_small_part_of_the_budget(
    prepared: Prepared, tmp_path: Path
) -> None:
    train, row = len(prepared.split.train), WORK.row_tokens / SLOW.prefill  # seconds
    assert train > FEWEST_POOL
    for budget, read in [("none", train), (1000.0, train), (FEWEST_POOL * row / POOL_SHARE - 1, 0)]:
        settings = make_settings({"shots": "2", "budget": budget})
        context = context_of(replace(prepared, settings=settings))
        context.size = replace(context.size, dev=FEW_DEV)
        context.work = replace(WORK, shots={2: 150})
        *_, last = FewShot().further_asks(context)
        assert last.before == read * WORK.row_tokens
        assert [way.similarity for way in FewShot().further(context, Way("2 examples"))] == (
            ["words", "states"] if read else ["words"]
        )
    middle = FEWEST_POOL * 1.1 * row / POOL_SHARE
    settings = make_settings({"shots": "2", "budget": middle})
    context = context_of(replace(prepared, settings=settings), tmp_path)
    context.size = replace(context.size, dev=FEW_DEV)
    context.work = replace(WORK, shots={2: 150})
    pool = FewShot().pool(context, Way("", retrieved=2, similarity="states"))
    assert FEWEST_POOL <= len(pool.rows) <= FEWEST_POOL * 1.1


def test_few_dev_rows_choose_among_fewer_ways(prepared: Prepared) -> None:
    context = with_shots(prepared, "1,2,4,8", dev=FEW_DEV - 1)
    ways = FewShot().ways(context)
    assert [(len(way.shots), way.plain) for way in ways] == [(2, False), (8, False), (2, True), (8, True)]
    assert [way.retrieved for way in FewShot().further(context, ways[0])] == [4]
    assert [len(FewShot().asks(context)), len(FewShot().further_asks(context))] == [4, 1]


def test_targets_of_several_lines_have_no_plain_layout(prepared: Prepared) -> None:
    train = (*prepared.split.train, *rows([("q", "two\nlines")]))
    prepared = replace(prepared, split=replace(prepared.split, train=train))
    assert not any(way.plain for way in FewShot().ways(with_shots(prepared, "2")))
