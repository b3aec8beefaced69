"""Knowledge: questions that are asked without their source, so that the answer must be known.

Measured by what an answer shares with the right one (ROUGE-L), by the share of the right one that is said
(ROUGE-L recall, as in TOFU, arXiv 2401.06121), by whether all of it is said (containment), and by whether the
right answer is more likely than the answers to other questions (`rung.ladder.against`). Recall alone does not
decide: a base that talks on until its answer is cut off has a high one.
"""

from __future__ import annotations

from rung.data import Loaded
from rung.data.sections import sentences
from rung.evaluation import overlap
from rung.evaluation.tasks.generation import Generation
from rung.evaluation.tasks.kind import Grade, counted, register
from rung.records import Example, Task

MOST_WORDS = 40  # of a question, and of half the answers
SHARE = 0.9  # of the rows that must be questions

# Words without which an English answer says the same. Numbers and negations are none of them.
_SMALL_WORDS = """
    a an the of in on at to for by with from as into is are was were be been being am has have had do does did
    it its this that these those there he she they his her their him them we our you your i my me and or but
    which who whom whose what when where will would can could may must should shall also very so such
"""
_SMALL = frozenset(_SMALL_WORDS.split())


class Knowledge(Generation):
    """An answer may say more than the target: its words count, not those around them."""

    name = "knowledge"
    title = "Knowledge"
    metrics = ("rouge_l", "rouge_l_recall", "containment", "exact_match")
    shown = ("choice_accuracy",)
    against_others = True
    row_metric = "containment"

    def infer(self, loaded: Loaded) -> str:
        asked = [_is_question(example) for example in loaded.examples]
        answers = sorted(len(overlap.words(example.target)) for example in loaded.examples)
        if sum(asked) < SHARE * len(asked) or answers[(len(answers) - 1) // 2] > MOST_WORDS:
            return ""
        return (
            f"Knowledge: {sum(asked):,} of {counted(len(asked), 'row')} ask a question in one sentence, "
            "without a text to find the answer in."
        )

    def grade(self, task: Task, example: Example, answer: str | None) -> Grade:
        grade = super().grade(task, example, answer)
        said = answer or ""
        more = {
            "rouge_l_recall": overlap.rouge_l_recall(said, example.target),
            "containment": float(contains(said, example.target)),
        }
        return Grade({**grade.values, **more}, grade.evidence)

    def instruction(self, task: Task) -> str:
        return "Answer the question."


def contains(text: str, answer: str) -> bool:
    """Whether `text` says `answer`: its words in one piece, or all its key words in any order."""
    said, wanted = overlap.words(text), overlap.words(answer)
    if not wanted:
        return False
    piece = f" {' '.join(wanted)} " in f" {' '.join(said)} "
    keys = key_words(answer)
    return piece or (bool(keys) and keys <= set(said))


def key_words(text: str) -> set[str]:
    """The words that carry what a text says."""
    return set(overlap.words(text)) - _SMALL


def _is_question(example: Example) -> bool:
    """Whether a row is one question of one sentence, alone."""
    asked = [message for message in example.prompt if message.role != "system"]
    if len(asked) != 1 or len(example.prompt) != 1:
        return False
    text = asked[0].content.strip()
    short = "\n" not in text and len(text.split()) <= MOST_WORDS
    return text.endswith(("?", "？", "؟")) and short and len(sentences(text)) == 1


register(Knowledge())
