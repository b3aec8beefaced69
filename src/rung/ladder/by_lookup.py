"""What the verdict says where answers were looked up in documents: is retrieval the right answer?

Rungs that look up are known by their names.
"""

from __future__ import annotations

from rung.ladder.case import Case, title, worth

READING = ("retrieval", "document")  # the base reads what was looked up
TUNED = ("lora-retrieval", "lora-open-book")  # a tuned model does


def about_lookup(case: Case) -> str:
    """A sentence on looking answers up against learning them; "" where no rung looked anything up.

    Nothing is said where rungs are not distinguishable.
    """
    recommended = case.recommended
    tried = [name for name in case.ranked if name in (*READING, *TUNED)]
    if recommended is None or not tried or not case.conclusive:
        return ""
    if recommended in (*READING, *TUNED):
        learned = any(case.results[name].tunes and name not in TUNED for name in case.ranked)
        how = ", with a tuned reader" if recommended in TUNED else " instead of tuning" if learned else ""
        return (
            f"Retrieval is the right answer here{how}: the facts stay in the documents, where they can be "
            "changed without training."
        )
    best = max(tried, key=lambda name: worth(case.results[name]))
    pair = case.between(recommended, best)
    behind = worth(case.results[recommended]) < worth(case.results[best])
    if pair is None or not pair.distinguishable or behind:
        return ""
    return f"Looking the answers up is not needed here: {title(case.results[best])} falls behind."
