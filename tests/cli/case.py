"""What the tests of quantumctl share: a fake API, a way to run a command line, and a pretended terminal."""

from __future__ import annotations

import io
import json
import shlex
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from quantumd.cli.main import run

from .fake import FakeApi

#: An endpoint at which there is nobody.
NOWHERE = "unix:/nonexistent/api.sock"


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


class Result(NamedTuple):
    """What came of a command line."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The lines of a table, without its heading, at their gaps."""
        return [line.split() for line in self.out.splitlines()[1:]]


def ctl(line: str | list[str], environ: dict[str, str] | None = None, *, terminal: bool = False) -> Result:
    """Run a command line in this process."""
    out = Terminal() if terminal else io.StringIO()
    err = io.StringIO()
    words = shlex.split(line) if isinstance(line, str) else line
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = run(words, environ or {}, out, err)
        except SystemExit as leave:
            status = int(leave.code or 0)
    return Result(status, out.getvalue(), err.getvalue())


class CliCase(SynchronousTestCase):
    """A test with a fake API on a unix socket."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.api = FakeApi(self.directory / "api.sock")
        self.addCleanup(self.api.stop)
        self.environ = {"QUANTUMD_ENDPOINT": self.api.endpoint}

    def ctl(self, line: str | list[str], *, terminal: bool = False, **environ: str) -> Result:
        """Run a command line against the fake API."""
        return ctl(line, self.environ | environ, terminal=terminal)

    def done(self, line: str | list[str], **environ: str) -> Result:
        """Run a command line that must succeed."""
        result = self.ctl(line, **environ)
        self.assertEqual((result.status, result.err), (0, ""), result.out)
        return result

    def asked(self) -> list[tuple[str, str]]:
        """The methods and paths of all requests so far."""
        return [(request.method, request.path) for request in self.api.requests]
