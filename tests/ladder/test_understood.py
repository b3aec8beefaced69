"""Data as every verb reads it: rows, their task, and what is said before anything runs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import letters
from rung.config import make_settings
from rung.errors import DataError, UsageError
from rung.ladder.understood import Understood, looked_up, understand_data


def table(path: Path, labels: list[str], start: int = 0) -> Path:
    rows = [{"text": f"Caller {start + n} is at the door", "label": label} for n, label in enumerate(labels)]
    return letters.write_jsonl(path, rows)


def understood(path: Path, **settings: Any) -> Understood:
    return understand_data(path, make_settings(settings))


def test_rows_task_and_notes(tmp_path: Path) -> None:
    found = understood(table(tmp_path / "x.jsonl", ["0", "1"] * 15))
    assert found.task.kind == "classification"
    assert found.task.labels == ("0", "1")
    assert found.test is None
    assert [line for line in found.warnings if "--label-names 0=negative,1=positive" in line]


def test_answers_are_looked_up_in_the_documents_that_are_learned(tmp_path: Path) -> None:
    page = tmp_path / "mill.md"
    page.write_text("# Mill\n\nThe mill was built by the family Brandt.\n")
    plain = make_settings({})
    assert looked_up(page, plain).library == page
    assert looked_up(str(page), plain).library == page
    assert looked_up(understand_data(page, plain, only_look=True), plain).library == page
    other = make_settings({"documents": "other.md"})
    assert looked_up(page, other) == other
    rows = table(tmp_path / "x.jsonl", ["0", "1"] * 15)
    for data in (rows, understood(rows), [{"text": "a", "label": "b"}]):
        assert looked_up(data, plain) == plain


def test_label_names_are_learned_in_place_of_numbers(tmp_path: Path) -> None:
    path = table(tmp_path / "x.jsonl", ["0", "1"] * 15)
    found = understood(path, label_names={"0": "no", "1": "yes"}, test=str(path))
    assert set(found.task.labels) == {"no", "yes"}
    assert found.loaded.examples[0].target == "no"
    assert found.test is not None
    assert found.test.examples[1].target == "yes"
    assert found.warnings == []


def test_labels_of_the_test_file(tmp_path: Path) -> None:
    train = table(tmp_path / "train.jsonl", ["good", "bad"] * 20)
    same = understood(train, test=str(table(tmp_path / "a.jsonl", ["Good", "BAD"], start=90)))
    assert same.unknown == ""
    assert same.test is not None
    assert [one.target for one in same.test.examples] == ["good", "bad"]
    partly = understood(train, test=str(table(tmp_path / "b.jsonl", ["good", "mixed"], start=90)))
    assert any("mixed" in line and "row 2" in line for line in partly.doubts)
    with pytest.raises(DataError, match=r"c\.jsonl: no row has a label that the train rows have"):
        understood(train, test=str(table(tmp_path / "c.jsonl", ["positive", "negative"], start=90)))


def test_numbers_written_in_another_way_are_refused(tmp_path: Path) -> None:
    train = table(tmp_path / "train.jsonl", ["0", "1"] * 20)
    with pytest.raises(DataError, match=r"'0\.0' \(2 rows\), '1\.0' \(2 rows\).*'0', '1'"):
        understood(train, test=str(table(tmp_path / "t.jsonl", ["0.0", "1.0"] * 2, start=90)))


def test_too_few_rows_say_what_was_left_out(tmp_path: Path) -> None:
    rows = [{"prompt": f"p {n}", "completion": f"c {n}", "label": n % 2 == 0} for n in range(30)]
    with pytest.raises(DataError) as caught:
        understood(letters.write_jsonl(tmp_path / "x.jsonl", rows))
    assert "15 rows are too few" in str(caught.value)
    assert "15 rows left out: 'label' is false" in str(caught.value)


def test_rows_in_memory(tmp_path: Path) -> None:
    rows = [{"Frage": f"Was kostet Nummer {n}?", "Antwort": f"Sie kostet {n} Euro."} for n in range(30)]
    found = understand_data(rows, make_settings({}))
    assert found.loaded.parts_line == "prompt: Frage; target: Antwort"
    assert found.loaded.name == "data"
    assert understand_data(rows, make_settings({"completion": "Frage"})).loaded.parts_line == (
        "prompt: Antwort; target: Frage"
    )


def test_settings_that_do_not_fit_the_file(tmp_path: Path) -> None:
    path = table(tmp_path / "x.jsonl", ["a", "b"] * 15)
    with pytest.raises(UsageError, match=r"--prompt names the column 'texts', which is not there\. Did"):
        understood(path, prompt="texts")
    with pytest.raises(UsageError, match="metric"):
        understood(path, metric="chrf")


@pytest.mark.parametrize("seed", range(8))
def test_any_subset_that_keeps_every_label_is_the_same_task(tmp_path: Path, seed: int) -> None:
    """Check, climb and evaluate all come here; the same rows, or fewer, never change the task."""
    chance = random.Random(seed)
    count = chance.choice((2, 5, 30))
    words = chance.choice((1, 11))
    labels = [" ".join([f"queue{n}", *["and more"] * (words // 2)]) for n in range(count)]
    whole = [chance.choice(labels) for _ in range(20 * count)] + labels
    chance.shuffle(whole)
    task = understood(table(tmp_path / "whole.jsonl", whole)).task
    assert task.kind == "classification"
    for _ in range(5):
        kept = labels + chance.sample(whole, max(20, chance.randrange(len(whole))))
        chance.shuffle(kept)
        fewer = understood(table(tmp_path / "part.jsonl", kept)).task
        assert (fewer.kind, fewer.metrics, set(fewer.labels)) == (task.kind, task.metrics, set(task.labels))


def test_a_catalogue_is_for_calls(tmp_path: Path) -> None:
    apis = letters.write_jsonl(tmp_path / "apis.jsonl", [{"api_call": "f(x)"}, {"api_call": "g(x)"}])
    calls = [{"prompt": f"do {n}", "completion": f"{'fg'[n % 2]}(x={n})"} for n in range(30)]
    found = understood(letters.write_jsonl(tmp_path / "calls.jsonl", calls), apis=str(apis))
    assert "hallucination" in found.task.metrics
    assert [one["call"] for one in found.task.facts["apis"]["entries"]] == ["f(x)", "g(x)"]
    with pytest.raises(UsageError, match="the task is classification"):
        understood(table(tmp_path / "x.jsonl", ["no", "yes"] * 15), apis=str(apis))


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for n in range(3):
        (folder / f"{n}.md").write_text(f"# Mill {n}\n\nMill {n} was built by family {n}.\n")
    (folder / "empty.md").write_text("")
    return folder


def questions(path: Path, count: int = 6, **more: str) -> Path:
    rows = [{"question": f"Who built mill {n}?", "answer": f"family {n}"} | more for n in range(count)]
    return letters.write_jsonl(path, rows)


def test_documents_are_read_with_the_questions_to_test_on(documents: Path, tmp_path: Path) -> None:
    found = understood(documents, test=str(questions(tmp_path / "q.jsonl")))
    assert found.corpus is not None
    assert len(found.corpus.passages) == 3
    assert (found.loaded.examples, found.loaded.format, found.named.name) == ((), "documents", "docs")
    assert found.loaded.parts_line == "3 documents, 21 words in 3 passages"
    assert found.test is not None
    assert len(found.test.examples) == 6
    assert (found.task.kind, found.task.why) == ("knowledge", "Knowledge: questions about 3 documents.")
    assert found.warnings[0] == "empty.md is empty. Put its text in it, or delete it"


def test_questions_to_learn_from_keep_their_groups(documents: Path, tmp_path: Path) -> None:
    path = questions(tmp_path / "q.jsonl", 30, group="all")
    found = understood(documents, train_questions=str(path))
    assert {one.group for one in found.loaded.examples} == {"all"}
    assert found.test is None
    assert found.named.name == "docs"
    assert found.loaded.name == "q.jsonl"
    assert found.loaded.sha256 != understood(documents, test=str(path)).loaded.sha256


def test_the_user_may_say_another_task(documents: Path, tmp_path: Path) -> None:
    found = understood(documents, test=str(questions(tmp_path / "q.jsonl")), task="generation")
    assert (found.task.kind, found.task.primary) == ("generation", "rouge_l")


def test_documents_without_questions_can_only_be_looked_at(documents: Path, letters_csv: Path) -> None:
    with pytest.raises(UsageError, match=r"need questions to test on.*--test.*--train-questions"):
        understood(documents)
    found = understand_data(documents, make_settings({}), only_look=True)
    assert found.loaded.examples == ()
    assert found.task.kind == "knowledge"
    with pytest.raises(UsageError, match="goes with documents"):
        understood(letters_csv, train_questions=str(letters_csv))


def ruled(path: Path, names: list[str], **more: str) -> Path:
    rows = [
        {"prompt": f"Say {n} in a word", "instruction_id_list": names, "kwargs": [{}] * len(names)}
        | {name: f"{text} {n}" for name, text in more.items()}
        for n in range(25)
    ]
    return letters.write_jsonl(path, rows)


def asked(path: Path) -> Path:
    rows = [{"prompt": f"What is {n}?", "response": f"It is {n} of them"} for n in range(30)]
    return letters.write_jsonl(path, rows)


def test_test_rows_with_rules_say_the_task(tmp_path: Path) -> None:
    test = ruled(tmp_path / "rules.jsonl", ["punctuation:no_comma"])
    found = understood(asked(tmp_path / "x.jsonl"), test=str(test))
    assert found.task.kind == "instructions"
    assert "25 rows with rules that a program can check, most often punctuation:no_comma" in found.task.why
    assert any("ROUGE-L" in line for line in found.warnings)
    other = understood(asked(tmp_path / "y.jsonl"), test=str(asked(tmp_path / "z.jsonl")))
    assert other.task.kind == "knowledge"


def test_rules_without_answers_are_nothing_to_learn(tmp_path: Path) -> None:
    path = ruled(tmp_path / "rules.jsonl", ["no:rule"])
    with pytest.raises(DataError, match=r"25 rows have rules and no answers.*no rule 'no:rule'.*--test"):
        understood(path)


def test_a_task_of_rules_needs_rules(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no row has rules"):
        understood(asked(tmp_path / "x.jsonl"), task="instructions")
    own = ruled(tmp_path / "both.jsonl", ["punctuation:no_comma"], response="so it is")
    assert understood(own).task.kind == "instructions"


def test_a_mixture_needs_sources_that_are_there(tmp_path: Path) -> None:
    rows = [{"prompt": f"p {n}", "response": f"r {n}", "source": "ab"[n % 2]} for n in range(30)]
    path = letters.write_jsonl(tmp_path / "x.jsonl", rows)
    assert understood(path, mix="b=2").loaded.examples[1].facts == {"source": "b"}
    assert understood(path, mix="b=2").loaded.parts_line.endswith("source: source")
    assert understood(path).loaded.parts_line.endswith("not used: source")
    assert understood(path).loaded.examples[1].facts == {}
    with pytest.raises(UsageError, match="no source 'c'"):
        understood(path, mix="c=2")
    with pytest.raises(UsageError, match="'mix' cannot be 'even'"):
        understood(path, mix="even")
    with pytest.raises(UsageError, match="names no column with several"):
        understood(path, mix="temperature", mix_by="topic")
    assert understood(path, mix="dev", mix_by="topic").loaded.examples  # dev says that there is one source
