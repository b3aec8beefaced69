"""The screen of the verbs: rich's console, with everything unseen in the text made visible first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from rung.numbers import clean

__all__ = ["Clean", "console"]


class Clean(Console):
    """Cleans the text of whatever is rendered; rich's own control codes (bars, colours) stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich's, with no character left in the text that would steer a terminal."""
        for one in super().render(renderable, options):
            yield one if one.control else one._replace(text=clean(one.text))


def console(**settings: Any) -> Clean:
    """A screen on stdout that takes text as it is, without markup; `settings` are those of rich."""
    return Clean(**{"highlight": False, "markup": False, "emoji": False, "soft_wrap": True} | settings)
