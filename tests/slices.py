"""Whether long work leaves the reactor time for others."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

from twisted.internet.task import LoopingCall


@contextmanager
def in_slices() -> Iterator[None]:
    """Hold that no slice of the work that is done meanwhile is longer than a twentieth of it.

    Counted is the reactor's own processor time: on a machine that others use, the wall's says what they do. What the
    test runner has in memory is not the work's to pay for.
    """
    pauses: list[float] = []
    gc.collect()
    gc.freeze()
    before = time.thread_time()

    def tick() -> None:
        nonlocal before
        now = time.thread_time()
        pauses.append(now - before)
        before = now

    ticking = LoopingCall(tick)
    ticking.start(0)
    try:
        yield
    finally:
        ticking.stop()
        gc.unfreeze()
    assert max(pauses) < sum(pauses) / 20, f"{max(pauses):.3f} s of {sum(pauses):.3f} s in one slice"
