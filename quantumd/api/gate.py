"""What waits while the daemon starts: everything that the plugin has a word in."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from quantumd.core.errors import ServiceUnavailable

_ENDED = "quantumd stops before its plugin was there; nothing was accepted, try again later."


class Gate:
    """Closed until the plugin has started, which takes a second where there is much to look at; meanwhile what is in
    the state can be read all the same."""

    def __init__(self) -> None:
        self.is_open = False
        self._waiting: dict[Deferred[None], None] = {}

    def open(self) -> None:
        """Let everybody in, those who have waited longest first."""
        self.is_open = True
        waiting, self._waiting = self._waiting, {}
        for one in waiting:
            one.callback(None)

    def give_up(self) -> None:
        """It will not be opened any more: tell those who wait."""
        waiting, self._waiting = self._waiting, {}
        for one in waiting:
            one.errback(ServiceUnavailable(_ENDED))

    async def passed(self) -> None:
        """Wait until it is open. Raises ServiceUnavailable where it never will be."""
        if not self.is_open:
            waiting: Deferred[None] = Deferred(lambda gone: self._waiting.pop(gone, None))
            self._waiting[waiting] = None
            await waiting
