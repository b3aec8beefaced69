"""A file of settings in YAML, without what YAML lets through in silence."""

from __future__ import annotations

import re
import reprlib
from pathlib import Path
from typing import Any

import yaml

from rung.errors import UsageError
from rung.plain import TooLarge, read_plain

MAX_CONFIG = 100_000  # bytes
MAX_NESTS = 200  # lists and mappings inside a line; the time of the YAML reader grows with their square
MAX_INDENT = 100  # spaces before a line: nesting takes one at least
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def show(value: Any) -> str:
    """A value of the user's as one short piece of text."""
    return _SHORT.repr(value)


class _Loader(yaml.SafeLoader):
    """YAML without keys given twice, whole numbers in other bases, and halves of characters."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = key.value.replace("-", "_") if isinstance(key, yaml.ScalarNode) else None
            if name is not None and name in seen:
                raise UsageError(f"has the key {show(key.value)} twice", fix="Keep one of them")
            seen.add(name)
        return super().construct_mapping(node, deep)

    def construct_whole(self, node: yaml.ScalarNode) -> int:
        if not re.fullmatch(r"[-+]?(0|[1-9][0-9_]*)", node.value):  # YAML reads 010 as 8 and 1:30 as 90
            raise ValueError(f"write {show(node.value)} in decimal digits, or in quotes")
        return int(self.construct_yaml_int(node))

    def construct_text(self, node: yaml.ScalarNode) -> str:
        text = self.construct_yaml_str(node)
        text.encode()  # half a character is no text
        return str(text)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole)
_Loader.add_constructor("tag:yaml.org,2002:str", _Loader.construct_text)


def read_yaml(path: Path) -> dict[str, Any]:
    """The settings in a file. Raises `UsageError`."""
    where, fix = str(path), "Write plain keys and values"
    try:
        text = read_plain(path, MAX_CONFIG).decode()
    except TooLarge as error:
        what = f"the config is too large: {MAX_CONFIG:,} bytes are read"
        raise UsageError(
            what, where=where, fix="Keep settings in it, and rows in a file of their own"
        ) from error
    except OSError as error:
        what = f"cannot read the config: {error.strerror}"
        raise UsageError(what, where=where, fix="Check the path and its permissions") from error
    except UnicodeDecodeError as error:
        raise UsageError("the config is not UTF-8 text", where=where, fix="Save it as UTF-8") from error
    if re.search(r"(^|[\s\[{,:-])[&*]\w", text):
        raise UsageError("the config uses YAML anchors", where=where, fix=fix)
    nests = len(re.findall(r"[\[{]|[-?:]\s(?=[-?]\s)", text))
    if nests > MAX_NESTS or re.search(rf"^[ \t]{{{MAX_INDENT}}}", text, re.MULTILINE):
        raise UsageError("the config is nested too deeply", where=where, fix=fix)
    try:
        value = yaml.load(text, Loader=_Loader)
    except UsageError as error:
        raise UsageError(error.what, where=where, fix=error.fix) from None
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, LookupError, AttributeError) as error:
        why = " ".join(str(error).split())  # a scalar raises whatever int() and the like raise
        raise UsageError(f"the config is not YAML: {why[:300]}", where=where, fix=fix) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError("the config must be a list of `key: value` lines", where=where, fix=fix)
    return {str(key).replace("-", "_"): item for key, item in value.items()}
