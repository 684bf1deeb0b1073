"""Where a command's words go: results to stdout as tables or JSON, remarks and faults to stderr."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from quantumd.cli.client import Reply
from quantumd.cli.errors import CommandFailed
from quantumd.cli.render import Style, printable

_ASSUMED_WIDTH = 80


class Output:
    """The two streams of a command, and the format that was asked for (``table`` or ``json``)."""

    def __init__(self, stdout: TextIO, stderr: TextIO, style: Style, form: str) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self.style = style
        self._form = form
        self.interactive = style.width is not None

    @classmethod
    def on(cls, stdout: TextIO, stderr: TextIO, environ: Mapping[str, str], form: str) -> Output:
        """The output that suits these streams: colours and a width on a terminal only, and no colours if unwanted."""
        if not stdout.isatty():
            return cls(stdout, stderr, Style(), form)
        colour = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        return cls(stdout, stderr, Style(colour, _width(stdout, environ)), form)

    def result(self, body: object, lines: Callable[[], Iterable[str]]) -> None:
        """Print what the command was run for: the API's body as JSON, or the lines made of it."""
        if self._form == "json":
            self.line(json.dumps(body, ensure_ascii=False, indent=2))
        else:
            for line in lines():
                self.line(line)

    def listing(self, reply: Reply, what: str, lines: Callable[[Sequence[Any]], Iterable[str]]) -> None:
        """Print a list of the API, which is under the key ``what``; a person is told when it is empty."""
        entries = reply.part(what)
        empty = not entries and self.interactive
        self.result(reply.json, lambda: [f"no {what}"] if empty else lines(entries))

    def event(self, body: object, line: Callable[[], str]) -> None:
        """Print one of many results, in JSON a line each, and see to it that it is read at once."""
        self.line(json.dumps(body, ensure_ascii=False) if self._form == "json" else line())
        self._stdout.flush()

    def line(self, text: str) -> None:
        """Print one line to stdout."""
        self._stdout.write(f"{text}\n")

    def remark(self, text: str) -> None:
        """Say something beside the result, on stderr."""
        self._stdout.flush()  # so that the two streams come in the order in which they were written
        self._stderr.write(f"quantumctl: {printable(text)}\n")
        self._stderr.flush()

    def failure(self, failure: CommandFailed) -> None:
        """Say what went wrong, on stderr."""
        self.remark(f"{failure.name}: {failure.detail}")
        for line in failure.lines:
            self._stderr.write(f"  {printable(line)}\n")
        self._stderr.flush()


def _width(stream: TextIO, environ: Mapping[str, str]) -> int:
    if environ.get("COLUMNS", "").isdecimal() and int(environ["COLUMNS"]) > 0:
        return int(environ["COLUMNS"])
    try:
        return os.get_terminal_size(stream.fileno()).columns or _ASSUMED_WIDTH
    except OSError:
        return _ASSUMED_WIDTH
