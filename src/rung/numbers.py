"""How numbers and text from outside are written, the same in the verdict, the terminal and the page.

Sentences write counts and shares (``1,200 rows``, ``12%``) themselves.  A missing value is ``-``.  Shares of
1 are shown as percent, differences of shares as points.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rung.records import Measure, Result

ABSENT = "-"
LIST_CAP = 60  # items of a list that are written out before "and N more"
# Controls, bidi marks and overrides, zero-width spaces, byte order mark, lone surrogates, annotations,
# tags (an alphabet that no terminal shows). Joiners stay: Persian and emoji are written with them.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "field_f1": "field F1",
    "chrf": "chrF",
    "bleu": "BLEU",
    "rouge_l": "ROUGE-L",
    "likelier": "chosen is likelier",
    "chosen_change": "change of the chosen",
    "rouge_l_recall": "ROUGE-L recall",
    "choice_accuracy": "right answer most likely",
    "json_valid": "valid JSON",
    "schema_valid": "keeps to the schema",
    "made_up": "made up values",
    "function_match": "right function",
    "number_match": "numbers within 5%",
    "micro_f1": "micro F1",
    "exact_set": "exact set of labels",
    "jaccard": "Jaccard",
    "samples_f1": "F1 of a row",
    "copied": "untranslated copies",
    "empty": "empty answers",
    "prompt_strict": "prompts followed",
    "prompt_loose": "prompts followed, loosely",
    "instruction_strict": "rules followed",
    "instruction_loose": "rules followed, loosely",
    "answer_nats": "the row's answer",
    "base_answer_nats": "the row's answer, to the base",
    "likelihood_wins": "wins by likelihood over the base",
    "kl": "drift (KL)",
    "top1_agreement": "same next token",
}


def clean(text: str) -> str:
    """`text` with invisible characters made visible, so that they can neither control a terminal nor hide."""
    return UNSEEN.sub(_shown, text.replace("\r\n", "\n"))


def _shown(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code <= 0x9F else f"<U+{code:04X}>"


def one_line(text: str) -> str:
    """`clean` text with every run of white space as one space."""
    return " ".join(clean(text).split())


def sentence(text: str) -> str:
    """`one_line` text that begins with a capital and ends with a full stop."""
    text = capital(one_line(text))
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def capital(text: str) -> str:
    """`text` with its first letter as a capital."""
    return text[:1].upper() + text[1:]


def listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), *names[-1:]])


def metric_name(name: str) -> str:
    """The name of a metric as people write it."""
    return _NAMES.get(name, one_line(name.replace("_", " ")))


def factor(measure: Measure) -> float:
    """What turns a measure into the scale that is shown: shares of 1 become percent, differences points."""
    return 100.0 if measure.unit == "" else 1.0


def scaled(measure: Measure) -> tuple[float | None, float | None, float | None]:
    """Value, low and high on the scale that is shown. Non-finite is absent."""
    value, low, high = (
        None if x is None or not math.isfinite(x) else x * factor(measure)
        for x in (measure.value, measure.low, measure.high)
    )
    return value, low, high


def unit(measure: Measure, difference: bool = False) -> str:
    """``%``, ``points`` (also for differences of shares) or the measure's own unit."""
    if measure.unit == "":
        return "points" if difference else "%"
    return measure.unit


def quality(measure: Measure | None, difference: bool = False) -> str:
    """``63.1 (58.0 to 68.2)``, without its unit."""
    if measure is None:
        return ABSENT
    value, low, high = scaled(measure)
    if value is None:
        return ABSENT
    fine = measure.unit not in ("", "points", "%")
    show = significant if fine else tenth
    sign = "+" if difference and show(value).strip("-0.") and value > 0 else ""
    head = sign + show(value)
    return head if low is None or high is None else f"{head} ({show(low)} to {show(high)})"


def named(measure: Measure | None) -> str:
    """``accuracy 63.1% (58.0 to 68.2)``, with name and unit."""
    if measure is None:
        return "nothing was measured"
    head, _, interval = quality(measure).partition(" (")
    mark = {"%": "%", "points": ""}.get(unit(measure), f" {unit(measure)}")
    return f"{metric_name(measure.name)} {head}{mark if head != ABSENT else ''}" + (
        interval and f" ({interval}"
    )


def tenth(value: float) -> str:
    """One decimal: ``14.2``; never ``-0.0``."""
    text = f"{value:.1f}"
    return "0.0" if text == "-0.0" else text


def signed(value: float) -> str:
    """`tenth` with its sign: ``+14.2``, ``-3.0``, ``0.0``."""
    text = tenth(value)
    return text if text.startswith("-") or text == "0.0" else f"+{text}"


def points(value: float) -> str:
    """``1 point``, ``2.5 points``."""
    text = f"{value:g}"
    return f"{text} point" if text == "1" else f"{text} points"


def gap(value: float, unit: str, signed: bool = False) -> str:
    """A difference on the scale that is shown: ``14.2 points``, ``+0.31 on the scale``."""
    if unit in ("", "points"):
        text = tenth(value)
        return f"{'+' if signed and not text.startswith('-') and text != '0.0' else ''}{text} points"
    return f"{'+' if signed and value > 0 else ''}{_fine(value)} {unit}"


def interval(low: float | None, high: float | None, unit: str = "") -> str:
    """``95% interval 10.1 to 25.3``, of bounds on the scale that is shown; empty without them."""
    show = tenth if unit in ("", "points") else _fine
    return "" if low is None or high is None else f"95% interval {show(low)} to {show(high)}"


def _fine(value: float) -> str:
    """Two decimals: ``0.31``; never ``-0.00``."""
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text


def significant(value: float | None, digits: int = 3) -> str:
    """A small number with at most `digits` significant digits and no exponent: ``0.0123``."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if value == 0:
        return "0"
    if abs(value) < 0.0005:
        return "<0.001" if value > 0 else ">-0.001"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(places, digits)}f}"


def seconds(value: float | None) -> str:
    """``<0.1 s``, ``0.4 s``, ``42 s``, ``4 min 10 s``, ``2 h 05 min``, ``1 d 3 h``."""
    if value is None or not math.isfinite(value) or value < 0:
        return ABSENT
    if 0 < value < 0.05:
        return "<0.1 s"
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(value / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(value / 3600)
    return f"{hours // 24} d {hours % 24} h"


def size(value: float | None) -> str:
    """Bytes in powers of 1000: ``512 B``, ``9.8 MB``, ``1.9 GB``."""
    if value is None or not math.isfinite(value) or value < 0:
        return ABSENT
    for name in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or name == "TB":
            return f"{value:.0f} {name}" if name == "B" or value >= 99.95 else f"{value:.1f} {name}"
        value /= 1000
    raise AssertionError("unreachable")


def count(value: float | None) -> str:
    """A whole number with thousands apart: ``12,345``."""
    return ABSENT if value is None or not math.isfinite(value) else f"{value:,.0f}"


def roughly(value: float) -> str:
    """A large number, rounded up to two digits: ``1,300``."""
    whole = math.ceil(value)
    step = 10 ** max(0, len(str(whole)) - 2)
    return count(math.ceil(whole / step) * step)


def short(value: float | None) -> str:
    """A large whole number in a few characters: ``412 k``, ``4.9 M``, ``1.2 G``."""
    if value is None or not math.isfinite(value) or abs(value) < 10_000:
        return count(value)
    for name in ("k", "M", "G", "T"):
        value /= 1000
        if abs(value) < 999.5 or name == "T":
            return f"{value:.1f} {name}" if abs(value) < 99.95 else f"{value:,.0f} {name}"
    raise AssertionError("unreachable")


def money(value: float | None, currency: str = "") -> str:
    """``0.12 USD``; less than a cent says so."""
    if value is None or not math.isfinite(value):
        return ABSENT
    text = "<0.01" if 0 < value < 0.005 else f"{value:,.2f}"
    return f"{text} {one_line(currency)}".strip()


def chance(value: float, words: bool = False) -> str:
    """A share of draws in whole percent, rounded down so that it never reads as more than it is.

    ``97%``, ``>99%``; in a sentence (`words`) ``more than 99%``. Draws are a sample: none is certain.
    """
    percent = math.floor(100 * value + 1e-9)
    if value > 0.99:
        return "more than 99%" if words else ">99%"
    if percent < 1:
        return "less than 1%" if words else "<1%"
    return f"{percent}%"


def p_value(value: float | None) -> str:
    """``0.003`` or ``<0.001``."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def moment(iso: str) -> str:
    """An ISO 8601 time as ``2026-03-01 14:05 UTC``; anything else as it is."""
    try:
        return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M %Z}".strip()
    except ValueError:
        return one_line(iso) or ABSENT


def plain(value: Any) -> str:
    """Any setting or count as one line of text; long lists are capped and say so."""
    if value is None or value == "" or (isinstance(value, (Mapping, Sequence)) and len(value) == 0):
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{one_line(str(k))}: {plain(v)}" for k, v in value.items())
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        head = ", ".join(plain(item) for item in value[:LIST_CAP])
        return head if len(value) <= LIST_CAP else f"{head} and {len(value) - LIST_CAP:,} more"
    return one_line(str(value))


def unfinished(result: Result) -> str:
    """``not finished (12%)``."""
    done = "" if result.done is None else f" ({result.done * 100:.0f}%)"
    return f"not finished{done}"


def entry(key: str, value: Any) -> tuple[str, str]:
    """A named value as two texts; names that end in bytes or seconds say how to write the number."""
    words = one_line(key.replace("_", " "))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if words.endswith("bytes"):
            return words.removesuffix("bytes").strip() or "size", size(value)
        if words.endswith("seconds"):
            return words.removesuffix("seconds").strip() or "time", seconds(value)
    return words, plain(value)


def entries(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Named values as pairs of texts; a mapping inside becomes ``outer: inner`` pairs."""
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            outer = one_line(str(key).replace("_", " "))
            pairs.extend((f"{outer}: {name}", text) for name, text in entries(value))
        else:
            pairs.append(entry(str(key), value))
    return tuple(pairs)
