"""Shell commands of what exists, as rules of a grammar in llguidance's notation.

The program and its subcommands can only be those of a catalogue, and so can flags where it mentions any
(`rung.evaluation.offered`). Other words are free; quotation marks are closed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rung.evaluation.json_grammar import Rules, literal
from rung.evaluation.offered import Api

Commands = Mapping[tuple[str, ...], Api]
_LINES = r"\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029"  # what ends a line of an answer
_BRACKETS = r"()\[\]{}"
_ENDS = rf"\s'\"\\|;&{_LINES}{_BRACKETS}"  # what ends a part of a word that is not in quotes


class CommandWriter(Rules):
    """Collects the rules of commands. With `strict` there are no brackets or line breaks in words, and no
    flags before a subcommand: then what is read is what was written in every case."""

    def __init__(self, strict: bool) -> None:
        super().__init__("c", _words(strict))
        self.strict = strict

    def calls(self, commands: Commands, pipes: int) -> str:
        """The name of the rule of a command with at most `pipes` more behind it. Behind ``|`` there may be a
        program that the catalogue does not have."""
        bodies = [body for words, api in commands.items() for body in self._command(words, api, commands)]
        known = self._rule(" | ".join(bodies))
        if not pipes:
            return known
        programs = "|".join(sorted({re.escape(words[0]) for words in commands}))
        name = self._name().upper()
        self.rules.append(rf"{name}: /[a-zA-Z_][\w.+-]*/ & ~/{programs}/")
        other = self._rule(f"{name} (SPACE ANY)*")
        return self._rule(f'{known} (" | " ({known} | {other}) | " || " {known}){{0,{pipes}}}')

    def _command(self, words: tuple[str, ...], api: Api, commands: Commands) -> list[str]:
        program = commands.get(words[:1])
        flag = self._flag(sorted(api.flags | (program.flags if program else set())) if api.flags else [])
        longer = sorted({other[len(words)] for other in commands if other[: len(words)] == words != other})
        between = "SPACE" if self.strict else self._rule(f"(SPACE {flag} (SPACE|EQUALS) WORD)* SPACE")
        start = f" {between} ".join(literal(word) for word in words)
        switch = self._rule(f"SPACE {flag} (EQUALS WORD?)?")
        after = "(SPACE REST (SPACE ANY)*)?"
        rest = self._rule(f"({switch} | SPACE WORD)* {after}" if api.flags else "(SPACE ANY)*")
        if len(words) == 1 and longer:  # a program with subcommands has no other words
            return [f"{start} {switch}* {after}"]
        if not longer:
            return [f"{start} {rest}"]
        bare = self._name().upper()
        self.rules.append(f"{bare}: BARE & ~/{'|'.join(map(re.escape, longer))}/")
        first = self._rule(f"{bare} | SURE")
        value = f"{switch} | SPACE {flag} SPACE {first}"
        return [f"{start} ({value})* ({after} | SPACE {first} {rest})"]

    def _flag(self, flags: Sequence[str]) -> str:
        if not flags:
            return "FLAG"
        return self._rule(" | ".join(map(literal, flags)))


def _words(strict: bool) -> list[str]:
    """The terminals of words. `WORD` is no flag, also once its quotation marks are gone; `SURE` is also no
    subcommand, as long as `BARE` words are held against those; `ANY` is any word."""
    line = _LINES if strict else r"\x00"
    plain, escape = f"[^{_ENDS}]", rf"\\[^{_LINES}]"
    single, inside = f"[^'{line}]*'", rf"([^\"\\{line}]|\\[^{line}])*\""
    quoted = rf"'{single}|\"{inside}"
    group = "" if strict else "|" + _in_brackets(rf"[^{_BRACKETS}'\"\\{_LINES}]|{quoted}")
    piece = f"{plain}|{quoted}|{escape}|&{plain}{group}"
    more = f"({piece})*"
    first = rf"[^{_ENDS}-]|'[^'{line}-]{single}|\"[^\"\\{line}-]{inside}|\\[^{_LINES}-]|--?[^{_ENDS}A-Za-z-]"
    spaced = rf"'[^'{line}-]([^'{line}]* ){single}|\"[^\"\\{line}-]([^\"\\{line}]* ){inside}"
    other = rf"'[^'{line}a-z-]{single}|\"[^\"\\{line}a-z-]{inside}"
    return [
        rf"WORD: /({first}{group}){more}/ | /-|''|\"\"/",
        f"BARE: /[^{_ENDS}-][^{_ENDS}]*/",
        f"SURE: /([^{_ENDS}-][^{_ENDS}]*=|{spaced}|{other}){more}/ | /-/",
        f"ANY: /({piece})+/",
        f"FLAG: /--?[A-Za-z][^={_ENDS}<>]*/",
        "SPACE: / {1,2}/",
        'EQUALS: "="',
        "REST: /--|'--'|\"--\"/",
    ]


def _in_brackets(piece: str) -> str:
    """Pieces in brackets of three kinds, or in two of them."""
    for _ in range(2):
        inside = f"({piece})*"
        groups = rf"\({inside}\)|\[{inside}\]|\{{{inside}\}}"
        piece = f"{piece}|{groups}"
    return groups
