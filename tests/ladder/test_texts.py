"""Documents as rows to train on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import letters
from rung import storage
from rung.config import make_settings
from rung.ladder import written
from rung.ladder.climb import climb
from rung.ladder.prepare import Prepared, prepare
from rung.ladder.task import from_disk, run_task
from rung.ladder.texts import PIECE, text_rows, train_rows
from rung.ladder.understood import understand_data
from rung.ladder.watch import Silent
from rung.ladder.written import Ask
from rung.records import Passage


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "docs").mkdir()
    for n in range(8):
        text = "\n\n".join(f"## Part {k}\n\nMill {n} has wheel {k}. " + "It turns. " * 8 for k in range(4))
        (folder / "docs" / f"{n}.md").write_text(f"# Mill {n}\n\n{text}")
    rows = [{"question": f"Who owns mill {n}?", "answer": f"family {n}"} for n in range(40)]
    questions = letters.write_jsonl(folder / "q.jsonl", rows)
    settings = make_settings(letters.FAST | {"train_questions": str(questions)})
    return prepare(understand_data(folder / "docs", settings), settings)


def test_every_word_of_a_document_is_learned_outside_of_turns(prepared: Prepared) -> None:
    renderer = prepared.speaker.renderer
    passages = prepared.split.texts
    (row, *_) = text_rows(renderer, passages[:1], 4096)
    text = renderer.tokenizer.decode(row.ids)
    assert (
        text.removeprefix(renderer.tokenizer.bos_token or "") == f"{passages[0].title}\n\n{passages[0].text}"
    )
    assert row.mask[0] is False
    assert all(row.mask[1:])
    assert not set(renderer.stop_ids) & set(row.ids)


def test_a_text_that_spells_control_tokens_gets_none(prepared: Prepared) -> None:
    renderer = prepared.speaker.renderer
    token = next(iter(renderer._tokens.special))
    (row,) = text_rows(renderer, [Passage("x", f"Write {token} here.", "", "x")], 4096)
    assert renderer._tokens.special[token] not in row.ids[1:]


def test_pieces_fit_and_never_mix_documents(prepared: Prepared) -> None:
    rows = text_rows(prepared.speaker.renderer, prepared.split.texts, 100)
    assert max(len(row.ids) for row in rows) <= 100
    assert max(len(row.ids) for row in prepared.texts) <= PIECE
    assert len(prepared.texts) >= 8
    tokenizer = prepared.speaker.renderer.tokenizer
    for row in prepared.texts:
        text = tokenizer.decode(row.ids)
        assert len({n for n in range(8) if f"Mill {n}" in text}) <= 1
    assert len({row.example_id for row in prepared.texts}) == len(prepared.texts)


def test_the_share_of_the_texts_is_that_of_the_rows(prepared: Prepared) -> None:
    train = prepared.split.train
    whole = train_rows(prepared, "lora", train)
    assert len(whole) == len(train) + len(prepared.texts)
    half = train_rows(prepared, "lora", train[: len(train) // 2])
    texts = {row.example_id for row in prepared.texts}
    few = [row for row in half if row.example_id in texts]
    assert len(few) == pytest.approx(len(prepared.texts) / 2, abs=1)
    assert {row.example_id for row in few} <= {row.example_id for row in whole}
    first = [row.example_id in texts for row in whole[: len(whole) // 2]]
    assert sum(first) == pytest.approx(len(prepared.texts) / 2, abs=2)
    assert train_rows(prepared, "lora", ()) == []


def test_rows_are_as_before_where_there_are_no_documents(letters_csv: Path) -> None:
    settings = make_settings(letters.FAST)
    plain = prepare(understand_data(letters_csv, settings), settings)
    assert plain.texts == ()
    assert train_rows(plain, "lora", plain.split.train) == [
        plain.rendered[one.id] for one in plain.split.train
    ]


def test_a_climb_on_documents_continues_and_its_rungs_run_from_disk(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    names = ["Oduya", "Lass", "Varga", "Holm"]
    for n, name in enumerate(names):
        (tmp_path / "docs" / f"{n}.md").write_text(f"# Mill {n}\n\nMill {n} was built by {name}.")
    rows = [{"question": f"Who owns mill {n}?", "answer": f"f{n}"} for n in range(24)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def answers(speaker: object, asks: list[Ask], *_: object) -> list[str]:
        titles = [one.passage.title for one in asks]
        return [f"Question: Who built {title}?\nAnswer: {names[int(title[-1])]}" for title in titles]

    monkeypatch.setattr(written, "_answers", answers)
    monkeypatch.setattr(written, "disagreements", lambda *_: {})
    settings = letters.FAST | {"epochs": 1, "rungs": "zero-shot,lora", "test": str(tmp_path / "q.jsonl")}
    output = tmp_path / "run"
    first = climb(tmp_path / "docs", output=output, **settings)
    lora = {one.rung: one for one in first.results}["lora"]
    assert lora.status == "ok"
    assert lora.applied["texts"] == 4
    assert first.info.data["texts"] == 4
    assert lora.cost.train_tokens is not None
    assert {one.name: one.n for one in lora.metrics}["choice_accuracy"] == 24
    kept = storage.read_jsonl(output / "questions.jsonl")
    assert [row["messages"][1]["content"] for row in kept] == names

    monkeypatch.setattr(written, "_answers", lambda *_: pytest.fail("written again"))
    again = climb(tmp_path / "docs", output=output, **settings)
    assert [one.primary for one in again.results] == [one.primary for one in first.results]

    context = from_disk(output, Silent())
    assert [one.title for one in context.split.texts] == [f"Mill {n}" for n in range(4)]
    assert len(context.prepared.texts) == 4
    assert run_task(output, "lora").primary == lora.primary
