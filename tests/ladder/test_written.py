"""Questions that a base writes from documents: what it is asked, and what of its answers is kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import letters
from contexts import Saying
from rung.config import make_settings
from rung.errors import DataError
from rung.ladder import written
from rung.ladder.understood import Understood, understand_data
from rung.ladder.watch import Silent
from rung.ladder.written import Ask, asks_of, kept, parsed, prompt_of, unsupported, with_questions
from rung.records import Passage
from rung.run_folder import RunFolder

LEAVE = Passage(
    "p1", "Everyone has 27 days of leave. It is paid in full by the mill.\n- Ask Ada Brandt first.", "Leave"
)
DOGS = Passage("p2", "Dogs must stay outside the mill.", "Animals")
ASK = Ask(LEAVE, "Everyone has 27 days of leave.")
NOT_GIVEN = "have an answer that the text does not give"


def test_one_sentence_of_each_passage_comes_before_the_second_of_any() -> None:
    found = asks_of([LEAVE, DOGS], 10)
    assert [(one.passage.id, one.sentence) for one in found] == [
        ("p1", "Everyone has 27 days of leave."),
        ("p2", "Dogs must stay outside the mill."),
        ("p1", "Everyone has 27 days of leave. It is paid in full by the mill."),
    ]
    assert asks_of([LEAVE, DOGS], 2) == found[:2]
    assert asks_of([LEAVE], 0) == []


def test_the_prompt_ends_with_title_and_sentence() -> None:
    *_, last = prompt_of(ASK)
    assert last.role == "user"
    assert last.content.endswith("Leave\nEveryone has 27 days of leave.")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Question: Who?\nAnswer: Ada", ("Who?", "Ada")),
        ("Question: Who?\n\nAnswer: Ada\n\nThe answer is: Ada", ("Who?", "Ada")),
        ("Who?\nAnswer: Ada", ("Who?", "Ada")),
        ("Question: Who?\nWhen?\nAnswer: Ada", None),
        ("Question: Who?", None),
        ("Question:\nAnswer: Ada", None),
        ("Question: Who?\nAnswer:", None),
        ("", None),
    ],
)
def test_what_was_written_is_read(text: str, found: tuple[str, str] | None) -> None:
    assert parsed(text) == found


@pytest.mark.parametrize(
    ("question", "answer", "why"),
    [
        ("How many days of leave does everyone have?", "27 days", ""),
        ("How much leave is there?", "27", ""),
        (
            "How many days of leave does everyone have?",
            "28 days",
            "have an answer that the text does not give",
        ),
        ("Who must be asked about leave?", "Ada Brandt", "have an answer that the text does not give"),
        ("Does everyone have 27 days?", "27 days", "hold their answer"),
        ("Who built the bridge?", "27 days", "are not about the text"),
        ("How long?", "27 days", "are not about the text"),
        ("The leave is 27 days.", "27 days", "are no questions"),
        ("How many days of leave?", "it is", "have no short answer"),
        ("How many days of leave?", "27 " * 50, "have no short answer"),
    ],
)
def test_what_the_text_does_not_support_is_left_out(question: str, answer: str, why: str) -> None:
    assert unsupported(question, answer, ASK) == why


def test_rows_are_numbered_grouped_and_counted() -> None:
    counts: Counter[str] = Counter()
    good = "Question: How many days of leave are there?\nAnswer: 27"
    rows = kept([ASK, ASK, ASK], [good, good.replace("leave are", "LEAVE are"), "nothing"], counts)
    (row,) = rows
    assert (row.prompt[0].content, row.target, row.group, row.row) == (
        *("How many days of leave are there?", "27"),
        *("p1", 1),
    )
    assert counts == {"": 1, "are asked twice": 1, "are not written as asked": 1}


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for n in range(6):
        (folder / f"{n}.md").write_text(
            f"# Mill {n}\n\nMill {n} was built by family {n}. Dogs must always stay outside.\n"
        )
    return folder


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    rows = [{"question": f"Who built mill {n}?", "answer": f"family {n}"} for n in range(6)]
    return letters.write_jsonl(tmp_path / "questions.jsonl", rows)


def ask(documents: Path, questions: Path, folder: Path, said: list[str], **more: object) -> Understood:
    settings = make_settings(letters.FAST | {"test": str(questions)} | more)
    data = understand_data(documents, settings)
    watcher = Saying()
    try:
        return with_questions(data, settings, RunFolder(folder), watcher, None)[0]
    finally:
        said += watcher.said


def test_they_are_written_once_and_kept_in_the_run_folder(
    documents: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(speaker: object, asks: list[Ask], *_: object) -> list[str]:
        return [
            f"Question: Who owns {one.passage.title}?\nAnswer: family {one.passage.title[-1]}" for one in asks
        ]

    monkeypatch.setattr(written, "_answers", answers)
    said: list[str] = []
    first = ask(documents, questions, tmp_path / "run", said)
    assert first.written is not None
    assert [one.target for one in first.written] == [f"family {n}" for n in range(6)]
    assert said == [
        "The base wrote 12 questions about the documents, 6 are used. "
        "Left out: 6 have an answer that the text does not give."
    ]
    monkeypatch.setattr(written, "_answers", lambda *_: pytest.fail("written again"))
    assert ask(documents, questions, tmp_path / "run", said).written == first.written


def test_a_base_that_writes_nonsense_gives_none(documents: Path, questions: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(DataError, match="no questions to learn from") as caught:
        ask(documents, questions, tmp_path / "run", said)
    assert "--train-questions" in str(caught.value)
    assert said[0].startswith("The base wrote 12 questions about the documents, 0 are used.")
    with pytest.raises(DataError, match="--written-questions is 0"):
        ask(documents, questions, tmp_path / "other", said, written_questions=0)
    found = ask(documents, questions, tmp_path / "third", said, train_questions=str(questions))
    assert found.written == ()


def test_there_is_no_time_for_all(documents: Path, questions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rung.data.templates import Renderer
    from rung.evaluation.run import Speaker

    settings = make_settings(letters.FAST)
    base = written._loaded(settings)
    speaker = Speaker(base, Renderer(base.tokenizer))
    monkeypatch.setattr(written, "SHARE", -1.0)
    asks = asks_of([LEAVE, DOGS], 3)
    assert list(written._answers(speaker, asks, 60.0, Silent())) == []
    assert len(list(written._answers(speaker, asks, None, Silent()))) == 3
