"""Parsing a large JSON-RPC message in slices, so that whoever has other things to do can do them in between.

A snapshot of 10,000 ports is one message of several megabytes. The levels above its rows are taken apart here, the
rows by the standard library, one by one; and each row is given to ``leaf`` at once, so that there is never a tree of
the whole message, which would take many times its size and keep the garbage collector busy for as long.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from typing import Any

#: Given the key of the object that a value is in, and the value; gives what to have in its place.
Leaf = Callable[[str | int, Any], Any]

#: How deep the rows are, by the first key (RFC 7047, 4.1.5 and 4.1.6; ovsdb-server(7), 4.1.13 and 4.1.15):
#: {"result": {TABLE: {UUID: row}}} and {"params": [id, {TABLE: {UUID: row}}]}.
_LEVELS = {"result": 3, "params": 4}
#: How many members of an object or array are parsed in one slice.
_SLICE = 8

_SPACE = re.compile(r"[ \t\n\r]*")
_decode = json.JSONDecoder().raw_decode

_Parsing = Generator[None, None, tuple[Any, int]]


def parse(text: str, leaf: Leaf) -> Generator[None, None, Any]:
    """Parse ``text``; the generator returns what :func:`json.loads` does but for leaves, and yields after each slice.

    :raise json.JSONDecodeError: it is not JSON
    """
    value, end = yield from _Parser(text, leaf).value(_skip(text, 0), None, None, None)
    end = _skip(text, end)
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None, "it matches nothing, too"
    return match.end()


class _Parser:
    def __init__(self, text: str, leaf: Leaf) -> None:
        self._text = text
        self._leaf = leaf

    def value(self, at: int, levels: int | None, parent: str | int | None, own: str | int | None) -> _Parsing:
        """A value under the key ``own`` of what is under the key ``parent``; leaves are ``levels`` below.

        None for ``levels``: it is the message itself.
        """
        if levels == 0:
            value, at = _decode(self._text, at)
            return (value if parent is None else self._leaf(parent, value)), at
        if self._text.startswith("{", at):
            return (yield from self._object(at, levels, own))
        if self._text.startswith("[", at) and levels is not None:
            return (yield from self._array(at, levels, own))
        return _decode(self._text, at)

    def _object(self, at: int, levels: int | None, own: str | int | None) -> _Parsing:
        text = self._text
        result: dict[str, Any] = {}
        at = _skip(text, at + 1)
        if text.startswith("}", at):
            return result, at + 1
        while True:
            if not text.startswith('"', at):
                raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
            key, at = _decode(text, at)
            at = _skip(text, at)
            if not text.startswith(":", at):
                raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
            below = _LEVELS.get(key, 1) if levels is None else levels
            result[key], at = yield from self.value(_skip(text, at + 1), below - 1, own, key)
            more, at = self._next(at, "}")
            if not more:
                return result, at
            if len(result) % _SLICE == 0:
                yield

    def _array(self, at: int, levels: int, own: str | int | None) -> _Parsing:
        text = self._text
        result: list[Any] = []
        at = _skip(text, at + 1)
        if text.startswith("]", at):
            return result, at + 1
        while True:
            value, at = yield from self.value(at, levels - 1, own, len(result))
            result.append(value)
            more, at = self._next(at, "]")
            if not more:
                return result, at
            if len(result) % _SLICE == 0:
                yield

    def _next(self, at: int, close: str) -> tuple[bool, int]:
        """Whether another member follows, and where; else where the object or array ends."""
        text = self._text
        at = _skip(text, at)
        if text.startswith(close, at):
            return False, at + 1
        if not text.startswith(",", at):
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        return True, _skip(text, at + 1)
