"""What can go wrong in quantumctl; :mod:`quantumd.cli.main` turns each into words on stderr and an exit status."""

from __future__ import annotations

from collections.abc import Sequence


class CommandFailed(Exception):
    """The command did not do what it was asked to (exit status 1).

    ``name`` is a fault's name, of the API's or our own; ``detail`` a sentence that says what to do; ``lines`` are
    shown indented below it, one each.
    """

    def __init__(self, name: str, detail: str, lines: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.name = name
        self.detail = detail
        self.lines = tuple(lines)


class Refused(CommandFailed):
    """The API answered with a fault. ``name`` is the last part of the problem's ``type``, whatever the HTTP status."""

    @property
    def not_found(self) -> bool:
        """Whether the resource is not there (any more)."""
        return self.name.endswith("NotFound")


class Unreachable(CommandFailed):
    """Nobody answered at the endpoint, or the answer broke off."""

    def __init__(self, detail: str) -> None:
        super().__init__("Unreachable", detail)


class WrongUsage(Exception):
    """The command line contradicts itself in a way that the parser cannot see (exit status 2)."""
