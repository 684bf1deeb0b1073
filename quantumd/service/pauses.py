"""Retry pauses: what failed is tried again after 0.2 s, 0.4 s, … up to 30 s, each record by its own count."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from quantumd.core.model import Key
from quantumd.core.plan import Seen

#: Seconds: the first pause, and the longest.
FIRST, LONGEST = 0.2, 30.0


@define
class _Pause:
    tries: int
    seen: Seen
    call: IDelayedCall


class Pauses:
    """The records that failed and wait for their next try."""

    def __init__(self, clock: IReactorTime, due: Callable[[Key], None]) -> None:
        self._clock = clock
        self._due = due
        self._pauses: dict[Key, _Pause] = {}

    def __len__(self) -> int:
        return len(self._pauses)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._pauses)

    def __contains__(self, key: Key) -> bool:
        """Whether the record's last try failed, be the next one due or not."""
        return key in self._pauses

    def failed(self, key: Key, seen: Seen) -> None:
        """A try at the record failed, with the host looking like ``seen`` before it: begin the next, longer pause."""
        before = self._pauses.get(key)
        tries = before.tries + 1 if before is not None else 0
        self._cancel(before)
        # The exponent is bounded too: a record that fails for years must not overflow a float.
        seconds = min(LONGEST, FIRST * 2 ** min(tries, 16))
        self._pauses[key] = _Pause(tries, seen, self._clock.callLater(seconds, self._due, key))

    def unchanged(self, key: Key, seen: Seen) -> bool:
        """Whether the host looks as it did when the try failed, so that trying again before it is due is vain.

        What a failing try does to the host comes back as a notification too; without this it would be its own reason
        to be tried at once, for ever.
        """
        pause = self._pauses.get(key)
        return pause is not None and pause.call.active() and pause.seen == seen

    def clear(self, key: Key) -> None:
        """The record works, or is gone, or somebody asked for it anew."""
        self._cancel(self._pauses.pop(key, None))

    def stop(self) -> None:
        """No more tries."""
        for pause in self._pauses.values():
            self._cancel(pause)
        self._pauses.clear()

    @staticmethod
    def _cancel(pause: _Pause | None) -> None:
        if pause is not None and pause.call.active():
            pause.call.cancel()
