"""The layout of rung, checked by reading its source: who may import whom, sizes, docstrings, bans, tests."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src"
MOST_LINES, MOST_FUNCTION_LINES = 400, 60

_TOOLS = {
    *("config", "registry", "storage", "device", "machine", "cost", "strict", "numbers", "border"),
    *("yaml_file", "run_folder", "setting_values"),
}
_CORE = {"errors", "records", "threads", "plain"} | _TOOLS
_SOURCES = {"data", "bases"}
_GENERATE = _CORE | _SOURCES | {"compute", "methods"}
_EVALUATE = _GENERATE | {"train", "generate"}
_SERVE = _GENERATE | {"generate"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "expected": set(),
    "records": {"errors", "expected"},
    "threads": set(),
    "plain": {"errors", "strict"},
    **{tool: {"errors", "records", "plain"} for tool in _TOOLS},
    **{tool: {"errors", "records", "threads"} for tool in ("device", "machine")},
    "config": {"errors", "records", "plain", "yaml_file", "setting_values"},
    "run_folder": {"errors", "plain", "storage"},
    **dict.fromkeys(_SOURCES, _CORE),
    "compute": _CORE | _SOURCES,
    "methods": _CORE | _SOURCES | {"compute"},
    "train": _GENERATE,
    "generate": _GENERATE,
    "evaluation": _EVALUATE,
    "ladder": _EVALUATE | {"evaluation"},
    "serve": _SERVE,
    "export": _SERVE,
    "report": {"errors", "records", "storage", "numbers"},
    "api": _EVALUATE | {"evaluation", "ladder", "report"},
    "cli": _EVALUATE | {"evaluation", "ladder", "serve", "export", "report"},
}
BANNED_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
BANNED_CALLS = {"torch.load", "torch.save", "eval", "exec"}


@dataclass(frozen=True)
class Import:
    """`module` imports `target`; `runs` where that happens while `module` itself is imported."""

    module: str
    target: str
    line: int
    runs: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted((SOURCE / "rung").rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8"), str(path)) for name, path in MODULES.items()}


def package_of(module: str) -> str:
    """The package inside rung that a module is in, or "" for rung itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "__main__" else ("cli" if len(parts) > 1 else "")


def statements(tree: ast.AST, runs: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    """Every node, and whether it runs on import: not inside a function and not for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        here = runs and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            here = False
        yield node, here
        yield from statements(node, here)


def imports(name: str, tree: ast.AST, modules: Sequence[str]) -> list[Import]:
    """All imports of modules of rung, from anywhere in a module; ``import_module("rung.x")`` counts too."""
    found = []
    package = name if MODULES.get(name, Path()).name == "__init__.py" else name.rpartition(".")[0]
    for node, runs in statements(tree):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                targets.append(inner if inner in modules or origin == "rung" else origin)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            targets, runs = [node.value.replace(":", ".")] if node.value.startswith("rung.") else [], False
            targets = [target for target in targets if target in modules]
        found += [
            Import(name, target, getattr(node, "lineno", 0), runs)
            for target in targets
            if target.split(".")[0] == "rung"
        ]
    return found


def forbidden(found: Sequence[Import]) -> list[str]:
    """The imports that go against an arrow, in words."""
    wrong = []
    for one in found:
        here, there = package_of(one.module), package_of(one.target)
        if here in ("", there) or one.target == "rung.__version__":
            continue
        if there not in MAY_IMPORT.get(here, set()):
            wrong.append(f"{one.module}:{one.line} imports {one.target}")
    return wrong


def cycles(found: Sequence[Import], modules: Sequence[str]) -> list[str]:
    """The first cycle among imports that run at module level; [] where there is none."""
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for one in found:
        if one.runs and one.target in graph and one.target != one.module:
            graph[one.module].add(one.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


ALL = [one for name, tree in TREES.items() for one in imports(name, tree, list(MODULES))]


def test_there_is_something_to_check() -> None:
    assert {"rung.errors", "rung.storage", "rung.train.trainer"} <= MODULES.keys()
    assert Import("rung.records", "rung.errors", 0, True) in [
        Import(one.module, one.target, 0, one.runs) for one in ALL
    ]


def test_every_room_has_its_arrows() -> None:
    packages = {package_of(module) for module in MODULES} - {""}
    assert packages <= MAY_IMPORT.keys()


def test_arrows() -> None:
    assert forbidden(ALL) == []


def test_no_cycles() -> None:
    assert cycles(ALL, list(MODULES)) == []


@pytest.mark.parametrize(
    ("module", "code", "wrong"),
    [
        ("rung.train.x", "from rung.evaluation import run", True),
        ("rung.train.x", "def f():\n    import rung.evaluation.run", True),
        ("rung.train.x", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import rung.cli", True),
        ("rung.train.x", "from rung import evaluation", True),
        ("rung.train.x", "from importlib import import_module\nimport_module('rung.evaluation.run')", True),
        ("rung.train.x", "import rung", True),
        ("rung.data.x", "from ..bases import load", True),
        ("rung.data.x", "from .pack import pack\nfrom ..records import Task", False),
        ("rung.storage", "from rung.config import Settings", True),
        ("rung.report.x", "from rung.config import Settings", True),
        ("rung.numbers", "from rung.report import view", True),
        ("rung.ladder.x", "from rung.report import view", True),
        ("rung.ladder.x", "from rung import numbers", False),
        ("rung.report.x", "from rung import numbers", False),
        ("rung.serve.x", "from rung.train import trainer", True),
        ("rung.serve.x", "from rung.data.templates import Renderer", False),
        ("rung.cli.x", "from rung import __version__\nfrom rung.ladder import climb", False),
        ("rung.train.x", "from rung import storage", False),
    ],
)
def test_the_check_of_arrows_can_fail(module: str, code: str, wrong: bool) -> None:
    known = [*MODULES, "rung.evaluation.run", "rung.evaluation", "rung.bases", "rung.data.pack"]
    assert bool(forbidden(imports(module, ast.parse(code), known))) is wrong


def test_the_check_of_cycles_can_fail() -> None:
    codes = {"rung.a": "import rung.b", "rung.b": "from rung import c", "rung.c": "from rung.a import x"}
    found = [one for name, code in codes.items() for one in imports(name, ast.parse(code), list(codes))]
    assert set(cycles(found, list(codes))) == {"rung.a", "rung.b", "rung.c"}
    codes["rung.c"] = "def f():\n    from rung.a import x"
    found = [one for name, code in codes.items() for one in imports(name, ast.parse(code), list(codes))]
    assert cycles(found, list(codes)) == []


@pytest.mark.parametrize(
    "code",
    ["import rung", "import rung.report", "import rung.cli.app", "from rung.cli import run; run(['--help'])"],
)
def test_runs_without_torch(code: str) -> None:
    if code.split()[1] not in MODULES:
        pytest.skip(f"{code.split()[1]} is not written yet")
    tail = "import sys; print([m for m in ('torch', 'transformers') if m in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{tail}"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stderr.strip(), done.returncode) == ("[]", 0)


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, tree in TREES.items() if not ast.get_docstring(tree)]
    assert silent == []


def test_no_file_is_too_long() -> None:
    lengths = {
        path.relative_to(SOURCE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in MODULES.values()
    }
    assert {name: n for name, n in lengths.items() if n > MOST_LINES} == {}


def test_no_function_is_too_long() -> None:
    long = []
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MOST_FUNCTION_LINES:
                    long.append(f"{name}.{node.name}: {lines} lines")
    assert long == []


def test_every_file_has_its_tests() -> None:
    missing = []
    for path in MODULES.values():
        if path.name in ("__init__.py", "__main__.py"):
            continue
        room = path.relative_to(SOURCE / "rung").parent
        if not (TESTS / room / f"test_{path.name}").is_file():
            missing.append((room / path.name).as_posix())
    assert missing == []


def bans(tree: ast.AST) -> list[str]:
    """What no file may hold: pickle, torch's own files, evaluated text, a model's own code."""
    found = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            found += [f"torch.{a.name}" for a in node.names if f"{node.module}.{a.name}" in BANNED_CALLS]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in BANNED_CALLS:
            found.append(ast.unparse(node.func))
        elif isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
            found += [] if ast.unparse(node.value) == "False" else ["trust_remote_code"]
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found += [] if ast.unparse(node.value) == "False" else ["allow_pickle"]
        elif isinstance(node, ast.keyword) and node.arg == "shell":
            found += [] if ast.unparse(node.value) == "False" else ["shell"]
        found += [name for name in names if name.split(".")[0] in BANNED_MODULES]
    return found


def test_nothing_banned() -> None:
    assert {name: found for name, tree in TREES.items() if (found := bans(tree))} == {}


@pytest.mark.parametrize(
    ("code", "banned"),
    [
        ("import pickle", True),
        ("from joblib import load", True),
        ("from torch import save", True),
        ("torch.load(path)", True),
        ("eval(text)", True),
        ("model.eval()", False),
        ("load(x, trust_remote_code=True)", True),
        ("load(x, trust_remote_code=asked)", True),
        ("load(x, trust_remote_code=False)", False),
        ("safetensors.torch.load(data)", False),
    ],
)
def test_the_check_of_bans_can_fail(code: str, banned: bool) -> None:
    assert bool(bans(ast.parse(code))) is banned
