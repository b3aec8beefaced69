"""How the values of settings may be written: times, lists with commas, pairs, options of methods."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

_UNITS = {"s": 1, "m": 60, "h": 3600}


def parse_duration(value: Any) -> Any:
    """Seconds from ``90``, ``"90s"``, ``"15m"`` or ``"1h30m"``; ``"none"`` means no limit."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if text in {"none", "unlimited"}:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("write a time such as 90s, 15m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def comma_list(value: Any) -> Any:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [value] if isinstance(value, int) else value


def _listed(value: Any, such_as: str) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    raise ValueError(f"write a list or a mapping, such as {such_as}")


def _pairs(value: Any) -> Any:
    """``"0=negative,1=positive"``, a list of such texts, or a mapping, as a mapping of texts."""
    if isinstance(value, Mapping):
        return {str(key): str(item) for key, item in value.items()}
    parts = map(str, _listed(comma_list(value), "0=negative,1=positive"))
    return pairs_in(parts, "write pairs such as 0=negative,1=positive")


def pairs_in(parts: Iterable[str], otherwise: str) -> dict[str, str]:
    """Texts such as ``a=b`` as a mapping. Raises ValueError with the text `otherwise`."""
    found = {}
    for part in parts:
        key, mark, item = part.partition("=")
        if not (mark and key.strip() and item.strip()):
            raise ValueError(otherwise)
        found[key.strip()] = item.strip()
    return found


def _roles(value: Any) -> Any:
    """``"assistant=gpt,bot"``, a list of such texts, or a mapping from a role to names, as a mapping."""
    if isinstance(value, Mapping):
        return {str(role): comma_list(names) for role, names in value.items()}
    found: dict[str, list[str]] = {}
    for text in _listed(value.split() if isinstance(value, str) else value, "assistant=gpt,bot"):
        role, mark, names = str(text).partition("=")
        if not mark or not names.strip():
            raise ValueError("write a role and the names that mean it, such as assistant=gpt,bot")
        found.setdefault(role.strip(), []).extend(comma_list(names))
    return found


def is_boolean(value: Any) -> bool:
    """Whether `value` is, or holds, a yes or no."""
    if isinstance(value, Mapping):
        return any(map(is_boolean, [*value, *value.values()]))
    return any(map(is_boolean, value)) if isinstance(value, list | tuple) else isinstance(value, bool)


def options_of(value: Any) -> Any:
    """``"lora.rank=8"``, a list of such texts, or a mapping of mappings, as a mapping of mappings."""
    if isinstance(value, Mapping):
        return value
    found: dict[str, dict[str, Any]] = {}
    for text in _listed([value] if isinstance(value, str) else value, "lora.rank=8"):
        name, mark, item = str(text).partition("=")
        method, dot, option = name.strip().rpartition(".")
        if not (mark and dot and method and option):
            raise ValueError("write a method, its option and a value, such as lora.rank=8")
        found.setdefault(method, {})[option.replace("-", "_")] = item.strip()
    return found


Options = Annotated[Mapping[str, Mapping[str, Any]], BeforeValidator(options_of)]
Bits = Annotated[Literal[4, 8] | None, BeforeValidator(lambda bits: {"4": 4, "8": 8}.get(str(bits), bits))]
Names = Annotated[tuple[str, ...], BeforeValidator(comma_list)]
Pairs = Annotated[Mapping[str, str], BeforeValidator(_pairs)]
RoleNames = Annotated[Mapping[str, tuple[str, ...]], BeforeValidator(_roles)]
Counts = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(comma_list)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Columns:
    """What the user says about the columns of a data file; all of it wins over what rung would guess."""

    format: str | None = None
    prompt: tuple[str, ...] = ()
    completion: tuple[str, ...] = ()
    classification: bool = False  # the completion was given as a label
    messages: str | None = None
    system: str | None = None
    text: str | None = None
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # role -> names that mean it
    ignore: tuple[str, ...] = ()
    group: str | None = None
    header: bool | None = None  # whether the first line of a table names its columns; None: found out
    label_names: Mapping[str, str] = field(default_factory=dict)  # label in the file -> its meaning
    source: str | None = None  # column whose values are sources of a mixture
