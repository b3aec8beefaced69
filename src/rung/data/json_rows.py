"""JSON text -> rows: lines of JSON, lists, and the documents in which people wrap or fold their rows.

A document's rows are the one list of objects in it. Known by their shape are SQuAD, intents.json, Rasa's
JSON, tables written column by column (pandas), objects under their ids, and texts listed under their label.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rung.data.names import parts_of
from rung.data.strict_json import MAX_LINE, Row, RowError, as_object, decode_line, show

Numbered = Iterator[tuple[int, Row | RowError]]
Shape = Literal["lines", "list", "document", "values"]
_SPLITS = {"train", "test", "dev", "val", "valid", "validation", "eval"}
_DEPTH = 4  # objects inside each other in which rows are looked for
_LABELS = ("tag", "intent", "label", "class", "category", "name", "answer", "response")
_TEXTS = ("patterns", "examples", "utterances", "texts", "text", "questions", "inputs", "phrases")


class NoRows(ValueError):
    """A document whose rows are not clear; `str` ends the sentence "the file ...", `fix` says what helps."""

    def __init__(self, what: str, fix: str = "") -> None:
        self.fix = fix
        super().__init__(what)


@dataclass
class Found:
    """The rows of a document and how they were found."""

    rows: list[Any]  # objects, or lists of cells; anything else is refused with its place
    shape: str = ""  # name of a known document, or ""
    columns: tuple[str, ...] = ()  # where the document itself names them
    notes: list[str] = field(default_factory=list)


def shape_of(text: str) -> Shape:
    """How JSON `text`, which begins with ``{`` or ``[``, is arranged.

    "lines": one value a line; "list": one list; "document": one object; "values": objects over several
    lines, one after the other.
    """
    lines = [line.strip() for line in text.split("\n", 1)]
    alone = _loads(lines[0].rstrip(","))
    if alone is not None and len(lines) > 1 and lines[1]:
        return "lines"
    if text.lstrip().startswith("["):
        return "list"
    if alone is not None or _loads(text) is not None:
        return "document"
    second = lines[1].lstrip() if len(lines) > 1 else ""
    if second.startswith("{") or lines[0].endswith("}") or not second:
        return "lines"
    try:
        end = json.JSONDecoder().raw_decode(text.lstrip())[1]
    except (ValueError, RecursionError):
        return "document"
    return "values" if text.lstrip()[end:].lstrip().startswith("{") else "document"


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def line_values(text: str | Iterable[str], notes: list[str]) -> Iterator[tuple[int, Any]]:
    """(line number, value or `RowError`) of every line that holds something; comment lines are left out.

    `text` may also be its lines.
    """
    comments = commas = 0
    for number, line in enumerate(text.split("\n") if isinstance(text, str) else text, start=1):
        line = line.strip()
        if line.startswith(("#", "//")):
            comments += 1
            continue
        if not line:
            continue
        if len(line) > MAX_LINE:
            what = f"is longer than {MAX_LINE:,} characters"
            yield number, RowError(what, "Shorten it or leave it out")
            continue
        try:
            try:
                yield number, decode_line(line)
            except RowError:
                if not line.endswith(("},", "],")):
                    raise
                yield number, decode_line(line[:-1])
                commas += 1
        except RowError as error:
            yield number, error
    if comments:
        notes.append(f"{comments} comment line{'s' * (comments > 1)} left out")
    if commas:
        notes.append(f"commas at the end of {commas} line{'s' * (commas > 1)} left out")


def values_in(text: str) -> Iterator[Any]:
    """Values over several lines, one after the other; a `RowError` ends them."""
    place = 0
    decoder = json.JSONDecoder()
    while place < len(text):
        try:
            end = decoder.raw_decode(text, place)[1]
        except (ValueError, RecursionError):
            end = len(text)
        try:
            yield decode_line(text[place:end])
        except RowError as error:
            yield error
            return
        place = end + len(text[end:]) - len(text[end:].lstrip(" \t\r\n,"))


def rows_in(value: Any, is_name: Callable[[str], bool], name: str) -> Found:
    """The rows of a JSON document. `is_name` says whether a key is a well-known column name; `name` is the
    file's, for the commands in messages. Raises `NoRows`."""
    if isinstance(value, list):
        return _list(value)
    if not isinstance(value, dict):
        raise NoRows(f"is the JSON value {show(value)}", "Give a list of objects, one for each example")
    for known in (_notebook, _squad, _rasa):
        if found := known(value):
            return found
    if _is_row(value):
        return Found([value])
    lists = list(_lists(value, ()))
    if len(lists) == 1:
        path, rows = lists[0]
        found = _list(rows)
        head = value.get("columns")
        if path == ("data",) and isinstance(head, list) and all(isinstance(one, str) for one in head):
            found.columns = tuple(head)
        if len(value) > 1 and not found.shape:
            found.notes.append(f"rows are the list {show('.'.join(path))}")
        return found
    if len(lists) > 1:
        raise _several(lists, name)
    return _folded(value, is_name)


def _list(items: list[Any]) -> Found:
    if not items:
        return Found([])
    first = items[0]
    if isinstance(first, dict):
        return _squad({"data": items}) or _intents(items) or _label_studio(items) or Found(items)
    if isinstance(first, list):
        if first and isinstance(first[0], dict):
            return Found([{"messages": item} for item in items])
        return Found(items)
    raise NoRows(
        f"is a list of {_plural(first)}, not of objects", "Write each example as one object with its keys"
    )


def _plural(value: Any) -> str:
    kinds = {str: "texts", bool: "truth values", int: "numbers", float: "numbers"}
    return kinds.get(type(value), "values")


def _is_row(value: Row) -> bool:
    """Whether an object is itself one example: plain values, or turns of a conversation."""
    if all(not isinstance(item, list | dict) for item in value.values()):
        return len(value) < 20
    turns = [
        item
        for item in value.values()
        if isinstance(item, list) and item and isinstance(item[0], dict) and {"role", "from"} & set(item[0])
    ]
    plain = [key for key, item in value.items() if isinstance(item, str)]
    known = [{part for part, _, rank in parts_of(key) if rank < 10} for key in plain]
    return bool(turns) or ({"target"} in known and {"prompt"} in known)


def _lists(value: Row, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """Every list of objects, or of lists, that is not inside a list, with the keys that lead to it."""
    for key, item in value.items():
        if isinstance(item, list) and item and isinstance(item[0], dict | list):
            yield (*path, key), item
        elif isinstance(item, dict) and len(path) < _DEPTH:
            yield from _lists(item, (*path, key))


def _several(lists: Sequence[tuple[tuple[str, ...], list[Any]]], name: str) -> NoRows:
    shown = [f"{show('.'.join(path))} ({len(rows):,})" for path, rows in lists[:6]]
    more = f" and {len(lists) - 6} more" if len(lists) > 6 else ""
    keys = [path[-1] for path, _ in lists if len(path) == 1]
    fix = "Save the one that holds the examples as a separate file"
    if len(keys) == len(lists):
        fix = "Save each as a separate file"
        if any(key.lower() in _SPLITS for key in keys):
            fix += "; the test rows go to --test"
        code = (
            f"import json; d = json.load(open({name!r})); "
            f"[json.dump(d[k], open(k + '.json', 'w')) for k in {keys[:6]}]"
        )
        fix += f': python -c "{code}"' if '"' not in code else ""
    return NoRows(f"holds {len(lists)} lists of rows: {', '.join(shown)}{more}", fix)


def _folded(value: Row, is_name: Callable[[str], bool]) -> Found:
    """Rows folded into one object: by column, by id, or texts under their label. Raises `NoRows`."""
    items = list(value.values())
    keys = f"the keys {', '.join(show(key) for key in list(value)[:6])}{' and more' * (len(value) > 6)}"
    if len(items) >= 2 and all(isinstance(item, list) for item in items):
        lengths = {len(item) for item in items}
        if len(lengths) == 1 and (any(map(is_name, value)) or len(items) > 20 < lengths.pop()):
            rows = [dict(zip(value, cells, strict=True)) for cells in zip(*items, strict=True)]
            return Found(rows, "columns", tuple(value))
        texts = all(isinstance(text, str) for item in items for text in item)
        if texts and not _SPLITS & {key.lower() for key in value}:
            rows = [{"text": text, "label": label} for label, item in value.items() for text in item]
            return Found(rows, "labels", notes=["texts are listed under their label"])
    objects = [item for item in items if isinstance(item, dict) and item]
    if len(items) >= 2 and len(objects) == len(items):
        inner = set(objects[0])
        same = all(set(item) == inner for item in objects)
        if same and (all(key.isdigit() for key in inner) or (len(inner) > len(items) and len(inner) > 20)):
            rows = [{column: item[key] for column, item in value.items()} for key in objects[0]]
            return Found(rows, "columns", tuple(value))
        if sum(bool(set(item) & inner) for item in objects) == len(objects) and len(items) > 2:
            return Found([{"id": key, **item} for key, item in value.items()], "ids")
    raise NoRows(
        f"is one JSON object with {keys}; rung reads a list of rows",
        "Write a list of objects, one for each example, such as "
        '[{"prompt": "…", "completion": "…"}, …], or one object a line',
    )


def _squad(value: Row) -> Found | None:
    articles = _objects(value, "data")
    if not any(isinstance(one.get("paragraphs"), list) for one in articles):
        return None
    rows: list[Any] = []
    impossible = 0
    for paragraph in (one for article in articles for one in _objects(article, "paragraphs")):
        for qa in _objects(paragraph, "qas"):
            answers = qa.get("answers")
            if not isinstance(answers, list) or not answers:
                impossible += 1
                continue
            answer = answers[0].get("text") if isinstance(answers[0], dict) else answers[0]
            row = {"id": qa.get("id"), "context": paragraph.get("context"), "question": qa.get("question")}
            rows.append(row | {"answer": answer})
    notes = ["SQuAD: one row for each question, its first answer is the target"]
    if impossible:
        notes.append(f"{impossible:,} question{'s' * (impossible > 1)} without an answer left out")
    return Found(rows, "squad", notes=notes)


def _objects(value: Row, name: str) -> list[Row]:
    """The objects of the list under a key; [] where there is no list."""
    found = value.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _intents(items: list[Any]) -> Found | None:
    """Texts listed next to what they mean, as chatbots keep them."""
    if not all(isinstance(one, dict) for one in items):
        return None
    keys = {key.lower(): key for key in items[0]}
    label = next((keys[name] for name in _LABELS if name in keys), None)
    texts = next((keys[name] for name in _TEXTS if name in keys), None)
    if label is None or texts is None or not all(_lists_texts(one, label, texts) for one in items):
        return None
    names = ("question", "answer") if label.lower() in ("answer", "response") else ("text", "label")
    rows = [dict(zip(names, (text, one[label]), strict=True)) for one in items for text in one[texts]]
    others = {key for one in items for key, item in one.items() if key not in (label, texts) and item}
    notes = [f"one row for each of {show(texts)}, {show(label)} is the target"]
    if others:
        named = ", ".join(sorted(others))
        one = len(others) == 1 and not named.endswith("s")
        notes.append(f"{named} {'is' if one else 'are'} not used")
    return Found(rows, "intents", notes=notes)


def _lists_texts(one: Row, label: str, texts: str) -> bool:
    listed = one.get(texts)
    return (
        isinstance(one.get(label), str)
        and isinstance(listed, list)
        and all(isinstance(t, str) for t in listed)
    )


def _rasa(value: Row) -> Found | None:
    data = value.get("rasa_nlu_data")
    examples = data.get("common_examples") if isinstance(data, dict) else None
    if not isinstance(examples, list):
        return None
    rows = [
        {"text": one.get("text"), "label": one.get("intent")} for one in examples if isinstance(one, dict)
    ]
    return Found(list(rows), "rasa", notes=["Rasa NLU: the intent is the target, entities are not used"])


def _notebook(value: Row) -> Found | None:
    if "nbformat" in value and "cells" in value:
        raise NoRows(
            "is a Jupyter notebook", "Save the table that it makes: df.to_csv('rows.csv', index=False)"
        )
    return None


def _label_studio(items: list[Any]) -> Found | None:
    if all(
        isinstance(one, dict) and isinstance(one.get("data"), dict) and "annotations" in one for one in items
    ):
        raise NoRows("is a Label Studio export in its full form", "Export it as CSV or as JSON-MIN")
    return None


def cells_to_row(item: Any, columns: Sequence[str]) -> Row:
    """A list of cells, or an object, as a row. Raises `RowError`."""
    if not isinstance(item, list):
        return as_object(item)
    if len(item) != len(columns):
        found = f"{len(item)} item{'s' * (len(item) != 1)}"
        raise RowError(
            f"is a list of {found} where the first has {len(columns)}", "Give every row the same items"
        )
    return dict(zip(columns, item, strict=True))
