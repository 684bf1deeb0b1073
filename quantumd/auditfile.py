"""Floor 5: the file of the audit log, to which lines are added and nothing else is done."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger


class AuditError(Exception):
    """The file cannot be opened. The text is one line that says what to do."""


class AuditFile:
    """Adds the lines of one turn of the reactor with one write, before any of what they tell of is sent: sockets are
    written to in the next. Lines of several writers never mix. Where the file was moved away, as logrotate does, the
    next line begins a new one. What cannot be written is in the daemon's log."""

    _log = Logger()

    def __init__(self, path: Path, clock: IReactorTime) -> None:
        self._path = path
        self._clock = clock
        self._lines: list[bytes] = []
        # The descriptor, and which file that is of.
        self._file: tuple[int, os.stat_result] | None = None

    def open(self) -> None:
        """Open the file, or make it, readable by its owner only. Raises AuditError."""
        try:
            self._file = self._opened()
        except OSError as error:
            raise AuditError(
                f"the audit log {self._path} cannot be opened or made ({error.strerror}): make it writable for "
                "quantumd, or set 'file' in [audit] to another path"
            ) from error

    def write(self, line: bytes) -> None:
        """Add the line, which ends with a newline."""
        if not self._lines:
            self._clock.callLater(0, self._flush)
        self._lines.append(line)

    def _flush(self) -> None:
        lines, self._lines = b"".join(self._lines), []
        if not lines:
            return
        try:
            if self._file is None or self._moved(self._file[1]):
                self._let_go()
                self._file = self._opened()
            os.write(self._file[0], lines)
        except OSError as error:
            self._log.error(
                "The audit log cannot be written ({why}): {lines}", why=error.strerror, lines=lines.decode()
            )

    def close(self) -> None:
        """Write what is left, and let go of the file."""
        self._flush()
        self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            os.close(self._file[0])
            self._file = None

    def _opened(self) -> tuple[int, os.stat_result]:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, 0o600)
        return descriptor, os.fstat(descriptor)

    def _moved(self, file: os.stat_result) -> bool:
        try:
            return not os.path.samestat(file, self._path.stat())
        except FileNotFoundError:
            return True
