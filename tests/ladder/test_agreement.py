"""Whether the base stands by a question: its second answer, and what the passage is worth."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rows_of import rows
from rung.compute.load import tiny
from rung.data.passages import passage
from rung.data.templates import Renderer
from rung.evaluation.run import Speaker
from rung.ladder import agreement
from rung.ladder.agreement import MARGIN, disagreements
from rung.records import Example

LEAVE = passage("Everyone has 27 days of leave.", "Leave")
ROWS = [
    Example(one.id, one.messages, one.row, group=LEAVE.id)
    for one in rows([(f"How many days of leave {more}?", "27 days") for more in ("a", "b", "c", "d")])
]
AGAIN = "are answered in another way with the text in view"
NO_GAIN = "are answered as well without the text"


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    base = tiny()
    return Speaker(base, Renderer(base.tokenizer))


def test_it_must_answer_again_and_the_passage_must_help(
    speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Sequence[Example]] = []

    def nats(_: Speaker, part: Sequence[Example], room: int) -> list[float]:
        asked.append(part)
        return [1.0] * 4 if len(asked) == 1 else [2.0, 2.0, 1.0 + MARGIN / 2, 1.0 + MARGIN]

    said = ["27 days", "28 days", "There are 27 days of leave.", "D: 27 days"]
    monkeypatch.setattr(agreement, "_answers", lambda *_: said)
    monkeypatch.setattr(agreement, "_nats", nats)
    found = disagreements(speaker, ROWS, {LEAVE.id: LEAVE})
    assert found == {ROWS[1].id: AGAIN, ROWS[2].id: NO_GAIN}
    with_text, without = asked
    for one, two, row in zip(with_text, without, ROWS, strict=True):
        question = row.prompt[0].content
        assert one.prompt[-1].content == f"Leave\n{LEAVE.text}\n\nQuestion: {question}"
        assert two.prompt[-1].content == f"Question: {question}"
        assert one.target == two.target == "27 days"
        assert len(one.prompt) == len(two.prompt) == 7


@pytest.mark.parametrize(
    ("answer", "same"),
    [
        ("27 days", True),
        ("Everyone has 27 days of leave.", True),
        ("27", False),
        ("The mill was built by Ada Brandt, and everyone has 27 days of leave.", False),
        ("", False),
    ],
)
def test_an_answer_is_the_same_with_few_words_besides_those_of_the_question(answer: str, same: bool) -> None:
    (row,) = rows([("How much leave does everyone have?", "27 days")])
    assert agreement._same(answer, row) is same


def test_a_base_that_knows_nothing_stands_by_nothing(speaker: Speaker) -> None:
    assert disagreements(speaker, ROWS, {LEAVE.id: LEAVE}) == dict.fromkeys([one.id for one in ROWS], AGAIN)
    assert disagreements(speaker, [], {}) == {}


def test_nats_are_of_the_last_answer_alone(speaker: Speaker) -> None:
    short, long = rows([("How many?", "27"), ("How many? " * 40, "27")])
    alone = agreement._nats(speaker, [short], 2000)
    assert alone[0] > 0
    assert agreement._nats(speaker, [long, short], 60) == [0.0, pytest.approx(alone[0], abs=1e-4)]
    assert agreement._answers(speaker, [long], 60) == [""]
    turns = agreement._row(ROWS[0], LEAVE, agreement._question)
    last = agreement._last(speaker.renderer.render(turns))
    assert last.learned == last.answer_length == len(speaker.renderer.completion_ids("27 days"))
