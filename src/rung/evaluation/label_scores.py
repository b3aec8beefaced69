"""Labels by their likelihood: every rule on rows where a rule is chosen, and one rule on all later rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rung.evaluation.label_rules import LabelRule, Scores, calibrated, matched
from rung.evaluation.run import Speaker, Watch
from rung.generate.branches import Numbers, Tree
from rung.generate.cache import Ids
from rung.generate.choose import best_and_scores, best_choices, log_likelihoods
from rung.records import Completion, Example

RAW, PER_TOKEN = "likelihood", "likelihood per token"
CALIBRATED, MATCHED = "calibrated likelihood", "likelihood matched to label shares"
Rules = Mapping[str, LabelRule]
FEW_NODES = 64  # of the tree of labels, up to which all labels are scored
_SCORED = 16  # rows from which the shares are matched where all scores of a row are too many to compute


class LabelScores:
    """What each rule picks on rows that are read a few at a time.

    Few labels are all scored, and the shares are matched on all rows read so far. Many labels are all scored
    for the first rows alone; then the rules are fixed and the best label is searched for.
    """

    def __init__(
        self, speaker: Speaker, labels: Sequence[str], shares: Sequence[float], empty: Sequence[Ids] = ()
    ) -> None:
        """`shares` (labels,): how frequent each label is; `empty`: prompts without a text."""
        self.base = speaker.base
        self.labels = tuple(labels)
        self.choices = [speaker.renderer.completion_ids(label) for label in labels]
        self._lengths = [len(choice) for choice in self.choices]
        self._few = few_nodes(self.choices)
        self._shares = tuple(shares)
        self._scores: Scores = np.zeros((0, len(labels)))
        self._picked: dict[str, list[int]] = {}  # on the rows that were searched
        self.rules: dict[str, LabelRule] = {RAW: LabelRule(), PER_TOKEN: LabelRule(per_token=True)}
        if empty:
            self.rules[CALIBRATED] = calibrated(log_likelihoods(self.base, empty, self.choices))

    def read(self, ids: Sequence[Ids], watch: Watch | None = None) -> None:
        """Read more rows, given as prompts."""
        room = len(ids) if self._few else max(0, _SCORED - len(self._scores))
        first, rest = ids[:room], ids[room:]
        if first:
            scores = log_likelihoods(self.base, first, self.choices, on_progress=watch)
            self._scores = np.concatenate([self._scores, scores])
            self.rules[MATCHED] = matched(self._scores, self._shares)
        if rest:
            rules = list(self.rules.values())
            best = best_choices(self.base, rest, self.choices, *_arrays(rules, self._lengths), watch)
            for name, some in zip(self.rules, best.tolist(), strict=True):
                self._picked.setdefault(name, []).extend(some)

    def picks(self) -> dict[str, list[str]]:
        """By rule, the label of every row read so far."""
        found = picks_of(self.labels, self.rules, self._scores, self._lengths)
        for name, later in self._picked.items():
            found[name] += [self.labels[at] for at in later]
        return found


def few_nodes(choices: Sequence[Ids]) -> bool:
    """Whether so few labels, given as tokens, are all scored; else the best one is searched for."""
    return len(Tree.of(choices).tokens) <= FEW_NODES


def picks_of(
    labels: Sequence[str], rules: Rules, scores: Scores, lengths: Sequence[int]
) -> dict[str, list[str]]:
    """By rule, the label it picks in each row of `scores` (rows, labels), for labels of so many tokens."""
    best = {name: rule.applied(scores, lengths).argmax(1).tolist() for name, rule in rules.items()}
    return {name: [labels[at] for at in some] for name, some in best.items()}


def picks_after(
    speaker: Speaker, labels: Sequence[str], rules: Rules, ids: Sequence[Ids], watch: Watch | None = None
) -> dict[str, list[str]]:
    """By rule, the label it picks after each prompt; all rules of one reading."""
    choices = [speaker.renderer.completion_ids(label) for label in labels]
    lengths = [len(choice) for choice in choices]
    if few_nodes(choices):
        scores = log_likelihoods(speaker.base, ids, choices, on_progress=watch)
        return picks_of(labels, rules, scores, lengths)
    best = best_choices(speaker.base, ids, choices, *_arrays(list(rules.values()), lengths), watch)
    return {name: [labels[at] for at in some] for name, some in zip(rules, best.tolist(), strict=True)}


def pick_labels(
    speaker: Speaker,
    labels: Sequence[str],
    rule: LabelRule,
    examples: Sequence[Example],
    ids: Sequence[Ids],
    watch: Watch | None = None,
) -> list[Completion]:
    """The label that `rule` picks after each prompt; the first of equals."""
    choices, arrays = _asked(speaker, labels, rule)
    (best,) = best_choices(speaker.base, ids, choices, *arrays, watch)
    return _completions(labels, examples, best, ids)


def pick_and_score(
    speaker: Speaker,
    labels: Sequence[str],
    rule: LabelRule,
    examples: Sequence[Example],
    ids: Sequence[Ids],
) -> tuple[list[Completion], Scores]:
    """What `pick_labels` gives, and the log-likelihoods (rows, labels) without the rule."""
    choices, arrays = _asked(speaker, labels, rule)
    (best,), scores = best_and_scores(speaker.base, ids, choices, *arrays)
    return _completions(labels, examples, best, ids), scores


def _asked(
    speaker: Speaker, labels: Sequence[str], rule: LabelRule
) -> tuple[list[list[int]], tuple[Scores, Scores]]:
    """The labels as tokens, and the rule for them."""
    choices = [speaker.renderer.completion_ids(label) for label in labels]
    return choices, _arrays([rule], [len(choice) for choice in choices])


def _completions(
    labels: Sequence[str], examples: Sequence[Example], best: Numbers, ids: Sequence[Ids]
) -> list[Completion]:
    return [
        Completion(example.id, labels[at], tokens=0, read=len(prompt))
        for example, at, prompt in zip(examples, best.tolist(), ids, strict=True)
    ]


def _arrays(rules: Sequence[LabelRule], lengths: Sequence[int]) -> tuple[Scores, Scores]:
    """Offsets and factors, each (rules, labels)."""
    offsets = np.stack([rule.added(len(lengths)) for rule in rules])
    return offsets, np.stack([rule.factors(lengths) for rule in rules])
