"""The library: which passages are like a row, what it measures of itself, and how it is kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import shelf
from rows_of import rows, task_of
from rung import storage
from rung.data.passages import Documents, mark_of, passage
from rung.errors import ResumeError
from rung.ladder import library
from rung.ladder.library import Library, of_reference, question_of, words_of
from rung.records import Example, Message

PASSAGES = tuple(
    passage(text)
    for text in (
        "the cat sleeps",
        "a dog barks at the cat",
        "silero_stt turns speech into text",
        "dog dog dog",
    )
)
KNOWN = Library(PASSAGES, Path("nowhere"))


def texts(question: str, k: int) -> list[str]:
    return [one.text for one in KNOWN.like(rows([(question, "a")]), k)[0]]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Silero_STT", ["silero_stt", "silero", "stt"]),
        ("HybridNets resnet50", ["hybridnets", "hybrid", "nets", "resnet50", "resnet", "50"]),
        ("東京タワー", ["東京", "京タ", "タワ", "ワー"]),
        ("Über-Maß!", ["über", "mass"]),
        ("...", []),
    ],
)
def test_words(text: str, wanted: list[str]) -> None:
    assert words_of(text) == wanted


def test_the_most_similar_comes_first_and_nothing_is_shown_without_a_word_in_common() -> None:
    assert texts("Why does the dog bark?", 2) == ["dog dog dog", "a dog barks at the cat"]
    assert texts("speech stt", 4) == ["silero_stt turns speech into text"]
    assert texts("zebra", 4) == []
    assert texts("...", 4) == []
    assert KNOWN.like([], 3) == []
    assert KNOWN.like(rows([("dog", "a")]), 0) == [()]


def test_the_scores_are_those_of_bm25_by_hand() -> None:
    """k1 1.5, b 0.75, Lucene's idf: for "dog" the passage of three dogs before the one with a dog."""
    from math import log

    mean = sum(len(words_of(one.text)) for one in PASSAGES) / len(PASSAGES)
    idf = log(1 + (4 - 2 + 0.5) / (2 + 0.5))

    def score(times: int, words: int) -> float:
        return idf * times / (times + 1.5 * (1 - 0.75 + 0.75 * words / mean))

    found = KNOWN._index.get_scores(["dog"])
    assert found[[1, 3]].tolist() == pytest.approx([score(1, 6), score(3, 3)], rel=1e-5)
    assert found[[0, 2]].tolist() == [0, 0]


def test_equals_come_in_the_order_of_the_documents() -> None:
    many = Library(tuple(passage(f"bee number {n}") for n in range(50)), Path("nowhere"))
    assert [one.text for one in many.like(rows([("bee", "a")]), 3)[0]] == [
        f"bee number {n}" for n in range(3)
    ]


def test_all_turns_of_the_user_are_looked_up() -> None:
    turns = [("system", "s"), ("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four")]
    example = Example("x", tuple(Message(role, text) for role, text in turns), 1)  # type: ignore[arg-type]
    assert question_of(example) == "one\nthree"


def test_wrong_passages_are_others_and_the_same_for_the_same_seed() -> None:
    (example,) = rows([("the dog", "a")])
    near = {one.id for one in KNOWN.like([example], 2)[0]}
    wrong = KNOWN.wrong(example, 1, seed=3)
    assert wrong
    assert not near & {one.id for one in wrong}
    assert KNOWN.wrong(example, 1, seed=3) == wrong
    assert len({KNOWN.wrong(example, 1, seed) for seed in range(20)}) > 1


def test_recall_is_the_share_of_rows_whose_answer_is_found(tmp_path: Path) -> None:
    found = [(row["prompt"], row["completion"]) for row in shelf.requests(40)]
    examples = rows(found)
    task = task_of(examples)
    assert task.kind == "api_call"
    passages = tuple(passage(str(record["call"]), str(record["name"])) for record in shelf.catalogue())
    recall = Library(passages, tmp_path).recall(task, examples, (1, 2, 24))
    assert recall[1] == recall[2] == recall[24] == 1.0
    without = tuple(one for one in passages if "lamp" not in one.text)
    share = sum("lamp" not in call for _, call in found) / len(found)
    assert Library(without, tmp_path).recall(task, examples, (1, 24)) == {1: share, 24: share}
    assert Library(passages, tmp_path).recall(task, [], (1,)) == {}


def test_it_is_read_again_from_another_place(tmp_path: Path) -> None:
    run = tmp_path / "run"
    known = Library.of(Documents(PASSAGES, "x"), run)
    known.save()
    answer = run / "answer" / "retrieval"
    answer.mkdir(parents=True)
    reference = known.reference(answer)
    assert reference == {"file": "../../documents.jsonl", "mark": mark_of(PASSAGES)}
    moved = run.rename(tmp_path / "moved")
    assert of_reference(moved / "answer" / "retrieval", reference).passages == PASSAGES


def test_passages_that_are_gone_or_were_changed_are_refused(tmp_path: Path) -> None:
    known = Library(PASSAGES, tmp_path / library.FILE)
    with pytest.raises(ResumeError, match="is missing"):
        of_reference(tmp_path, known.reference(tmp_path))
    known.save()
    rows_ = storage.read_jsonl(known.file)
    storage.write_jsonl(known.file, rows_[1:])
    with pytest.raises(ResumeError, match="not the one that was used"):
        of_reference(tmp_path, known.reference(tmp_path))
    known.file.write_text("{}\n")
    with pytest.raises(ResumeError, match="Passage field"):
        library.read(known.file)


def test_it_needs_no_torch() -> None:
    code = "import sys, rung.ladder.library; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
