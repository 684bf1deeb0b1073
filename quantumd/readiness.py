"""Floor 5: telling systemd how it goes (sd_notify(3)): that the daemon is ready, and that it is alive."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger


class Readiness:
    """Speaks to whoever started the process, if that wants to hear anything; else does nothing.

    ``environ`` has ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC`` (microseconds), as systemd sets them. The watchdog is fed
    from the reactor, so that one that hangs is noticed.
    """

    _log = Logger()

    def __init__(self, reactor: Any, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        microseconds = environ.get("WATCHDOG_USEC", "")
        self._period = int(microseconds) / 2e6 if microseconds.isascii() and microseconds.isdigit() else 0.0
        self._beat = LoopingCall(self._tell, "WATCHDOG=1")
        self._beat.clock = reactor

    def ready(self) -> None:
        """Everything is up."""
        self._tell("READY=1")
        if self._address and self._period:
            self._beat.start(self._period)

    def stopping(self) -> None:
        """The daemon stops."""
        if self._beat.running:
            self._beat.stop()
        self._tell("STOPPING=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        # A name that begins with @ is in the abstract namespace (unix(7)).
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifying:
                notifying.setblocking(False)
                notifying.sendto(message.encode(), address)
        except OSError as error:
            self._log.warn("systemd cannot be told {message} ({why})", message=message, why=error.strerror)
