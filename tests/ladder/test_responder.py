"""What every responder offers; each rung's own is in the contract suite."""

from __future__ import annotations

import inspect

import pytest

from rung.ladder.prompting import Prompted
from rung.ladder.responder import Responder
from rung.ladder.tuning import TunedResponder


@pytest.mark.parametrize("kind", [Prompted, TunedResponder])
def test_it_is_called_as_the_protocol_says(kind: type) -> None:
    for name in ("answer", "score", "save"):
        wanted = inspect.signature(getattr(Responder, name))
        assert inspect.signature(getattr(kind, name)) == wanted
