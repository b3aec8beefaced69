"""`rung chat`: talk to a base or an adapter, one line at a time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.cli.options import takes_settings
from rung.cli.output import say

if TYPE_CHECKING:
    from rung.methods.method import Attached

EPILOG = "Examples:  rung chat   |   echo 'Where is my parcel?' | rung chat --adapter runs/x/adapters/lora"
Adapter = Annotated[
    Path | None,
    typer.Option(
        "--adapter", help="Folder of an adapter in PEFT's format.", show_default=False, readable=False
    ),
]
System = Annotated[str, typer.Option("--system", help="System message.", show_default=False)]
Temperature = Annotated[float, typer.Option("--temperature", min=0.0, max=2.0, help="0 answers greedily.")]
MaxTokens = Annotated[
    int, typer.Option("--max-new-tokens", min=1, max=8192, help="Longest answer in tokens.")
]

_NO_PASSAGES = (
    "the adapter was trained with passages of documents in its prompts, and a chat shows none; "
    "`rung predict` looks them up"
)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("chat", epilog=EPILOG)(chat)


@takes_settings(
    "Options",
    "Machine and money",
    leave_out=("task", "test", "rungs", "method", "budget", "output", "epochs", "price_per_hour", "currency"),
)
def chat(
    settings: dict[str, Any],
    adapter: Adapter = None,
    system: System = "",
    temperature: Temperature = 0.0,
    max_new_tokens: MaxTokens = 256,
) -> None:
    """Talk to the base, or to an adapter on top of it. An empty line, Ctrl-C or Ctrl-D ends the chat."""
    from rung import device as devices
    from rung.cli.base import ensure_base
    from rung.cli.progress import Screen
    from rung.compute.load import load
    from rung.config import load_settings
    from rung.data.templates import Renderer
    from rung.evaluation.run import Speaker
    from rung.generate.sample import Sampler
    from rung.ladder.adapter import attach
    from rung.records import Message

    screen = Screen()
    ensure_base(None, settings, screen)
    s, _ = load_settings(None, settings)
    device = devices.choose(s.precision, s.threads)
    base = load(s.base, dtype=device.dtype, device=str(device.device), bits=s.bits)
    speaker = Speaker(base, Renderer(base.tokenizer))
    if adapter is not None:
        attached, origin = attach(adapter, speaker)
        _require_words(attached, adapter)
        for warning in origin.warnings:
            screen.say(f"note: {warning}")
        if origin.passages:
            screen.say(f"note: {_NO_PASSAGES}")
    sampler = Sampler(temperature=temperature, seed=s.seed) if temperature > 0 else None
    turns = [Message("system", system)] if system else []
    while line := _read():
        turns.append(Message("user", line))
        (answer,) = speaker.engine.generate(
            [speaker.renderer.prompt_ids(turns)],
            max_new_tokens=max_new_tokens,
            stop_ids=speaker.renderer.stop_ids,
            sampler=sampler,
        )
        text = speaker.renderer.decode(answer.ids)
        say(text)
        turns.append(Message("assistant", text))


def _require_words(attached: Attached, adapter: Path) -> None:
    """Raises `UsageError` for an adapter that answers with labels."""
    from rung.errors import UsageError
    from rung.ladder.head_answers import with_head

    if with_head(attached) is not None:
        what = "the adapter is a classifier head, which answers with labels and writes nothing"
        raise UsageError(what, where=str(adapter), fix="Use rung predict or rung evaluate")


def _read() -> str:
    if sys.stdin.isatty():
        try:
            return input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            return ""
    return sys.stdin.readline().strip()
