"""The rejected answer of every form of pairs, and rows that cannot be pairs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rung.data.formats import Loaded, read_examples
from rung.data.rejected import PROMPTS_DIFFER, is_pair, rejected_of
from rung.data.split import split

N = 24
ASK = [f"Where is desk {i}?" for i in range(N)]
GOOD = [f"Gladly: in room {i}." for i in range(N)]
BAD = [f"Look for it yourself, {i}." for i in range(N)]
HUMAN = "\n\nHuman: {}\n\nAssistant: Which house?\n\nHuman: The north one.\n\nAssistant: {}"


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def bot(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def load(folder: Path, rows: Sequence[dict[str, Any]]) -> Loaded:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_examples(path)


FORMS: dict[str, list[dict[str, Any]]] = {
    "texts": [{"prompt": a, "chosen": b, "rejected": c} for a, b, c in zip(ASK, GOOD, BAD, strict=True)],
    "answers as turns": [
        {"prompt": [user(a)], "chosen": [bot(b)], "rejected": [bot(c)]}
        for a, b, c in zip(ASK, GOOD, BAD, strict=True)
    ],
    "conversations": [
        {"chosen": [user(a), bot(b)], "rejected": [user(a), bot(c)]}
        for a, b, c in zip(ASK, GOOD, BAD, strict=True)
    ],
    "conversations next to their prompt": [
        {"prompt": a, "chosen": [user(a), bot(b)], "rejected": [user(a), bot(c)], "score_chosen": 4.5}
        for a, b, c in zip(ASK, GOOD, BAD, strict=True)
    ],
    "one turn": [
        {"prompt": a, "chosen": bot(b), "rejected": bot(c)} for a, b, c in zip(ASK, GOOD, BAD, strict=True)
    ],
    "transcripts": [
        {"chosen": HUMAN.format(a, b), "rejected": HUMAN.format(a, c)}
        for a, b, c in zip(ASK, GOOD, BAD, strict=True)
    ],
    "a common beginning": [
        {"chosen": f"{a}\n{b}", "rejected": f"{a}\n{c}"} for a, b, c in zip(ASK, GOOD, BAD, strict=True)
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_pairs_is_read(tmp_path: Path, form: str) -> None:
    examples = load(tmp_path, FORMS[form]).examples
    assert [one.target for one in examples] == GOOD
    assert [one.facts for one in examples] == [{"rejected": text} for text in BAD]
    assert ASK[0] in [turn.content for turn in examples[0].prompt]
    assert all(map(is_pair, examples))
    other = rejected_of(examples[0])
    assert (other.prompt, other.target) == (examples[0].prompt, BAD[0])


def test_marks_of_completion_models_are_taken_off_both_answers(tmp_path: Path) -> None:
    rows = [
        {name: f" {text} END" if name != "prompt" else text for name, text in row.items()}
        for row in FORMS["texts"]
    ]
    examples = load(tmp_path, rows).examples
    assert (examples[0].target, examples[0].facts["rejected"]) == (GOOD[0], BAD[0])


@pytest.mark.parametrize(
    ("rejected", "why"),
    [
        ([user("Where else?"), bot("No.")], PROMPTS_DIFFER),
        ([user(ASK[3])], "does not end with an assistant turn"),
        ([{"role": "robot", "content": "No."}], "has the unknown role 'robot' in turn 1"),
    ],
)
def test_a_row_that_cannot_be_a_pair_says_why(tmp_path: Path, rejected: Any, why: str) -> None:
    rows = [*FORMS["texts"]]
    rows[3] = {**rows[3], "rejected": rejected}
    examples = load(tmp_path, rows).examples
    assert len(examples) == N
    assert why in examples[3].facts["unpaired"]
    assert [is_pair(one) for one in examples].count(False) == 1


def test_transcripts_with_other_prompts_or_without_marks_are_no_pairs(tmp_path: Path) -> None:
    rows = [*FORMS["transcripts"]]
    rows[1] = {**rows[1], "rejected": HUMAN.format("Why?", "No.")}
    rows[2] = {**rows[2], "rejected": "nothing of the kind"}
    examples = load(tmp_path, rows).examples
    assert examples[1].facts == {"unpaired": PROMPTS_DIFFER}
    assert "unpaired" in examples[2].facts
    assert is_pair(examples[3])


@pytest.mark.parametrize("value", [None, "", GOOD[0], f" {GOOD[0]}\n"])
def test_nothing_and_the_chosen_answer_are_no_rejected_answers(tmp_path: Path, value: Any) -> None:
    rows = [*FORMS["texts"]]
    rows[0] = {**rows[0], "rejected": value}
    assert not is_pair(load(tmp_path, rows).examples[0])


def test_pairs_that_share_a_prompt_stay_together(tmp_path: Path) -> None:
    rows = [
        {"prompt": row["prompt"], "chosen": row["chosen"], "rejected": f"{row['rejected']} {n}"}
        for row in FORMS["texts"]
        for n in range(3)
    ]
    loaded = load(tmp_path, rows)
    parts = split(loaded.examples, seed=0, dev_fraction=0.2, test_fraction=0.2)
    prompts = [{one.prompt for one in part} for part in (parts.train, parts.dev, parts.test)]
    assert parts.duplicates == 0
    assert sum(map(len, prompts)) == len(set.union(*prompts)) == N
