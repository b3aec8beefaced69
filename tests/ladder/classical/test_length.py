"""The longer or the shorter answer: the one that people chose more often."""

from __future__ import annotations

from pathlib import Path

import pytest

from rows_of import loaded_of, rows
from rung.data import example_of
from rung.errors import ResumeError
from rung.evaluation.tasks import understand
from rung.ladder.classical import length
from rung.ladder.classical.length import Length
from rung.records import Example


def pairs(longer: int, of: int = 30) -> list[Example]:
    """So many rows have a chosen answer that is longer than the rejected one."""
    plain = rows((f"question {i}", f"answer {i:04}") for i in range(of))
    return [
        example_of(one.messages, one.row, facts={"rejected": "no" if one.row <= longer else "no" * 20})
        for one in plain
    ]


@pytest.mark.parametrize(("longer", "wanted", "share"), [(20, True, 2 / 3), (9, False, 0.7)])
def test_what_is_right_more_often_is_taken(longer: int, wanted: bool, share: float) -> None:
    examples = pairs(longer)
    task, _ = understand(loaded_of(examples))
    assert length.applies(task)
    found = length.fit(task, examples[::2], examples[1::2])
    assert found.responder.longer is wanted
    assert found.choices[0].tried[found.choices[0].chosen] == pytest.approx(share)


def test_answers_of_the_same_length_are_no_hint() -> None:
    one = example_of(rows([("q", "zz")])[0].messages, facts={"rejected": "aa"})
    assert {Length(longer).answer([one])[0].text for longer in (True, False)} == {"aa"}


def test_it_is_for_pairs_alone() -> None:
    examples = pairs(3)
    assert not length.applies(understand(loaded_of(examples), "generation")[0])
    assert Length(True).answer(rows([("q", "a")]))[0].text == ""


def test_it_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    Length(False).save(tmp_path / "x")
    assert length.load(tmp_path / "x") == Length(False)
    (tmp_path / "x" / "responder.json").write_text("{}")
    with pytest.raises(ResumeError):
        length.load(tmp_path / "x")
