"""Our grade of calls against the checker of the Berkeley Function Calling Leaderboard, on its own rows.

    pip download bfcl-eval --no-deps -d FOLDER && unzip -q FOLDER/*.whl -d FOLDER/package
    python benchmarks/calls_agreement.py FOLDER/package

Its package pins clients of many providers that the checker does not need, so it is unpacked, not installed,
and the table of models, which imports them, is replaced by the one flag that the checker reads.  A right
answer is drawn from each row's admissible values, and most are then changed in one way.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import types
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from rung.data.conversations import written_calls
from rung.data.formats import read_examples
from rung.data.memory import rows_of
from rung.evaluation.metrics import grade
from rung.evaluation.tasks import understand
from rung.records import Completion

FILES = (
    "simple_python",
    "multiple",
    "parallel",
    "parallel_multiple",
    "live_simple",
    "live_multiple",
    "live_parallel",
)
Calls = list[dict[str, Any]]


def checker(package: Path) -> Callable[..., dict[str, Any]]:
    """The leaderboard's `ast_checker`."""
    sys.path.insert(0, str(package))
    models = types.ModuleType("bfcl_eval.constants.model_config")
    models.MODEL_CONFIG_MAPPING = {"rung": types.SimpleNamespace(underscore_to_dot=False)}  # type: ignore[attr-defined]
    sys.modules[models.__name__] = models
    from bfcl_eval.constants.enums import Language
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

    def check(row: dict[str, Any], calls: Calls, name: str) -> dict[str, Any]:
        said = [{call["name"]: call["arguments"]} for call in calls]
        return ast_checker(row["function"], said, row["ground_truth"], Language.PYTHON, name, "rung")  # type: ignore[no-any-return]

    return check


def rows(package: Path, name: str) -> list[dict[str, Any]]:
    """The rows of one file with their answers."""
    data = package / "bfcl_eval" / "data"
    right = {}
    for line in (data / "possible_answer" / f"BFCL_v4_{name}.json").read_text().splitlines():
        one = json.loads(line)
        right[one["id"]] = one["ground_truth"]
    found = map(json.loads, (data / f"BFCL_v4_{name}.json").read_text().splitlines())
    return [{**row, "ground_truth": right[row["id"]]} for row in found]


def answer_of(truth: list[Any], rng: random.Random) -> Calls:
    """An answer that the row admits."""
    calls = []
    for call in truth:
        ((name, values),) = call.items()
        drawn = {key: rng.choice(some) for key, some in values.items() if some}
        calls.append({"name": name, "arguments": {k: _plain(v, rng) for k, v in drawn.items() if v != ""}})
    return calls


def _plain(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict) and all(isinstance(one, list) for one in value.values()):
        drawn = {key: rng.choice(some) for key, some in value.items() if some}
        return {key: _plain(one, rng) for key, one in drawn.items() if one != ""}
    return [_plain(one, rng) for one in value] if isinstance(value, list) else value


def changed(calls: Calls, how: str, rng: random.Random) -> Calls:
    """The answer, changed in one way."""
    calls = deepcopy(calls)
    if not calls:
        return calls
    call = rng.choice(calls)
    arguments = call["arguments"]
    key = rng.choice(sorted(arguments)) if arguments else None
    if how == "another function":
        call["name"] += "_x"
    elif how == "an argument more":
        arguments["extra"] = 1
    elif how == "a call more":
        calls.append(deepcopy(call))
    elif how == "a call less":
        calls.remove(call)
    elif how == "another order":
        rng.shuffle(calls)
    elif key is not None and how == "an argument less":
        del arguments[key]
    elif key is not None and how == "another value":
        value = arguments[key]
        arguments[key] = (
            (not value) if isinstance(value, bool) else value + 1 if isinstance(value, int | float) else "no"
        )
    elif key is not None and how == "other case":
        arguments[key] = arguments[key].upper() if isinstance(arguments[key], str) else arguments[key]
    elif key is not None and how == "number as text":
        arguments[key] = str(arguments[key]) if isinstance(arguments[key], int | float) else arguments[key]
    elif key is not None and how == "whole number as 1.0":
        whole = type(arguments[key]) is int
        arguments[key] = float(arguments[key]) if whole else arguments[key]
    return calls


CHANGES = (
    *("none", "another function", "an argument more", "an argument less", "a call more", "a call less"),
    *("another order", "another value", "other case", "number as text", "whole number as 1.0"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", type=Path)
    parser.add_argument("--answers", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    check, rng = checker(given.package), random.Random(given.seed)
    pool = [(name, row) for name in FILES for row in rows(given.package, name)]
    picked = [rng.choice(pool) for _ in range(given.answers)]
    loaded = read_examples(rows_of([row for _, row in picked], "rows"))
    task, loaded = understand(loaded, "api_call")
    both, apart = Counter[str](), []
    for (name, row), example in zip(picked, loaded.examples, strict=True):
        how = rng.choice(CHANGES)
        calls = changed(answer_of(row["ground_truth"], rng), how, rng)
        theirs = bool(check(row, calls, name)["valid"])
        score = grade(task, example, Completion(example.id, written_calls(calls, "answer"), 1))
        ours = score.values["exact_call"] == 1
        both[f"{'right' if theirs else 'wrong'} there, {'right' if ours else 'wrong'} here"] += 1
        if ours != theirs:
            apart.append((row["id"], how, json.dumps(calls)[:300], check(row, calls, name).get("error")))
    for words, n in both.most_common():
        print(f"{n:5,} {words}")
    for line in apart:
        print(*line, sep="\n    ")


if __name__ == "__main__":
    main()
