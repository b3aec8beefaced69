"""Labels by their likelihood, against scores computed the textbook way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import letters
from rows_of import rows
from rung.compute.load import tiny
from rung.data.templates import Renderer
from rung.evaluation import label_scores
from rung.evaluation.label_rules import LabelRule, calibrated, matched
from rung.evaluation.label_scores import (
    CALIBRATED,
    MATCHED,
    PER_TOKEN,
    RAW,
    LabelScores,
    pick_labels,
    picks_after,
    picks_of,
)
from rung.evaluation.prompts import content_free
from rung.evaluation.run import Speaker

LABELS = ("a", "bcd", "be")
SHARES = (0.5, 0.2, 0.3)
ROWS = rows((text, "a") for text, _ in letters.rows(24))


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    base = tiny()
    return Speaker(base, Renderer(base.tokenizer))


@pytest.fixture(scope="module")
def ids(speaker: Speaker) -> list[list[int]]:
    return [speaker.renderer.prompt_ids(example.prompt) for example in ROWS]


def textbook(speaker: Speaker, prompts: list[list[int]]) -> np.ndarray:
    """(prompts, labels): one row, one label, one pass."""
    found = np.zeros((len(prompts), len(LABELS)))
    for i, prompt in enumerate(prompts):
        for c, label in enumerate(LABELS):
            answer = speaker.renderer.completion_ids(label)
            with torch.no_grad():
                logits = speaker.base.model(input_ids=torch.tensor([prompt + answer])).logits[0].double()
            logs = logits.log_softmax(-1)[len(prompt) - 1 : -1]
            found[i, c] = float(logs[range(len(answer)), answer].sum())
    return found


def test_every_rule_picks_what_the_textbook_picks(speaker: Speaker, ids: list[list[int]]) -> None:
    empty = [speaker.renderer.prompt_ids(one) for one in content_free(ROWS[0].prompt)]
    made = LabelScores(speaker, LABELS, SHARES, empty)
    made.read(ids[:10])
    made.read(ids[10:])
    scores, lengths = textbook(speaker, ids), [2, 4, 3]
    rules = {
        RAW: LabelRule(),
        PER_TOKEN: LabelRule(per_token=True),
        CALIBRATED: calibrated(textbook(speaker, empty)),
        MATCHED: matched(scores, SHARES),
    }
    picked = made.picks()
    assert set(picked) == set(rules)
    for name, rule in rules.items():
        assert picked[name] == [LABELS[at] for at in rule.applied(scores, lengths).argmax(1)]
        assert np.allclose(made.rules[name].offsets, rule.offsets, atol=1e-3)
    assert len({tuple(some) for some in picked.values()}) > 1


def test_many_labels_are_searched_after_the_first_rows(
    speaker: Speaker, ids: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_scores, "FEW_NODES", 1)
    searched: list[int] = []
    real = label_scores.best_choices

    def counting(base: object, some: list[list[int]], *rest: object) -> object:
        searched.append(len(some))
        return real(base, some, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(label_scores, "best_choices", counting)
    made = LabelScores(speaker, LABELS, SHARES)
    made.read(ids[:20])
    rule = made.rules[MATCHED]
    made.read(ids[20:])
    assert searched == [4, 4]
    assert made.rules[MATCHED] == rule == matched(made._scores, SHARES)
    scores = textbook(speaker, ids)
    for name, picks in made.picks().items():
        assert picks == [LABELS[at] for at in made.rules[name].applied(scores, [2, 4, 3]).argmax(1)]


def test_one_rule_picks_the_same_again(speaker: Speaker, ids: list[list[int]]) -> None:
    made = LabelScores(speaker, LABELS, SHARES)
    made.read(ids)
    seen: list[tuple[int, int]] = []
    for name, rule in made.rules.items():
        found = pick_labels(speaker, LABELS, rule, ROWS, ids, lambda *done: seen.append(done))
        assert [one.text for one in found] == made.picks()[name]
        assert all(one.tokens == 0 and not one.truncated for one in found)
        assert [one.read for one in found] == [len(prompt) for prompt in ids]
    assert seen[-1] == (24, 24)


def test_all_rules_of_one_reading_pick_what_each_picks_alone(
    speaker: Speaker, ids: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = {
        RAW: LabelRule(),
        PER_TOKEN: LabelRule(per_token=True),
        "own": LabelRule(offsets=(0.0, 9.0, 3.0)),
    }
    wanted = {
        name: [one.text for one in pick_labels(speaker, LABELS, rule, ROWS, ids)]
        for name, rule in rules.items()
    }
    assert picks_after(speaker, LABELS, rules, ids) == wanted
    monkeypatch.setattr(label_scores, "FEW_NODES", 0)
    assert picks_after(speaker, LABELS, rules, ids) == wanted
    lengths = [len(speaker.renderer.completion_ids(label)) for label in LABELS]
    assert picks_of(LABELS, rules, textbook(speaker, ids), lengths) == wanted
