"""Cutting a stream of bytes into JSON objects.

OVSDB puts nothing between two messages (RFC 7047, 4), so that an object's end is known by its braces alone. Each byte
is looked at once, whatever the size of the message and of the pieces in which it comes.
"""

from __future__ import annotations

import re

from quantumd.host.ovsdb.errors import ProtocolError

#: Everything up to the next brace outside a string; stops before a string that does not end in this piece, too.
_BETWEEN_BRACES = re.compile(rb'(?:[^{}"]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
#: The rest of a string, up to its closing quote or an escape that does not end in this piece.
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)

_OPEN, _CLOSE, _QUOTE = b'{}"'


class Framer:
    """Takes bytes as they come, gives whole JSON objects. Whether they are well-formed is for a parser to say."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, data: bytes) -> list[bytes]:
        """The objects that are complete with ``data``.

        :raise ProtocolError: what comes is no JSON object
        """
        complete = []
        start = at = 0
        while at < len(data):
            if self._in_string:
                at = self._through_string(data, at)
                continue
            at = self._between(data, at, start)
            if at == len(data):
                break
            found = data[at]
            at += 1
            if found == _QUOTE:
                self._in_string = True
            elif found == _OPEN:
                if self._depth == 0:
                    start = at - 1
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 0:
                    complete.append(b"".join([*self._pieces, data[start:at]]))
                    self._pieces.clear()
                    start = at
        if self._depth:
            self._pieces.append(data[start:])
        return complete

    def _between(self, data: bytes, at: int, start: int) -> int:
        """Skip to the next brace, or to a string that does not end here."""
        match = _BETWEEN_BRACES.match(data, at)
        assert match is not None, "it matches nothing, too"
        end = match.end()
        if self._depth == 0 and (match.group().strip() or (end < len(data) and data[end] != _OPEN)):
            raise ProtocolError(f"the server sends no JSON object but {data[start : start + 40]!r}")
        return end

    def _through_string(self, data: bytes, at: int) -> int:
        """Skip to behind the string that was begun before."""
        if self._escaped:
            self._escaped = False
            at += 1
        match = _REST_OF_STRING.match(data, at)
        assert match is not None, "it matches nothing, too"
        end = match.end()
        if end < len(data):
            # A quote closes the string; a backslash stands at the very end, and what it escapes comes next.
            self._in_string = data[end] != _QUOTE
            self._escaped = self._in_string
            end += 1
        return end
