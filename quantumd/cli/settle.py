"""``--wait``: to stay until the daemon has carried out what it accepted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from quantumd.cli.client import LONGEST_WAIT, Client
from quantumd.cli.errors import CommandFailed, Refused, Unreachable
from quantumd.cli.terms import DELETED, LEAVING, UNSETTLED

_LEAST_ROUND = 0.5
#: Seconds after which it is told what is waited for: what comes at all comes sooner.
_FIRST_ROUND = 2

Resource = Mapping[str, Any]


class Patience:
    """How long to wait: ``seconds``, or None for as long as it takes."""

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._end = None if seconds is None else clock() + seconds

    def next_round(self) -> int:
        """How many whole seconds to ask the daemon to wait next; 0 when the patience is at its end."""
        if self._end is None:
            return LONGEST_WAIT
        left = self._end - self.clock()
        return 0 if left <= 0 else min(LONGEST_WAIT, int(left) + 1)


class Waiter:
    """Waits for resources of the API to settle."""

    def __init__(
        self,
        api: Client,
        patience: Patience,
        tell: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = api
        self._patience = patience
        self._tell = tell
        self._sleep = sleep

    def seconds(self, removes: bool) -> int | None:
        """What to put into ``Prefer: wait=`` of the request that changes something; None where time is up."""
        seconds = self._patience.next_round()
        return (seconds if removes else min(seconds, _FIRST_ROUND)) or None

    def applied(self, kind: str, path: str, resource: Resource) -> Resource:
        """Wait until a resource that is to stay is Active, Attached or Failed, and give it back as it then is. Tells
        what it waits for, where that is known."""
        ident, told = resource.get("id"), None
        while resource.get("status") in UNSETTLED:
            awaited = (resource.get("plugin") or {}).get("waiting_for")
            if awaited is not None and awaited != told:
                told = awaited
                self._tell(f"{kind} {ident} waits for {awaited}")
            latest = self._next(kind, path, resource)
            if latest is None or latest.get("id") != ident or latest.get("status") in LEAVING:
                raise CommandFailed("Gone", f"the {kind} {ident} was taken away again while it was waited for")
            resource = latest
        return resource

    def gone(self, kind: str, path: str, resource: Resource) -> Resource:
        """Wait until a resource that is on its way out is not there any more; it then has the status Deleted.

        Where a whole round of waiting ends with a fault, it is given back as it is: what stands in the way may do so
        for ever.
        """
        ident = resource.get("id")
        while resource.get("status") in LEAVING:
            if resource.get("fault"):
                return resource
            latest = self._next(kind, path, resource)
            # Something else may have been plugged in the meantime: what was there before is gone then, too.
            if latest is None or latest.get("id") != ident or latest.get("status") not in LEAVING:
                break
            resource = latest
        return {**resource, "status": DELETED}

    def _next(self, kind: str, path: str, resource: Resource) -> Resource | None:
        """The resource after one more round; None where it is not there any more."""
        seconds = self._patience.next_round()
        if not seconds:
            raise CommandFailed(
                "TimedOut",
                f"{kind} {resource.get('id')} is still {resource.get('status')}; "
                "what was asked for stays accepted and goes on",
            )
        began = self._patience.clock()
        latest = self._look(kind, path, seconds)
        unsettled = latest is not None and latest.get("status") in UNSETTLED
        if unsettled and self._patience.clock() - began < _LEAST_ROUND:
            self._sleep(_LEAST_ROUND)  # a proxy, perhaps, that keeps the wish to wait from the daemon
        return latest

    def _look(self, kind: str, path: str, seconds: int) -> Resource | None:
        try:
            resource: Resource = self._api.get(path, wait=seconds).part(kind)
        except Refused as refused:
            if refused.not_found:
                return None
            raise
        except Unreachable as lost:
            raise Unreachable(f"{lost.detail}; what was asked for had been accepted before") from None
        return resource
