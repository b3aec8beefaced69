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
from rung.ladder.climb import climb
from rung.ladder.task import from_disk, run_task
from rung.ladder.understood import Understood, understand_data
from rung.ladder.watch import Silent
from rung.ladder.written import Ask, asks_of, kept, parsed, prompt_of, unsupported, with_questions
from rung.records import Example, Passage
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
        ("Who has leave?", "Everyone has 27 days of leave", "have an answer that repeats them"),
        ("The leave is 27 days.", "27 days", "are no questions"),
        ("Leave is long. How many days?", "27 days", "are no questions"),
        ("How many weeks of leave does everyone have?", "27 days", "are not about the text"),
        ("How many people have leave, paid by the mill?", "27 days", "are not about the text"),
        ("How many leaves does everyone have?", "27 days", "count something else than their answer"),
        ("How many days is the mill paid?", "27", "are not about the text"),
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
            f"Question: Who built {one.passage.title}?\nAnswer: family {one.passage.title[-1]}"
            for one in asks
        ]

    def first_is_wrong(speaker: object, rows: list[Example], passages: dict[str, Passage]) -> dict[str, str]:
        assert {row.group for row in rows} <= set(passages)
        return {rows[0].id: "are answered as well without the text"}

    monkeypatch.setattr(written, "_answers", answers)
    monkeypatch.setattr(written, "disagreements", first_is_wrong)
    said: list[str] = []
    first = ask(documents, questions, tmp_path / "run", said)
    assert first.written is not None
    assert [one.target for one in first.written] == [f"family {n}" for n in range(1, 6)]
    assert said == [
        "The base wrote 12 questions about the documents, 5 are used. "
        "Left out: 6 have an answer that the text does not give, 1 are answered as well without the text."
    ]
    monkeypatch.setattr(written, "_answers", lambda *_: pytest.fail("written again"))
    assert ask(documents, questions, tmp_path / "run", said).written == first.written


def test_a_base_that_writes_nonsense_gives_none(documents: Path, questions: Path, tmp_path: Path) -> None:
    said: list[str] = []
    assert ask(documents, questions, tmp_path / "run", said).written == ()
    assert said[0].startswith("The base wrote 12 questions about the documents, 0 are used.")
    assert ask(documents, questions, tmp_path / "other", said, written_questions=0).written == ()
    found = ask(documents, questions, tmp_path / "third", said, train_questions=str(questions))
    assert found.written == ()


def test_a_task_whose_answers_have_a_form_needs_questions(documents: Path, tmp_path: Path) -> None:
    rows = [{"question": f"Is mill {n} old?", "answer": "yes" if n % 2 else "no"} for n in range(20)]
    file = letters.write_jsonl(tmp_path / "questions.jsonl", rows)
    with pytest.raises(DataError, match="--written-questions is 0") as caught:
        ask(documents, file, tmp_path / "run", [], written_questions=0, task="classification")
    assert "--train-questions" in str(caught.value)


def test_without_questions_the_text_is_learned_and_the_test_file_has_the_dev_rows(
    tmp_path: Path, own_cache: Path
) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for n in range(6):
        (folder / f"{n}.md").write_text(f"# Mill {n}\n\nMill {n} was built by the family number {n}.\n")
    rows = [{"question": f"Who built mill {n}{more}?", "answer": f"family {n}", "group": str(n)}
            for n in range(6) for more in ("", " then", " at first", ", please")]  # fmt: skip
    test = letters.write_jsonl(tmp_path / "questions.jsonl", rows)
    names = ("constant", "zero-shot", "few-shot", "retrieval", "lora", "lora-retrieval", "lora-open-book")
    more = {"written_questions": 0, "passages": "1,2", "epochs": 1, "kl_penalty": 0, "max_test": 10}
    asked = letters.FAST | more | {"test": str(test)}
    data = understand_data(folder, make_settings(asked))  # as the command line gives it
    found = climb(data, output=tmp_path / "run", rungs=",".join(names), **asked)
    status = {one.rung: (one.status, one.reason) for one in found.results}
    left_out = ("skipped", "it learns from questions with their answers, and there are none to learn from")
    learn_answers = {"constant", "few-shot", "lora-retrieval"}
    assert status == {name: left_out if name in learn_answers else ("ok", "") for name in names}
    facts = found.info.data
    assert (facts["train_rows"], facts["dev_rows"], facts["test_rows"]) == (6, 4, 20)
    (line,) = [one for one in facts["warnings"] if one.startswith("there are no questions to learn from")]
    assert (
        "of the questions in questions.jsonl, 4 are dev rows, on which choices are made, and 20 are" in line
    )
    read = from_disk(found.folder, Silent())
    assert read.split.text_alone
    assert not {one.group for one in read.whole.dev} & {one.group for one in read.whole.test}
    prepared = read.prepared
    for row in read.split.train:
        tokens = prepared.rendered[row.id]
        assert prepared.speaker.renderer.decode(tokens.ids) == row.target
        assert tokens.mask == (False, *[True] * (len(tokens.ids) - 1))
    results = {one.rung: one for one in found.results}
    read_tokens = sum(len(prepared.rendered[row.id].ids) for row in read.split.train)
    assert results["lora"].cost.train_tokens == read_tokens
    for name in ("zero-shot", "retrieval", "lora", "lora-open-book"):
        assert "choice_accuracy" in {one.name for one in results[name].metrics}, name
    again = run_task(found.folder, "lora")
    assert again.primary == results["lora"].primary


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
