"""How fast each caller may ask: a token bucket for each, of one second's worth of requests."""

from __future__ import annotations

import math

from twisted.internet.interfaces import IReactorTime

#: How many callers are remembered before those that are idle are forgotten.
_REMEMBERED = 10_000


class RateLimit:
    """``per_second`` requests for each caller; 0: as many as it likes."""

    def __init__(self, per_second: float, clock: IReactorTime) -> None:
        self._rate = per_second
        self._burst = max(1.0, per_second)
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def admit(self, caller: str) -> int:
        """Count one request of that caller: 0 where it is admitted, else in how many seconds the next one may be."""
        if not self._rate:
            return 0
        now = self._clock.seconds()
        tokens, since = self._buckets.get(caller, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        if tokens < 1:
            return max(1, math.ceil((1 - tokens) / self._rate))
        if len(self._buckets) >= _REMEMBERED:
            self._forget_idle(now)
        self._buckets[caller] = (tokens - 1, now)
        return 0

    def _forget_idle(self, now: float) -> None:
        """Forget those whose bucket is full again: they are as if they had never asked."""
        full = self._burst / self._rate
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if now - bucket[1] < full}
