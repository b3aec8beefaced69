"""The methods by name. A method is imported when it is asked for: the table itself needs no torch.

A method from outside is an entry point in the group ``rung.methods`` that points to its `Method`. Any method
of PEFT is there as ``peft:NAME``, though it is not listed; and so is ``NAME-dpo`` for every method but those
that learn labels: the same method, trained on preference pairs with the loss of `rung.train.dpo`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from rung.errors import UsageError, nearest
from rung.methods import peft_names

if TYPE_CHECKING:
    from rung.methods.method import Method

GROUP = "rung.methods"
_OURS = {  # name -> title, and where its `Method` is; in the order of the ladder, cheapest first
    "prompt": ("prompt tuning", "rung.methods.prompt:METHOD"),
    "prefix": ("prefix tuning", "rung.methods.prefix:METHOD"),
    "head": ("a classifier head", "rung.methods.head:METHOD"),
    "head-lora": ("a classifier head over LoRA", "rung.methods.head_lora:METHOD"),
    "bitfit": ("BitFit", "rung.methods.some_weights:BITFIT"),
    "ia3": ("IA3", "rung.methods.ia3:METHOD"),
    "lora": ("LoRA", "rung.methods.lora:LORA"),
    "bottleneck": ("bottleneck adapters", "rung.methods.bottleneck:METHOD"),
    "dora": ("DoRA", "rung.methods.lora:DORA"),
    "freeze": ("the top layers", "rung.methods.some_weights:FREEZE"),
    "full": ("full fine-tuning", "rung.methods.full:FULL"),
}
_CLASSIFY = {"head", "head-lora"}  # learn labels
_DPO = "-dpo"  # at the end of a name
_DPO_RATE = 0.25  # of the method's own learning rate: pairs say less than texts, and move a base further


class Methods:
    """Name -> method."""

    def __getitem__(self, name: str) -> Method:
        """Raises `UsageError` that names the nearest known one."""
        if self.prefers(name):
            return _preferring(self.plain(name), name)
        if name.startswith(peft_names.MARK):
            return _bridged(peft_names.require(name))
        known = _known()
        if name not in known:
            raise UsageError(
                f"unknown method {name!r}.{nearest(name, known)}", fix=f"Known: {', '.join(known)}"
            )
        return _load(name)

    def __contains__(self, name: object) -> bool:
        return (
            name in _known() or peft_names.is_bridged(name) or (isinstance(name, str) and self.prefers(name))
        )

    def __iter__(self) -> Iterator[str]:
        return iter(_known())

    def __len__(self) -> int:
        return len(_known())

    def title(self, name: str) -> str:
        """For the screen. A method from outside goes by its name."""
        if self.prefers(name):
            return f"{self.title(self.plain(name))} with DPO"
        return _OURS[name][0] if name in _OURS else name.replace(peft_names.MARK, "PEFT's ")

    def classifies(self, name: str) -> bool:
        """`Method.classifies`. One from outside does not."""
        return name in _CLASSIFY

    def prefers(self, name: str) -> bool:
        """`Method.prefers`: whether it is a known method by another name, one that ends with ``-dpo``."""
        plain = name.removesuffix(_DPO)
        if plain == name or plain.endswith(_DPO) or name in _known():
            return False
        return plain in self and not self.classifies(plain)

    def plain(self, name: str) -> str:
        """The method that trains what `name` trains: itself, or what it is without ``-dpo``."""
        return name.removesuffix(_DPO) if self.prefers(name) else name

    def items(self) -> Iterator[tuple[str, Method]]:
        """Names and methods, all of them imported."""
        for name in self:
            yield name, self[name]


METHODS = Methods()


@cache
def _outside() -> dict[str, EntryPoint]:
    """Methods from outside. A name of ours stays ours."""
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in _OURS}


def _known() -> list[str]:
    return [*_OURS, *_outside()]


def _bridged(kind: str) -> Method:
    from rung.methods.bridge import method_of

    return method_of(kind)


def _preferring(plain: str, name: str) -> Method:
    """The method `plain`, trained on preference pairs."""
    method = METHODS[plain]
    return replace(
        method,
        name=name,
        title=METHODS.title(name),
        when=f"Preference pairs: {method.title} that makes the chosen answer likelier than the rejected one.",
        learning_rate=float(f"{_DPO_RATE * method.learning_rate:.3g}"),
        half_rate=None,
        prefers=True,
    )


@cache
def _load(name: str) -> Method:
    from rung.methods.method import Method

    if name in _OURS:
        module, _, what = _OURS[name][1].partition(":")
        found = getattr(import_module(module), what)
    else:
        try:
            found = _outside()[name].load()
        except Exception as error:
            raise UsageError(
                f"the method {name!r} of another package cannot be imported: {error}",
                fix="Update or remove that package",
            ) from error
    if not isinstance(found, Method) or found.name != name:
        raise UsageError(f"the entry point {name!r} in the group {GROUP} is no method called {name!r}")
    return found
