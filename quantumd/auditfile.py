"""Floor 5: the file of the audit log, to which lines are added and nothing else is done."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.logger import Logger


class AuditError(Exception):
    """The file cannot be opened. The text is one line that says what to do."""


class AuditFile:
    """Adds each line with one write, so that lines of several writers never mix. Where the file was moved away, as
    logrotate does, the next line begins a new one. A line that cannot be written is in the daemon's log."""

    _log = Logger()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def open(self) -> None:
        """Open the file, or make it, readable by its owner only. Raises AuditError."""
        try:
            self._descriptor = self._opened()
        except OSError as error:
            raise AuditError(
                f"the audit log {self._path} cannot be opened or made ({error.strerror}): make it writable for "
                "quantumd, or set 'file' in [audit] to another path"
            ) from error

    def write(self, line: bytes) -> None:
        """Add the line, which ends with a newline."""
        try:
            if self._descriptor is None or self._moved(self._descriptor):
                self.close()
                self._descriptor = self._opened()
            os.write(self._descriptor, line)
        except OSError as error:
            self._log.error("The audit log cannot be written ({why}): {line}", why=error.strerror, line=line.decode())

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        return os.open(self._path, flags, 0o600)

    def _moved(self, descriptor: int) -> bool:
        try:
            return not os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return True
