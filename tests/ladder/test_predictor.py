"""A rung of a climb answers new rows as it answered the test rows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fuzz_readers import seal
from readings import count_readings
from rung import storage
from rung.data.strict_json import RowError
from rung.errors import DataError, ResumeError, RungError, UsageError
from rung.ladder.climb import Climbed
from rung.ladder.predictor import Prediction, Predictor, load
from rung.ladder.prompting import Prompted
from rung.ladder.responder import Responder, Scores
from rung.records import Completion, Example


@pytest.fixture
def words(classical: Climbed) -> Predictor:
    return load(classical.folder, "words")


def asked(climbed: Climbed) -> list[str]:
    """The texts of the test rows."""
    test = storage.read_jsonl(climbed.folder / "test.jsonl")
    return [row["messages"][0]["content"] for row in test]


def answered(climbed: Climbed, rung: str) -> list[str]:
    return [row["answer"] for row in storage.read_jsonl(climbed.folder / "predictions" / f"{rung}.jsonl")]


@pytest.mark.parametrize("rung", ["zero-shot", "few-shot", "lora", "full"])
def test_rungs_with_a_base_answer_as_they_did(climbed: Climbed, rung: str) -> None:
    predictor = load(climbed.folder, rung)
    found = predictor.answer(asked(climbed))
    assert [one.text for one in found] == [text or "" for text in answered(climbed, rung)]
    for one in found:
        assert one.probabilities is not None
        assert set(one.probabilities) == {"a", "b"}
        assert sum(one.probabilities.values()) == pytest.approx(1)
        assert list(one.probabilities.values()) == sorted(one.probabilities.values(), reverse=True)


@pytest.mark.parametrize("rung", ["constant", "nearest", "words"])
def test_classical_rungs_answer_as_they_did_in_the_labels_of_the_file(classical: Climbed, rung: str) -> None:
    found = load(classical.folder, rung).answer(asked(classical))
    assert [one.text for one in found] == ["01"["ab".index(text)] for text in answered(classical, rung)]
    if rung != "words":
        assert {one.probabilities for one in found} == {None}
        return
    for one in found:
        assert one.probabilities is not None
        assert one.text == next(iter(one.probabilities))
        assert one.probability == max(one.probabilities.values())


@pytest.mark.parametrize("rung", ["zero-shot", "few-shot", "lora", "full"])
def test_a_base_reads_a_row_once_for_answer_and_probabilities(
    climbed: Climbed, rung: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, rows = load(climbed.folder, rung), asked(climbed)
    assert predictor.scores  # one row is read to see whether there are scores
    read = count_readings(monkeypatch)
    alone = predictor.answer(rows, probabilities=False)
    assert sum(read) == len(rows)
    both = predictor.answer(rows)
    assert sum(read) == 2 * len(rows)
    assert [one.text for one in both] == [one.text for one in alone]
    if isinstance(predictor.responder, Prompted) and predictor.responder.rule is not None:
        assert [one.text for one in both] == [next(iter(one.probabilities or {})) for one in both]


def test_words_are_looked_at_once(words: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert words.scores
    judged: list[int] = []
    real = type(words.responder).judge

    def counting(self: object, examples: Sequence[Example], *rest: object) -> object:
        judged.append(len(examples))
        return real(self, examples, *rest)

    monkeypatch.setattr(type(words.responder), "judge", counting)
    words.answer(["mmamm", "mmbmm"])
    assert judged == [2]


def test_the_recommended_rung_is_the_default(climbed: Climbed, classical: Climbed) -> None:
    for one in (climbed, classical):
        assert load(one.folder).rung == one.verdict.recommended


def test_it_says_what_it_is(words: Predictor, classical: Climbed) -> None:
    assert repr(words).startswith(f"<words of {classical.folder}: classification, accuracy 1.000")
    assert repr(words).endswith("; asks with text>")


def test_rows_are_texts_or_dicts(words: Predictor) -> None:
    one, two, three = words.answer(["mmamm", {"text": "mmamm"}, {"other": 1, "Text": "mmamm"}])
    assert one == two == three
    assert words.answer([]) == []
    assert words.answer(["mmamm"], probabilities=False) == [Prediction(one.text)]
    with pytest.raises(UsageError, match="a list of rows, not one"):
        words.answer("mmamm")
    with pytest.raises(UsageError, match=r"a row is .7., a int"):
        words.answer([7])  # type: ignore[list-item]


def test_a_bad_row_says_why_and_the_others_are_answered(words: Predictor) -> None:
    good, empty, missing, broken = words.predict(
        [{"text": "mmamm"}, {"text": " "}, {"body": "x"}, RowError("is not valid JSON")]
    )
    assert good.text in ("0", "1")
    assert (empty.text, empty.error) == ("", "the row has no text in 'text'")
    assert missing.error == "the row lacks 'text'"
    assert broken == Prediction("", None, "the row is not valid JSON")


class Picky(Responder):
    """Refuses long rows, as a base does whose context is full."""

    def __init__(self, text: str = "a", truncated: bool = False, error: RungError | None = None) -> None:
        self.calls = 0
        self.completion = (text, 9, truncated)
        self.error = error

    def answer(self, examples: Sequence[Example], watcher: object = None) -> list[Completion]:
        self.calls += 1
        if self.error:
            raise self.error
        if any(len(one.prompt[0].content) > 10 for one in examples):
            raise DataError("the prompt has 99 tokens", why="the base reads 10 tokens at most")
        return [Completion(one.id, *self.completion) for one in examples]

    def save(self, folder: Path) -> None: ...


def with_responder(words: Predictor, responder: Any) -> Predictor:
    from dataclasses import replace

    return replace(words, responder=responder)


class Cramped(Picky):
    """Has no room for every label after a long row, but for an answer."""

    def answer(self, examples: Sequence[Example], watcher: object = None) -> list[Completion]:
        return [Completion(one.id, "b", 1) for one in examples]

    def score(self, examples: Sequence[Example], choices: Sequence[str]) -> Scores:
        Picky.answer(self, examples)  # refuses long rows
        return np.log(np.tile([0.25, 0.75], (len(examples), 1)))


def test_a_row_without_room_for_the_labels_is_still_answered(words: Predictor) -> None:
    short, long = with_responder(words, Cramped()).answer(["mam", "m" * 20])
    assert sorted((short.probabilities or {}).values()) == pytest.approx([0.25, 0.75])
    assert (long.text, long.probabilities, long.error) == ("1", None, "")


def test_a_row_longer_than_the_context_is_found_among_the_others(words: Predictor) -> None:
    picky = Picky()
    found = with_responder(words, picky).answer(["mam"] * 30 + ["m" * 20] + ["mam"] * 33)
    assert [one.text for one in found] == ["0"] * 30 + [""] + ["0"] * 33
    assert found[30].error == "the prompt has 99 tokens; the base reads 10 tokens at most"
    assert picky.calls == 2 * 6 + 1  # 64 rows in halves


def test_a_broken_base_is_no_bad_row(words: Predictor) -> None:
    with pytest.raises(RungError, match="logits are not finite"):
        with_responder(words, Picky(error=RungError("logits are not finite"))).answer(["mam"])


def test_an_answer_that_is_no_label_or_was_cut_says_so(words: Predictor) -> None:
    (none,) = with_responder(words, Picky("I am not sure")).answer(["mam"])
    assert (none.text, none.error) == ("", "the answer is none of the labels: 'I am not sure'")
    (cut,) = with_responder(words, Picky("a", truncated=True)).answer(["mam"])
    assert (cut.text, cut.error) == ("0", "the answer was cut off after 9 tokens")


def test_what_cannot_be_loaded_is_refused(classical: Climbed, tmp_path: Path) -> None:
    import shutil

    with pytest.raises(UsageError, match=r"not a run folder"):
        load(tmp_path)
    with pytest.raises(
        UsageError, match=r"no rung 'wrds'\. Did you mean 'words'\?.*constant, nearest, words"
    ):
        load(classical.folder, "wrds")
    copy = shutil.copytree(classical.folder, tmp_path / "copy")
    result = storage.read_json(copy / "results" / "words.json")
    storage.write_json(copy / "results" / "words.json", result | {"status": "failed", "reason": "no luck"})
    with pytest.raises(UsageError, match=r"cannot answer: it failed \(no luck\).*constant, nearest\."):
        load(copy, "words")
    verdict = storage.read_json(copy / "verdict.json")
    storage.write_json(copy / "verdict.json", verdict | {"recommended": None})
    with pytest.raises(UsageError, match="recommends no rung"):
        load(copy)
    (copy / "verdict.json").unlink()
    with pytest.raises(UsageError, match=r"no verdict yet.*name a rung"):
        load(copy)
    info = storage.read_json(copy / "run.json")
    del info["data"]["reading"]
    storage.write_json(copy / "run.json", info)
    with pytest.raises(UsageError, match="made by an earlier version"):
        load(copy, "nearest")


@pytest.mark.parametrize(
    ("rung", "change", "said"),
    [
        ("words", {"labels": ["a"]}, "do not belong together"),
        ("words", {"labels": [1, 2]}, "do not belong together"),
        ("words", {"tfidf": {}}, "damaged: KeyError: 'blocks'"),
        ("words", {"tfidf": 3}, "no 'tfidf' of the kind"),
        ("words", {"rung": "nearest"}, "holds the rung 'nearest'"),
        ("nearest", {"shape": [3, 3]}, "damaged: "),
        ("nearest", {"targets": ["a"]}, "do not belong together"),
        ("nearest", {"commonest": None}, "no 'commonest' of the kind"),
        ("constant", {"text": 3}, "do not belong together"),
        ("constant", {"before": None}, "no 'before' of the kind"),
    ],
)
def test_what_a_rung_left_is_looked_at(
    classical: Climbed, tmp_path: Path, rung: str, change: dict[str, Any], said: str
) -> None:
    import shutil

    copy = shutil.copytree(classical.folder, tmp_path / "copy")
    place = copy / "answer" / rung
    settings = storage.read_json(place / "responder.json")
    storage.write_json(place / "responder.json", settings | change)
    with pytest.raises(ResumeError, match=r"responder\.json is missing or was changed"):
        load(copy, rung)
    seal(place)
    with pytest.raises(RungError, match=said):
        load(copy, rung)


@pytest.mark.parametrize("rung", ["zero-shot", "few-shot", "lora"])
def test_a_change_of_what_a_base_is_asked_is_refused(climbed: Climbed, tmp_path: Path, rung: str) -> None:
    import shutil

    copy = shutil.copytree(climbed.folder, tmp_path / "copy")
    path = copy / "answer" / rung / "answer.json"
    storage.write_json(path, storage.read_json(path) | {"max_new_tokens": 1})
    with pytest.raises(ResumeError, match=r"answer\.json is missing or was changed"):
        load(copy, rung)


def test_a_classical_rung_answers_without_torch(classical: Climbed) -> None:
    code = (
        "import sys\nfrom rung.ladder.predictor import load\n"
        f"print(load({str(classical.folder)!r}, 'words').answer(['mmamm'])[0].text, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False"]
