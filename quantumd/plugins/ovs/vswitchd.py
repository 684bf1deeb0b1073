"""Whether ovs-vswitchd lives, where that can be known at once.

OVSDB does not tell: the database is served by another process. The switch's own pid file lies beside the database's
socket, and a process that is known can be watched for its end without asking again and again (pidfd_open(2)). Where
there is none (a remote database, other directories) it is noticed when the switch does not take a change up.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

_NAME = "ovs-vswitchd"


def find(remote: str) -> int | None:
    """The pid of the ovs-vswitchd that belongs to the database at ``remote``, as far as that can be known."""
    kind, _, path = remote.partition(":")
    if kind != "unix":
        return None
    try:
        pid = int((Path(path).parent / f"{_NAME}.pid").read_text())
        same = Path(f"/proc/{pid}/comm").read_text().strip() == _NAME
    except (OSError, ValueError):
        return None
    return pid if same else None


@implementer(IReadDescriptor)
class ProcessWatch:
    """Calls ``ended()`` once, when the process with that pid has ended."""

    def __init__(self, reactor: Any, pid: int, ended: Callable[[], None]) -> None:
        """:raise OSError: it has ended already, or may not be watched."""
        self._reactor = reactor
        self._ended = ended
        self._descriptor = os.pidfd_open(pid)
        reactor.addReader(self)

    def stop(self) -> None:
        """Watch no more."""
        if self._descriptor >= 0:
            self._reactor.removeReader(self)
            os.close(self._descriptor)
            self._descriptor = -1

    def fileno(self) -> int:
        """See IFileDescriptor."""
        return self._descriptor

    def logPrefix(self) -> str:
        """See ILoggingContext."""
        return _NAME

    def doRead(self) -> None:
        """See IReadDescriptor: a pidfd can be read when its process has ended."""
        self.stop()
        self._ended()

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - the interface's
        """See IFileDescriptor. The reactor calls it at its own end."""
        self.stop()
