"""Name -> object. Named bases, methods, metrics, kinds of tasks and rungs are looked up this way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from rung.errors import UsageError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """An ordered table of named things of one kind.

    >>> colours: Registry[int] = Registry("colour")
    >>> colours.add("red", 1)
    >>> colours["red"]
    1
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def add(self, name: str, item: T) -> None:
        """Register `item`; a name can be taken once."""
        if name in self._items:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._items[name] = item

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator form of `add`."""

        def keep(item: T) -> T:
            self.add(name, item)
            return item

        return keep

    def __getitem__(self, name: str) -> T:
        """The item called `name`. Raises `UsageError` that names the nearest known one."""
        try:
            return self._items[name]
        except KeyError:
            raise UsageError(
                f"unknown {self.kind} {name!r}.{nearest(name, self._items)}",
                fix=f"Known: {', '.join(self._items)}",
            ) from None

    def __contains__(self, name: str) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def items(self) -> Iterator[tuple[str, T]]:
        """Names and items, in the order they were added."""
        return iter(self._items.items())
