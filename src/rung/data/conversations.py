"""Conversations of every dialect -> messages: roles by their many names, tool calls written as calls."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rung.data.strict_json import RowError, show
from rung.data.values import Seen, number, text_of, unpacked
from rung.errors import nearest
from rung.records import ROLES, Message, Role

ROLE_NAMES: dict[str, Role] = {
    **{role: role for role in ROLES},
    **dict.fromkeys(("human", "customer", "prompter", "client", "question", "instruction", "input"), "user"),
    **dict.fromkeys(("gpt", "bot", "chatbot", "model", "ai", "chatgpt", "assistent", "agent"), "assistant"),
    **dict.fromkeys(("function_call", "tool_call", "answer", "response", "output", "gpt4"), "assistant"),
    **dict.fromkeys(("developer", "context"), "system"),
    **dict.fromkeys(("function", "observation", "tool_response", "function_response", "ipython"), "tool"),
    **dict.fromkeys(("tool_result", "tool_results", "function_result"), "tool"),
}
_ROLE_KEYS = ("role", "from", "speaker", "author", "sender", "participant")
_TEXT_KEYS = ("content", "value", "text", "parts", "message", "utterance", "msg")
_WEIGHTS = ("weight", "loss_weight", "train", "training", "learn")
_CALL = "Write the arguments as a JSON object, or as the text of one"
_CALLS = ("tool_calls", "function_call", "tool_call", "function_calls")
_SILENT = {"tool_call_id", "id", "refusal", "audio", "type", "reasoning_content", "prefix", "index", "turn"}
_PAIRS = (
    ("human", "assistant"),
    ("user", "assistant"),
    ("human", "gpt"),
    ("human", "bot"),
    ("user", "bot"),
    ("input", "output"),
    ("prompt", "response"),
    ("prompt", "completion"),
    ("question", "answer"),
    ("instruction", "output"),
    ("query", "response"),
)


class Speakers:
    """Which names mean which role: the well-known ones, and the user's own on top."""

    def __init__(self, own: Mapping[str, Sequence[str]] | None = None) -> None:
        self._names = dict(ROLE_NAMES)
        for role, names in (own or {}).items():
            self._names.update(dict.fromkeys(map(_key, names), self.role(role, "--roles")))

    def role(self, name: Any, where: str) -> Role:
        """The role that `name` means. Raises `RowError`."""
        role = self._names.get(_key(name)) if isinstance(name, str) else None
        if role is None:
            hint = nearest(name, self._names) if isinstance(name, str) else ""
            typed = isinstance(name, str) and len(name) < 40 and name.isprintable()
            said = shlex.quote(name) if typed else "NAME"
            fix = f"Say which role it is: --roles user={said} or --roles assistant={said}"
            raise RowError(f"has the unknown role {show(name)} in {where}.{hint}".rstrip("."), fix)
        return role


def _key(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def _listed(value: Any) -> Any:
    """The list of turns in an object such as ``{"model": …, "messages": […]}``; else the value itself."""
    inner = (
        [value[key] for key in ("messages", "contents") if key in value] if isinstance(value, dict) else []
    )
    value = inner[0] if inner and isinstance(inner[0], list) else value
    alone = isinstance(value, list) and len(value) == 1 and isinstance(value[0], list)
    return value[0] if alone else value  # the Berkeley leaderboard lists the turns of each round


def is_turns(value: Any) -> bool:
    """Whether a value is a conversation: turns with a role and a text, or questions with their answers."""
    value = _listed(unpacked(value))
    if not isinstance(value, list) or not value or not all(isinstance(turn, dict) for turn in value):
        return False
    return _pair(value[0]) is not None or all(_role_key(turn) is not None for turn in value)


def _role_key(turn: Mapping[str, Any]) -> str | None:
    """The key of a turn that names who speaks, where there is a text or a call next to it."""
    key = next((name for name in _ROLE_KEYS if isinstance(turn.get(name), str)), None)
    return key if key and (_text_key(turn) or any(name in turn for name in _CALLS)) else None


def _text_key(turn: Mapping[str, Any]) -> str | None:
    return next((name for name in _TEXT_KEYS if name in turn), None)


def _pair(turn: Mapping[str, Any]) -> tuple[str, str] | None:
    return next((pair for pair in _PAIRS if pair[0] in turn and pair[1] in turn and "role" not in turn), None)


def read_turns(value: Any, column: str, speakers: Speakers, seen: Seen) -> list[Message]:
    """The messages of one conversation. Raises `RowError` that names the turn."""
    value = _listed(unpacked(value))
    if not isinstance(value, list):
        fix = 'Write [{"role": …, "content": …}]'
        raise RowError(f"has {show(value)} in {column!r}, not a list of turns", fix)
    if not value:
        raise RowError(f"has no turns in {column!r}", "Add the turns or leave the row out")
    if all(isinstance(turn, str) for turn in value) and len(value) > 1:
        seen.roleless += 1
        return [Message("assistant" if i % 2 else "user", text) for i, text in enumerate(value)]
    messages: list[Message] = []
    for place, turn in enumerate(value, start=1):
        if not isinstance(turn, dict):
            what = f"has {show(turn)} as turn {place}, not an object with role and content"
            raise RowError(what, 'Write {"role": …, "content": …}')
        pair = _pair(turn)
        messages += (
            _paired(turn, pair, place, seen) if pair else [_turn(turn, f"turn {place}", speakers, seen)]
        )
    return messages


def read_history(value: Any, column: str, speakers: Speakers, seen: Seen) -> list[Message]:
    """Earlier turns: pairs of texts ``[[question, answer], …]``, or turns; nothing is no turns."""
    value = unpacked(value)
    if value in (None, "", []):
        return []
    if isinstance(value, list) and all(isinstance(one, list | tuple) and len(one) == 2 for one in value):
        return [
            message
            for asked, answered in value
            for message in (
                Message("user", text_of(asked, column)),
                Message("assistant", text_of(answered, column)),
            )
        ]
    return read_turns(value, column, speakers, seen)


def _paired(turn: Mapping[str, Any], pair: tuple[str, str], place: int, seen: Seen) -> list[Message]:
    where = f"turn {place}"
    system = text_of(turn.get("system"), where).strip() if place == 1 else ""
    for name, extra in turn.items():
        if name not in (*pair, "system") and extra not in (None, ""):
            seen.turn_keys[name] = None
    return [
        *([Message("system", system)] if system else []),
        Message("user", text_of(turn[pair[0]], where, seen)),
        Message("assistant", text_of(turn[pair[1]], where, seen)),
    ]


def _turn(turn: Mapping[str, Any], where: str, speakers: Speakers, seen: Seen) -> Message:
    role_key = next((name for name in _ROLE_KEYS if name in turn), None)
    if role_key is None:
        raise RowError(f"lacks 'role' in {where}.{nearest('role', map(str, turn))}".rstrip("."))
    role = speakers.role(turn[role_key], where)
    calls = next((turn[name] for name in _CALLS if turn.get(name)), None)
    text_key = next((name for name in _TEXT_KEYS if name in turn and name != role_key), None)
    if text_key is None and calls is None:
        raise RowError(f"lacks 'content' in {where}.{nearest('content', map(str, turn))}".rstrip("."))
    content = turn.get(text_key) if text_key else None
    said = text_of(None if content == [] else content, where, seen)
    if calls is not None:
        said = "\n".join(part for part in (said.strip(), written_calls(calls, where)) if part)
    elif turn.get(text_key or "") is None and role != "tool":
        raise RowError(f"has null in {where} where text is needed", "Write it as text")
    elif _key(str(turn[role_key])) in ("function_call", "tool_call"):
        said = written_calls(said, where)
    weights = [turn[name] for name in _WEIGHTS if name in turn]
    for name, extra in turn.items():
        known = name in (role_key, text_key, *_CALLS, *_WEIGHTS) or name in _SILENT
        if not known and extra not in (None, "", [], {}):
            seen.turn_keys[name] = None
    learn = not any(weight is False or number(weight) == 0 for weight in weights)
    return Message(role, said, learn) if role == "assistant" else Message(role, said)


def written_calls(value: Any, where: str) -> str:
    """Tool calls as Python calls, one a line; text that holds no call is left as it is. Raises `RowError`."""
    calls = unpacked(value)
    listed = calls if isinstance(calls, list) else [calls]
    if not all(isinstance(call, dict) for call in listed):
        return text_of(value, where)
    return "\n".join(_written(call, where) for call in listed)


def is_call(value: Any) -> bool:
    """Whether a value is a tool call as an object: a name and its arguments."""
    if not isinstance(value, dict):
        return False
    function = value.get("function")
    inner = function if isinstance(function, dict) else value
    return isinstance(inner.get("name"), str) and any(
        key in inner for key in ("arguments", "parameters", "args")
    )


def _written(call: Mapping[str, Any], where: str) -> str:
    function = call.get("function")
    inner = function if isinstance(function, dict) else call
    name = inner.get("name")
    if not isinstance(name, str):
        raise RowError(f"has a call without a name in {where}", 'Write {"name": …, "arguments": {…}}')
    arguments = next((inner[key] for key in ("arguments", "parameters", "args") if key in inner), None)
    arguments = _arguments(arguments, where)
    return f"{name}({', '.join(f'{key}={_literal(item)}' for key, item in arguments.items())})"


def _arguments(value: Any, where: str) -> dict[str, Any]:
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            what = f"has a call in {where} whose arguments are not JSON ({show(value)})"
            raise RowError(what, _CALL) from None
    if value in (None, "", []):
        return {}
    if not isinstance(value, dict):
        raise RowError(f"has a call in {where} whose arguments are {show(value)}, not an object", _CALL)
    return value


def _literal(value: Any) -> str:
    """A value as Python writes it, with double quotes around texts as JSON has them."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(str(key))}: {_literal(item)}" for key, item in value.items()) + "}"
    return repr(value)


def tools_text(value: Any, column: str) -> str:
    """The tools of a row as text for the system turn: compact JSON; nothing is ""."""
    value = unpacked(value)
    if value in (None, "", [], {}):
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
