"""The text of a row for methods that know no chat: its prompt turns joined, less what all rows share."""

from __future__ import annotations

from rung.records import Example


def whole_prompt(example: Example) -> str:
    """All turns before the target, a new line between them."""
    return "\n".join(message.content for message in example.prompt)


def last_question(example: Example) -> str:
    """The last user turn; where there is none, the whole prompt."""
    asked = (message.content for message in reversed(example.prompt) if message.role == "user")
    return next(asked, whole_prompt(example))
