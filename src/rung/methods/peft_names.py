"""The names of PEFT's methods, read without importing PEFT, and which of them rung does not run.

A method of PEFT is called ``peft:NAME`` in settings, and ``peft-NAME`` where a name is that of a folder.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from rung.errors import UsageError, nearest

MARK = "peft:"
FOLDER = "peft-"
_PROMPT = "it trains vectors in front of the tokens, and PEFT puts them there in a forward pass of its own"
_REFUSED = {  # why rung does not run it, and what rung has in its place where it has it
    "prompt_tuning": (_PROMPT, "prompt"),
    "p_tuning": (_PROMPT, "prompt"),
    "cpt": (_PROMPT, "prompt"),
    "multitask_prompt_tuning": (f"{_PROMPT}; and it needs the task of every row", "prompt"),
    "prefix_tuning": ("it trains keys and values that PEFT gives to the model as a cache", "prefix"),
    "cartridge": ("it trains keys and values that PEFT gives to the model as a cache", "prefix"),
    "adaption_prompt": ("it puts whole attention layers of its own in the place of the model's", "prefix"),
    "adalora": (
        "its ranks must be set again at every step by a call that no training loop but its own makes",
        "lora",
    ),
    "xlora": ("it mixes adapters that were trained before, and reads every row twice", ""),
    "poly": ("it needs the task of every row", ""),
    "shadow": ("it runs a second, smaller model next to the layers, over whole rows", ""),
    "trainable_tokens": ("it trains rows of the embedding, which rung's head and its prefixes read too", ""),
    "lily": (
        "it mixes by a mean over all tokens of a pass, so a token would be read with what comes after it",
        "",
    ),
    "pvera": (
        "it draws noise in every pass of the training, so its gradients cannot be computed again",
        "vera",
    ),
}


@cache
def names() -> tuple[str, ...]:
    """What the installed PEFT calls its methods, in lower case; none where there is no PEFT."""
    spec = find_spec("peft")
    if spec is None or spec.origin is None:
        return ()
    source = Path(spec.origin).parent / "utils" / "peft_types.py"
    tree = ast.parse(source.read_text(encoding="utf-8"))
    kinds = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "PeftType")
    return tuple(
        value.value.lower()
        for kind in kinds
        for line in kind.body
        if isinstance(line, ast.Assign)
        and isinstance(value := line.value, ast.Constant)
        and isinstance(value.value, str)
    )


def is_bridged(name: object) -> bool:
    """Whether `name` is that of a method of PEFT, one that rung does not run included."""
    return isinstance(name, str) and name.startswith(MARK) and name.removeprefix(MARK) in names()


def require(name: str) -> str:
    """PEFT's name of the method ``peft:NAME``. Raises `UsageError` where rung cannot run it."""
    kind = name.removeprefix(MARK)
    if kind not in names():
        close = nearest(kind, names()) or nearest(name, [MARK + one for one in names()])
        raise UsageError(
            f"PEFT has no method {kind!r}.{close}",
            fix=f"The installed PEFT has: {', '.join(one for one in names() if one not in _REFUSED)}",
        )
    if kind in _REFUSED:
        raise _refusal(kind)
    return kind


def _refusal(kind: str) -> UsageError:
    from rung.methods.table import METHODS

    why, own = _REFUSED[kind]
    has = own in METHODS
    return UsageError(
        f"PEFT's {kind} cannot be used through the bridge",
        why=f"The bridge puts PEFT's modules in the place of a model's; {why}",
        fix=f"Take rung's own: --method {own}" if has else "Take another: `rung methods` lists rung's own",
    )


def runs(kind: str) -> bool:
    """Whether rung runs the method that PEFT calls `kind`."""
    return kind in names() and kind not in _REFUSED


def folder_name(name: str) -> str:
    """``peft-vera`` for ``peft:vera``: a colon cannot be in a folder's name everywhere."""
    return FOLDER + name.removeprefix(MARK)


def from_folder(name: str) -> str:
    """``peft:vera`` for ``peft-vera`` and for itself."""
    return MARK + name.removeprefix(FOLDER) if name.startswith(FOLDER) else name
